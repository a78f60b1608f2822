//! The mounts of a container, made by its first process inside the new mount namespace. Only system
//! calls: nothing here allocates.

use std::ffi::CStr;
use std::os::fd::RawFd;
use std::ptr;

use super::prepared::{Bind, Prepared, Reshow, Volume};
use super::report::{Failure, Step};

/// Performs all mounts of the plan.
pub(super) fn perform(prepared: &Prepared, pid_namespace: bool) -> Result<(), Failure> {
    if prepared.clone_flags & libc::CLONE_NEWNS == 0 {
        return Ok(());
    }
    // Slave, not private: what the host unmounts disappears here too, nothing goes the other way.
    mount(None, c"/", None, libc::MS_SLAVE | libc::MS_REC)
        .map_err(|()| Failure::last(Step::PrivateMounts, 0))?;
    let sandbox = open_directory(libc::AT_FDCWD, &prepared.sandbox, 0)
        .ok_or_else(|| Failure::last(Step::Sandbox, 0))?;
    for (index, volume) in prepared.volumes.iter().enumerate() {
        perform_volume(volume, sandbox, index)?;
    }
    for (index, bind) in prepared.binds.iter().enumerate() {
        perform_bind(bind, index)?;
    }
    if let Some(reshow) = &prepared.reshow {
        show_sandbox(sandbox, reshow).map_err(|()| Failure::last(Step::ShowSandbox, 0))?;
    }
    // SAFETY: the descriptor was opened above and is not used again.
    unsafe { libc::close(sandbox) };
    if pid_namespace {
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        mount(Some(c"proc"), c"/proc", Some(c"proc"), flags)
            .map_err(|()| Failure::last(Step::MountProc, 0))?;
    }
    Ok(())
}

fn mount(
    source: Option<&CStr>,
    target: &CStr,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
) -> Result<(), ()> {
    let pointer = |text: Option<&CStr>| text.map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: all texts are null-terminated and live across the call; no data argument.
    let result = unsafe {
        libc::mount(
            pointer(source),
            target.as_ptr(),
            pointer(kind),
            flags,
            ptr::null(),
        )
    };
    if result == 0 { Ok(()) } else { Err(()) }
}

/// Opens a directory as a place, without following a link in the last name.
fn open_directory(at: RawFd, path: &CStr, more: libc::c_int) -> Option<RawFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC | more;
    // SAFETY: the path is null-terminated and lives across the call.
    let fd = unsafe { libc::openat(at, path.as_ptr(), flags) };
    (fd >= 0).then_some(fd)
}

fn perform_bind(bind: &Bind, index: usize) -> Result<(), Failure> {
    // The source may lie in a directory that the task's user owns: a link put there must not lead
    // elsewhere, hence O_NOFOLLOW, and the mount is made from the opened place itself.
    let source = open_directory(libc::AT_FDCWD, &bind.source, libc::O_NOFOLLOW)
        .ok_or_else(|| Failure::last(Step::OpenMountSource, index))?;
    // SAFETY: the descriptor was just opened; it is closed once.
    let entered = unsafe {
        let entered = libc::fchdir(source);
        libc::close(source);
        entered
    };
    if entered != 0 {
        return Err(Failure::last(Step::OpenMountSource, index));
    }
    mount(Some(c"."), &bind.target, None, libc::MS_BIND)
        .map_err(|()| Failure::last(Step::Mount, index))?;
    if bind.read_only {
        let flags = libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY;
        mount(None, &bind.target, None, flags).map_err(|()| Failure::last(Step::Mount, index))?;
    }
    Ok(())
}

