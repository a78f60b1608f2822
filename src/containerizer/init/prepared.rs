//! The plan in the form that a process between clone and exec can use: C strings and open
//! descriptors made beforehand, because that process must not allocate.

use std::ffi::{CStr, CString};
use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;

use super::InitError;
use crate::containerizer::plan::{CgroupVersion, LIFELINE_FD, LaunchPlan};

/// Where programs are searched when the task's environment has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// C strings with the null-terminated array of pointers that exec wants.
#[derive(Debug)]
pub(super) struct Strings {
    _owned: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

impl Strings {
    fn new(owned: Vec<CString>) -> Self {
        let pointers = owned
            .iter()
            .map(|text| text.as_ptr())
            .chain([ptr::null()])
            .collect();
        Self {
            _owned: owned,
            pointers,
        }
    }

    /// The array; valid as long as `self`.
    pub(super) fn as_ptr(&self) -> *const *const libc::c_char {
        self.pointers.as_ptr()
    }
}

/// One bind mount.
#[derive(Debug)]
pub(super) struct Bind {
    pub(super) source: CString,
    pub(super) target: CString,
    pub(super) read_only: bool,
}

/// One volume that is mounted in the sandbox.
#[derive(Debug)]
pub(super) struct Volume {
    pub(super) source: CString,
    /// The names that lead to its place from the sandbox.
    pub(super) names: Vec<CString>,
    pub(super) read_only: bool,
}

/// Where the sandbox must be shown again because a mount would hide it.
#[derive(Debug)]
pub(super) struct Reshow {
    /// The mount's target.
    pub(super) under: CString,
    /// The names below it that lead to the sandbox.
    pub(super) names: Vec<CString>,
}

/// One way to execute the command.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) path: CString,
    pub(super) argv: Strings,
    /// `/bin/sh <path> <arguments>`, for scripts without an interpreter line.
    pub(super) script_argv: Strings,
}

/// A plan made ready.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) candidates: Vec<Candidate>,
    pub(super) environment: Strings,
    pub(super) sandbox: CString,
    /// Files that the task writes itself into: version 1.
    pub(super) cgroups: Vec<OwnedFd>,
    /// The directory that the task is born in: version 2.
    pub(super) born: Option<OwnedFd>,
    pub(super) volumes: Vec<Volume>,
    pub(super) binds: Vec<Bind>,
    pub(super) reshow: Option<Reshow>,
    pub(super) rlimits: Vec<(u32, libc::rlimit)>,
    pub(super) user: Option<(u32, u32, Vec<libc::gid_t>)>,
    pub(super) umask: libc::mode_t,
    pub(super) oom_score_adj: Option<String>,
    pub(super) clone_flags: libc::c_int,
}

fn c_string(what: &'static str, bytes: &[u8]) -> Result<CString, InitError> {
    CString::new(bytes).map_err(|_| InitError::NulByte { what })
}

fn c_path(what: &'static str, path: &Path) -> Result<CString, InitError> {
    c_string(what, path.as_os_str().as_bytes())
}

impl Prepared {
    /// Allocates and opens everything; fails if a text holds a NUL byte or a cgroup is missing.
    pub(super) fn new(plan: &LaunchPlan) -> Result<Self, InitError> {
        let environment = plan
            .environment
            .iter()
            .map(|(name, value)| c_string("the environment", format!("{name}={value}").as_bytes()))
            .collect::<Result<Vec<_>, _>>()?;
        let binds = plan
            .mounts
            .iter()
            .map(|mount| {
                Ok(Bind {
                    source: c_path("a mount source", &mount.source)?,
                    target: c_path("a mount target", &mount.target)?,
                    read_only: mount.read_only,
                })
            })
            .collect::<Result<Vec<_>, InitError>>()?;
        let (cgroups, born) = open_cgroups(plan)?;
        let limit = |value: Option<u64>| value.unwrap_or(libc::RLIM_INFINITY);
        Ok(Self {
            candidates: candidates(plan)?,
            environment: Strings::new(environment),
            sandbox: c_path("the sandbox", &plan.sandbox)?,
            cgroups,
            born,
            volumes: volumes(plan)?,
            binds,
            reshow: reshow(plan)?,
            rlimits: plan
                .rlimits
                .iter()
                .map(|r| {
                    let value = libc::rlimit {
                        rlim_cur: limit(r.soft),
                        rlim_max: limit(r.hard),
                    };
                    (r.resource, value)
                })
                .collect(),
            user: plan
                .user
                .as_ref()
                .map(|user| (user.uid, user.gid, user.groups.clone())),
            umask: plan.umask,
            oom_score_adj: plan.oom_score_adj.map(|score| score.to_string()),
            clone_flags: clone_flags(plan),
        })
    }

