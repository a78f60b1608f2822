//! Looking up the user that a task runs as; done by the agent, before anything is made.

use std::ffi::CString;

use nix::unistd::{User, geteuid, getgrouplist};

use super::plan::PlannedUser;

/// Why a task cannot run as the user it names.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// Nobody has that name.
    #[error(
        "there is no user {name:?} on this agent; create it, or start the agent with --no-switch_user"
    )]
    Unknown {
        /// The name.
        name: String,
    },
    /// The user database did not answer.
    #[error("cannot look up the user {name:?}: {cause}")]
    Lookup {
        /// The name.
        name: String,
        /// What the database said.
        cause: nix::Error,
    },
    /// Only root can become somebody else.
    #[error(
        "the task wants to run as {name:?}, but this agent does not run as root; run the agent as \
         root, or start it with --no-switch_user"
    )]
    NotRoot {
        /// The name.
        name: String,
    },
}

/// The user `name` with all groups; `None` if that is who we are already without being root.
pub(super) fn look_up(name: &str) -> Result<Option<PlannedUser>, UserError> {
    let lookup = |cause| UserError::Lookup {
        name: name.to_owned(),
        cause,
    };
    let user = User::from_name(name)
        .map_err(lookup)?
        .ok_or_else(|| UserError::Unknown {
            name: name.to_owned(),
        })?;
    if !geteuid().is_root() {
        return if user.uid == geteuid() {
            Ok(None)
        } else {
            Err(UserError::NotRoot {
                name: name.to_owned(),
            })
        };
    }
    let login = CString::new(name).map_err(|_| UserError::Unknown {
        name: name.to_owned(),
    })?;
    let groups = getgrouplist(&login, user.gid).map_err(lookup)?;
    Ok(Some(PlannedUser {
        name: name.to_owned(),
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        groups: groups.into_iter().map(nix::unistd::Gid::as_raw).collect(),
    }))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_or_named() {
        let unknown = look_up("nobody-has-this-name").unwrap_err().to_string();
        assert!(unknown.contains("\"nobody-has-this-name\""), "{unknown}");
        assert!(matches!(
            look_up("a\0b"),
            Err(UserError::Unknown { .. } | UserError::Lookup { .. })
        ));
        if geteuid().is_root() {
            let root = look_up("root").unwrap().unwrap();
            assert_eq!((root.uid, root.gid), (0, 0));
            assert!(root.groups.contains(&0));
        }
    }
}
