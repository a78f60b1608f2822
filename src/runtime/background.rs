//! Work that keeps processors busy for a while, on threads that everybody else goes before.

use tokio::sync::oneshot;

use super::threads::patient;

/// How much nicer such a thread is than the others of the process.
const NICER: libc::c_int = 10;

/// Runs `work` on a thread of its own, and on those that it starts, behind everything else that this
/// process has to do. The caller bounds how much of it there is at a time.
///
/// # Panics
///
/// If `work` does, or if the system has no thread to give.
pub async fn background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("background".to_owned())
        .spawn(move || {
            patient();
            // SAFETY: takes a number and gives one; on Linux it is about the calling thread only, and
            // threads that this one starts begin with its value.
            unsafe { libc::nice(NICER) };
            // Whoever asked may have left.
            let _ = done.send(work());
        });
    let thread = thread.expect("the system gives threads");
    match result.await {
        Ok(result) => result,
        Err(_) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("the work is done, and its result was sent"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nice() -> libc::c_int {
        // SAFETY: changes nothing, gives a number.
        unsafe { libc::nice(0) }
    }

    #[tokio::test]
    async fn work_is_done_behind_the_others() {
        let before = nice();
        let there = background(move || std::thread::spawn(nice).join()).await;
        assert_eq!(there.ok(), Some((before + NICER).min(19)));
        assert_eq!(nice(), before, "this thread is as it was");
    }

    #[tokio::test]
    #[should_panic(expected = "too hard")]
    async fn a_panic_is_passed_on() {
        background(|| panic!("too hard")).await
    }
}
