//! Shell: toolkit: mailboxes, signals, timers, exit codes.
