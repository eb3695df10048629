//! /sys: whoever owns the network namespace may mount it, since it shows its
//! devices.

use anyhow::Result;
use nix::errno::Errno;
use nix::mount::MsFlags;
use runtime::{Because, Failure, Inside};

use crate::mount::Mount;
use crate::new_root::NewRoot;

/// Read-only, because most of it steers the machine.
pub fn mount(container: &Inside, root: &NewRoot) -> Result<()> {
    let flags = MsFlags::MS_RDONLY
        | MsFlags::MS_NOSUID
        | MsFlags::MS_NODEV
        | MsFlags::MS_NOEXEC;
    let mount = Mount::new("sysfs", flags, "");
    match mount.make(
        container,
        root.system_directory("sys")?,
        "the machine's devices, to look at",
    ) {
        Err(Failure::Call { errno: Errno::EPERM, .. }) => {
            container.note(
                "/sys stays empty: the network namespace is not ours (EPERM)",
            );
            Ok(())
        }
        mounted => Ok(mounted.because(
            Errno::EBUSY,
            "a sysfs is mounted there already: unmount it from the root directory",
        )?),
    }
}

/// To be written, for a whole host. A masked one, as in docker, can't be had
/// anew: then a place for cgroups is all that it has.
///
/// # Errors
/// As mount(2).
pub fn mount_to_write(container: &Inside, root: &NewRoot) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let place = || root.system_directory("sys");
    let why = "the devices of its network";
    let mounted = Mount::new("sysfs", flags, "").make(container, place()?, why);
    if mounted.is_err() {
        Mount::new("tmpfs", flags, "mode=755,size=1m").make(
            container,
            place()?,
            "a place for the cgroups: sysfs is not ours to mount",
        )?;
        std::fs::create_dir_all("sys/fs/cgroup")?;
    }
    Ok(())
}