    /// The descriptors that init and task still need, besides `more`, in ascending order.
    pub(super) fn kept(&self, more: &[RawFd]) -> Vec<RawFd> {
        let mut kept = vec![0, 1, 2, LIFELINE_FD];
        let cgroups = self.cgroups.iter().chain(&self.born);
        kept.extend(cgroups.map(|fd| fd.as_raw_fd()));
        kept.extend_from_slice(more);
        kept.sort_unstable();
        kept.dedup();
        kept
    }
}

fn clone_flags(plan: &LaunchPlan) -> libc::c_int {
    let namespaces = plan.namespaces;
    let mut flags = libc::SIGCHLD;
    if namespaces.pid {
        flags |= libc::CLONE_NEWPID;
    }
    if namespaces.pid || namespaces.mount {
        flags |= libc::CLONE_NEWNS;
    }
    if namespaces.ipc {
        flags |= libc::CLONE_NEWIPC;
    }
    if namespaces.uts {
        flags |= libc::CLONE_NEWUTS;
    }
    flags
}

/// Opens what the task enters each leaf through. Version 1: `tasks`, because a single thread that
/// moves itself needs no lock over all of the kernel's thread groups; `cgroup.procs` does, and waits
/// 10 ms for it. Version 2 has no such file: the task is born in the leaf.
fn open_cgroups(plan: &LaunchPlan) -> Result<(Vec<OwnedFd>, Option<OwnedFd>), InitError> {
    let mut cgroups = Vec::new();
    let mut born = None;
    for leaf in &plan.cgroups {
        let failed = |path: &Path, cause| InitError::Step {
            what: format!("open {}", path.display()),
            exec: false,
            cause,
        };
        match leaf.version {
            CgroupVersion::V1 => {
                let path = leaf.path.join("tasks");
                let file = OpenOptions::new().write(true).open(&path);
                cgroups.push(file.map_err(|cause| failed(&path, cause))?.into());
            }
            CgroupVersion::V2 => {
                let file = File::open(&leaf.path);
                born = Some(file.map_err(|cause| failed(&leaf.path, cause))?.into());
            }
        }
    }
    Ok((cgroups, born))
}

fn volumes(plan: &LaunchPlan) -> Result<Vec<Volume>, InitError> {
    let volumes = plan.volumes.iter();
    volumes
        .map(|volume| {
            Ok(Volume {
                source: c_path("a volume", &volume.source)?,
                names: names("the place of a volume", &volume.place)?,
                read_only: volume.read_only,
            })
        })
        .collect()
}

fn names(what: &'static str, path: &Path) -> Result<Vec<CString>, InitError> {
    path.components()
        .map(|name| c_string(what, name.as_os_str().as_bytes()))
        .collect()
}

/// The last mount that covers the sandbox, if any does.
fn reshow(plan: &LaunchPlan) -> Result<Option<Reshow>, InitError> {
    let Some((target, below)) = plan.mounts.iter().rev().find_map(|mount| {
        let below = plan.sandbox.strip_prefix(&mount.target).ok()?;
        Some((&mount.target, below))
    }) else {
        return Ok(None);
    };
    Ok(Some(Reshow {
        under: c_path("a mount target", target)?,
        names: names("the sandbox", below)?,
    }))
}

