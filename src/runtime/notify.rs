//! Telling systemd how we are: `READY=1`, `RELOADING=1`, `STOPPING=1`, `WATCHDOG=1` (sd_notify(3)). Without a
//! `NOTIFY_SOCKET` in the environment nothing is sent.

use sd_notify::NotifyState;

/// Says that the daemon serves; `status` is what `systemctl status` shows, and one log line says the
/// same for those who read logs.
pub fn ready(status: &str) {
    tracing::info!("{status}");
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Says that the daemon looks at its surroundings anew; [`reloaded`] says that it is done.
pub fn reloading() {
    let begun = NotifyState::monotonic_usec_now();
    match begun {
        Ok(begun) => send(&[NotifyState::Reloading, begun]),
        Err(_) => send(&[NotifyState::Reloading]),
    }
}

/// Says that the daemon serves again, after [`reloading`].
pub fn reloaded() {
    send(&[NotifyState::Ready]);
}

/// Says that the daemon drains.
pub fn stopping() {
    send(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// Tells the watchdog twice per period that the runtime still turns; returns at once if the unit has
/// no `WatchdogSec=`.
pub async fn watchdog() {
    let Some(period) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut ticks = tokio::time::interval(period / 2);
    loop {
        ticks.tick().await;
        send(&[NotifyState::Watchdog]);
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd was not notified");
    }
}
