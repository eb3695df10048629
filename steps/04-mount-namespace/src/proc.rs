//! /proc: it shows the processes of the PID namespace that mounts it: ours.

use anyhow::Result;
use nix::errno::Errno;
use nix::mount::MsFlags;
use runtime::{Because, Inside};

use crate::mount::Mount;
use crate::new_root::NewRoot;

/// Mounts a new one.
///
/// # Errors
/// As mount(2).
pub fn mount(container: &Inside, root: &NewRoot) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Mount::new("proc", flags, "")
        .make(
            container,
            root.system_directory("proc")?,
            "only our processes",
        )
        .because(
            Errno::EPERM,
            "a fresh proc needs an old one that nothing covers, and docker covers parts of \
             it: run this outside docker, or in the lab (./scripts/lab.sh)",
        )?;
    Ok(())
}