fn candidate(path: CString, argv: &[CString]) -> Candidate {
    let script = [c"/bin/sh".to_owned(), path.clone()]
        .into_iter()
        .chain(argv.iter().skip(1).cloned())
        .collect();
    Candidate {
        path,
        argv: Strings::new(argv.to_vec()),
        script_argv: Strings::new(script),
    }
}

/// What exec will be tried on, in order.
fn candidates(plan: &LaunchPlan) -> Result<Vec<Candidate>, InitError> {
    let command = &plan.command;
    let value = c_string("the command", command.value.as_bytes())?;
    if command.shell {
        let argv = [c"sh", c"-c"].map(CStr::to_owned);
        let argv: Vec<CString> = argv.into_iter().chain([value]).collect();
        return Ok(vec![candidate(c"/bin/sh".to_owned(), &argv)]);
    }
    let mut argv = command
        .arguments
        .iter()
        .map(|argument| c_string("an argument of the command", argument.as_bytes()))
        .collect::<Result<Vec<_>, _>>()?;
    if argv.is_empty() {
        argv.push(value.clone());
    }
    if command.value.contains('/') || command.value.is_empty() {
        return Ok(vec![candidate(value, &argv)]);
    }
    let search = plan
        .environment
        .iter()
        .rev()
        .find(|(name, _)| name == "PATH")
        .map_or(DEFAULT_PATH, |(_, value)| value.as_str());
    search
        .split(':')
        .map(|directory| {
            let directory = if directory.is_empty() { "." } else { directory };
            let path = format!("{directory}/{}", command.value);
            Ok(candidate(c_string("the command", path.as_bytes())?, &argv))
        })
        .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::containerizer::plan::{PlannedMount, tests::shell};

    #[test]
    fn shell_form_is_sh_dash_c() {
        let found = candidates(&shell("echo $A")).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path.as_c_str(), c"/bin/sh");
        assert_eq!(
            found[0].argv._owned,
            [c"sh".to_owned(), c"-c".to_owned(), c"echo $A".to_owned()]
        );
    }

    #[test]
    fn exec_form_searches_the_planned_path() {
        let mut plan = shell("tool");
        plan.command.shell = false;
        plan.environment = vec![("PATH".into(), "/a::/b".into())];
        let paths: Vec<_> = candidates(&plan)
            .unwrap()
            .into_iter()
            .map(|c| c.path.into_string().unwrap())
            .collect();
        assert_eq!(paths, ["/a/tool", "./tool", "/b/tool"]);
        plan.command.value = "/x/tool".into();
        plan.command.arguments = vec!["name".into(), "one".into()];
        let found = candidates(&plan).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].argv._owned[0].as_c_str(), c"name");
        assert_eq!(found[0].script_argv._owned[1].as_c_str(), c"/x/tool");
        assert_eq!(found[0].script_argv._owned[2].as_c_str(), c"one");
    }

    #[test]
    fn sandbox_below_tmp_is_shown_again() {
        let mut plan = shell("true");
        plan.sandbox = "/tmp/work/run".into();
        assert!(reshow(&plan).unwrap().is_none());
        plan.mounts.push(PlannedMount {
            source: "/tmp/work/run/tmp".into(),
            target: "/tmp".into(),
            read_only: false,
        });
        let again = reshow(&plan).unwrap().unwrap();
        assert_eq!(again.under.as_c_str(), c"/tmp");
        assert_eq!(again.names, [c"work".to_owned(), c"run".to_owned()]);
    }

    #[test]
    fn nul_bytes_are_refused_by_name() {
        let refused = candidates(&shell("a\0b")).unwrap_err();
        assert_eq!(refused.to_string(), "the command holds a NUL byte");
    }
}
