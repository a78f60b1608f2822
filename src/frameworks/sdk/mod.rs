//! Shell: the driver that frameworks are built on: a client of the gRPC `SchedulerService`, nothing
//! else, so what it can do any framework in any language can.
//!
//! [`start`] gives a [`Handle`] for calls and [`Events`] to listen to. The driver subscribes; when the
//! master or the connection is lost it follows the leader, waits a growing and random time, subscribes
//! again under the same framework id and reconciles the tasks that it knows of. Silence longer than
//! three heartbeats counts as a lost connection.
//!
//! Status updates are acknowledged when the next event is asked for, that is after the program has dealt
//! with them; with [`Acknowledgement::Manual`] the program does it by [`Handle::acknowledge`]. A program
//! that dies in between gets the update again: at least once, never lost.
//!
//! # Example
//!
//! A framework that runs `echo` once and tells how it ended.
//!
//! ```no_run
//! use mesosd::frameworks::sdk::{self, Config, Event};
//! use mesosd::proto::v1;
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let config = Config::new("127.0.0.1:5050", "root", "example");
//!     let (handle, mut events) = sdk::start(config);
//!     let mut launched = false;
//!     while let Some(event) = events.next().await {
//!         match event {
//!             Event::Subscribed { framework_id, .. } => println!("subscribed as {framework_id}"),
//!             Event::Offers(offers) => {
//!                 for offer in offers {
//!                     if launched {
//!                         handle.decline(vec![offer.id], None).await?;
//!                         continue;
//!                     }
//!                     let task = v1::TaskInfo {
//!                         name: "hello".to_owned(),
//!                         task_id: "hello-1".into(),
//!                         agent_id: offer.agent_id,
//!                         resources: vec![sdk::scalar("cpus", 0.1), sdk::scalar("mem", 32.0)],
//!                         command: Some(v1::CommandInfo {
//!                             value: Some("echo hello".to_owned()),
//!                             ..Default::default()
//!                         }),
//!                         ..Default::default()
//!                     };
//!                     handle.launch(vec![offer.id], vec![task], None).await?;
//!                     launched = true;
//!                 }
//!             }
//!             Event::Update(status) => {
//!                 println!("{}: {:?} {}", status.task_id, status.state(), status.message());
//!                 if status.state().is_terminal() {
//!                     handle.teardown().await?;
//!                 }
//!             }
//!             Event::Disconnected { reason } => eprintln!("{reason}; trying again"),
//!             Event::Ended { reason } => println!("the end: {reason}"),
//!             _ => {}
//!         }
//!     }
//!     Ok(())
//! }
//! ```

mod backoff;
mod config;
mod driver;
mod error;
mod event;
mod handle;
mod session;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

pub use config::{Acknowledgement, Config};
pub use driver::start;
pub use error::SdkError;
pub use event::{Event, Events};
pub use handle::Handle;

use crate::proto::v1;

/// A scalar resource, unreserved.
#[must_use]
pub fn scalar(name: &str, value: f64) -> v1::Resource {
    v1::Resource {
        name: name.to_owned(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        ..Default::default()
    }
}
