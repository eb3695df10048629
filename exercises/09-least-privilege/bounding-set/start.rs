//! bounding-set UID GID COMMAND ARG...
//!
//! Becomes COMMAND, as user UID and group GID, without any capability.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::thread::*;

/// A process's own three sets, with nothing in them.
const NONE: CapabilitySets = CapabilitySets {
    effective: CapabilitySet::empty(),
    permitted: CapabilitySet::empty(),
    inheritable: CapabilitySet::empty(),
};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let user = args.next().context("UID is missing")?.parse()?;
    let group = args.next().context("GID is missing")?.parse()?;
    let command = args.next().context("COMMAND is missing")?;
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
    println!(
        "root begins with {:?}, and is to have {NONE:?}",
        capabilities(None)?
    );

    // TODO: which of the two parts belongs here?
    setgroups(&[]).context("setgroups")?;
    setresgid(group, group, group).context("setresgid")?;
    setresuid(user, user, user).context("setresuid")?;
    // TODO: and which one here?

    // Returns only when the command can't be executed.
    Err(Command::new(command).args(args).exec().into())
}
