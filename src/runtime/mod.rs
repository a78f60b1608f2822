//! Shell: toolkit of the daemons: exit codes, clock, leases, timers, queues, listeners, shutdown, systemd.

mod background;
mod clock;
mod exit;
mod lease;
mod mailbox;
mod net;
mod notify;
mod outbox;
mod shutdown;
mod threads;
mod timers;

pub use background::background;
pub use clock::SystemClock;
pub use exit::ExitCode;
pub use lease::Lease;
pub use mailbox::{Closed, Rejected, Sender, mailbox};
pub use net::{BindError, bind};
pub use notify::{ready, reloaded, reloading, stopping, watchdog};
pub use outbox::{Inbox, Outbox, outbox};
pub use shutdown::{Phase, Shutdown};
pub use threads::{prompt, threads};
pub use timers::TimerTable;
