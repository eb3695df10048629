#![forbid(unsafe_code)]
//! Root inside who is nobody outside.
//!
//! A user namespace
//! ([user_namespaces(7)](https://man7.org/linux/man-pages/man7/user_namespaces.7.html))
//! gives numbers of its own to users, and powers of its own to its root: over
//! what belongs to the namespace, and over nothing else. So an ordinary user
//! may make one, and with it all the other namespaces: no sudo from here on.

mod ids;
mod lock;
pub mod powers;
mod user;

use anyhow::Result;
use clap::builder::ValueParser;
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use runtime::{Feature, Host, Inside, Narrator};

pub use ids::Mapping;
pub use lock::LockedMounts;

/// Users and groups of its own.
#[derive(Debug, clap::Args)]
pub struct UserNamespace {
    /// Run the command as this user inside
    #[arg(short, long, value_name = "UID[:GID]", value_parser = ValueParser::new(user::parse))]
    user: Option<(Uid, Gid)>,

    #[arg(skip = Mapping::for_us())]
    mapping: Mapping,
}

impl UserNamespace {
    /// With ids that somebody else has chosen.
    #[must_use]
    pub fn mapped(mapping: Mapping) -> UserNamespace {
        UserNamespace { user: None, mapping }
    }
}

impl Feature for UserNamespace {
    // Together with the others in one clone(2): the kernel makes the user
    // namespace first, and the others belong to it.
    fn namespaces(&self) -> CloneFlags {
        CloneFlags::CLONE_NEWUSER
    }

    fn before(&mut self, _: &Narrator, _: Option<(Uid, Gid)>) -> Result<()> {
        self.user.map_or(Ok(()), |(uid, gid)| self.mapping.demand(uid, gid))
    }

    // The child can't map itself to ids that are not its own. It waits.
    fn on_host(&mut self, container: &Host) -> Result<()> {
        self.mapping.write(container)?;
        self.user.map_or(Ok(()), |(uid, gid)| self.mapping.demand(uid, gid))
    }

    fn inside(&self, container: &mut Inside) -> Result<()> {
        become_root(container)?;
        container.user = self.user;
        Ok(())
    }

    fn owner(&self) -> Option<(Uid, Gid)> {
        self.mapping.root()
    }
}

/// Until it takes an id that is mapped, a process is 65534 ("nobody") in its
/// own namespace, and what it makes would belong to nobody.
///
/// # Errors
/// As setgroups(2), setresgid(2) and setresuid(2).
pub fn become_root(container: &Inside) -> Result<()> {
    let dropped = container.call(
        "setgroups([])",
        "the host's groups would still open the host's doors",
        "exec setpriv --clear-groups bash",
        || setgroups(&[]),
    );
    match dropped {
        // Denied for good where gid_map was written without a privilege:
        // a group may also be there to keep its members out (CVE-2014-8989).
        Err(runtime::Failure::Call { errno: Errno::EPERM, .. }) => {
            container
                .note("our groups stay: setgroups is denied in this namespace");
        }
        dropped => dropped?,
    }
    let (root, wheel) = (Uid::from_raw(0), Gid::from_raw(0));
    container.call(
        "setresgid(0, 0, 0)",
        "root's group inside",
        "exec setpriv --regid 0 --keep-groups bash",
        || setresgid(wheel, wheel, wheel),
    )?;
    container.call(
        "setresuid(0, 0, 0)",
        "root inside",
        "exec setpriv --reuid 0 --inh-caps=-all bash",
        || setresuid(root, root, root),
    )?;
    Ok(())
}
