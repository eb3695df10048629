//! A keyring that is not the host's.

use anyhow::Result;
use nix::errno::Errno;
use runtime::process::join_new_session_keyring;
use runtime::{Because, Failure, Feature, Inside};

/// A session keyring of its own ([session-keyring(7)](https://man7.org/linux/man-pages/man7/session-keyring.7.html)).
///
/// The kernel keeps passwords and tickets for programs: keys, on keyrings. No
/// namespace divides them. A process has the session keyring of whoever started
/// it, and can read what is on it, whatever user it has become since.
#[derive(Debug)]
pub struct SessionKeyring;

impl Feature for SessionKeyring {
    fn inside(&self, container: &mut Inside) -> Result<()> {
        let joined = container
            .call(
                "keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL)",
                "keys of its own",
                "",
                join_new_session_keyring,
            )
            .because(
                Errno::EDQUOT,
                "this user has all the keys that /proc/sys/kernel/keys/maxkeys \
                 allows: /proc/key-users counts them",
            );
        match joined {
            // A kernel without keys, or a filter around us: then the command
            // can't get at any either.
            Err(Failure::Call { errno, .. })
                if [Errno::ENOSYS, Errno::EPERM].contains(&errno) =>
            {
                container
                    .note(format!("no keys here: keyctl(2) fails: {errno}"));
            }
            joined => joined?,
        }
        Ok(())
    }
}