/// Mounts a volume at its place in the sandbox, whose owner may have put links there since the place was
/// made: none is followed.
fn perform_volume(volume: &Volume, sandbox: RawFd, index: usize) -> Result<(), Failure> {
    let failed = || Failure::last(Step::MountVolume, index);
    let source = open_directory(libc::AT_FDCWD, &volume.source, libc::O_NOFOLLOW)
        .ok_or_else(|| Failure::last(Step::OpenVolume, index))?;
    let (last, above) = volume.names.split_last().ok_or_else(failed)?;
    let mut folder = open_directory(sandbox, c".", 0).ok_or_else(failed)?;
    for name in above {
        let next = open_directory(folder, name, libc::O_NOFOLLOW).ok_or_else(failed)?;
        // SAFETY: opened by this loop and not used again.
        unsafe { libc::close(folder) };
        folder = next;
    }
    let place = open_directory(folder, last, libc::O_NOFOLLOW).ok_or_else(failed)?;
    // SAFETY: the descriptor is open.
    if unsafe { libc::fchdir(source) } != 0 {
        return Err(Failure::last(Step::OpenVolume, index));
    }
    let mut text = [0_u8; 32];
    mount(
        Some(c"."),
        descriptor_path(place, &mut text),
        None,
        libc::MS_BIND,
    )
    .map_err(|()| failed())?;
    if volume.read_only {
        // What is found there from now on is the mount.
        let mounted = open_directory(folder, last, libc::O_NOFOLLOW).ok_or_else(failed)?;
        let flags = libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY;
        mount(None, descriptor_path(mounted, &mut text), None, flags).map_err(|()| failed())?;
        // SAFETY: just opened, not used again.
        unsafe { libc::close(mounted) };
    }
    for fd in [source, folder, place] {
        // SAFETY: opened above and not used again.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

/// Mounts the sandbox, with what is mounted in it, at its own path again, below the mount that hid it. The way there is made of
/// directories only: whoever owns the mounted directory cannot redirect it with a link. All but the
/// first are made in memory: they are no business of the task's, and not worth ten inodes on a disk.
fn show_sandbox(sandbox: RawFd, reshow: &Reshow) -> Result<(), ()> {
    let mut place = open_directory(libc::AT_FDCWD, &reshow.under, 0).ok_or(())?;
    for (depth, name) in reshow.names.iter().enumerate() {
        // SAFETY: the name is null-terminated; an existing directory is as good (EEXIST).
        unsafe { libc::mkdirat(place, name.as_ptr(), 0o755) };
        let mut next = open_directory(place, name, libc::O_NOFOLLOW).ok_or(())?;
        if depth == 0 && reshow.names.len() > 1 && in_memory(next).is_ok() {
            // SAFETY: opened above; what is found at its place from now on is the mount.
            unsafe { libc::close(next) };
            next = open_directory(place, name, libc::O_NOFOLLOW).ok_or(())?;
        }
        // SAFETY: opened by this loop and not used again.
        unsafe { libc::close(place) };
        place = next;
    }
    // SAFETY: the descriptor is open.
    if unsafe { libc::fchdir(sandbox) } != 0 {
        return Err(());
    }
    let mut text = [0_u8; 32];
    let result = mount(
        Some(c"."),
        descriptor_path(place, &mut text),
        None,
        libc::MS_BIND | libc::MS_REC,
    );
    // SAFETY: opened above and not used again.
    unsafe { libc::close(place) };
    result
}

/// Mounts an empty file system on a directory, large enough for directories.
fn in_memory(directory: RawFd) -> Result<(), ()> {
    let mut text = [0_u8; 32];
    let target = descriptor_path(directory, &mut text);
    let kind = c"tmpfs".as_ptr();
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    let limits = c"mode=755,size=4k";
    // SAFETY: all texts are null-terminated and live across the call.
    let result = unsafe { libc::mount(kind, target.as_ptr(), kind, flags, limits.as_ptr().cast()) };
    if result == 0 { Ok(()) } else { Err(()) }
}

/// `/proc/self/fd/<fd>`, written without allocation.
fn descriptor_path(fd: RawFd, text: &mut [u8; 32]) -> &CStr {
    const PREFIX: &[u8] = b"/proc/self/fd/";
    text[..PREFIX.len()].copy_from_slice(PREFIX);
    let mut digits = [0_u8; 10];
    let mut count = 0;
    let mut rest = fd.unsigned_abs();
    loop {
        digits[count] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        count += 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    for (at, digit) in digits[..count].iter().rev().enumerate() {
        text[PREFIX.len() + at] = *digit;
    }
    text[PREFIX.len() + count] = 0;
    CStr::from_bytes_until_nul(text).unwrap_or(c"/proc/self/fd/0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptor_paths_are_decimal() {
        for (fd, path) in [
            (0, c"/proc/self/fd/0"),
            (10, c"/proc/self/fd/10"),
            (i32::MAX, c"/proc/self/fd/2147483647"),
        ] {
            assert_eq!(descriptor_path(fd, &mut [0xff; 32]), path);
        }
    }
}
