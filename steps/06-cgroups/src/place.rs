//! Where programs inside look for cgroups.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use mount_namespace::Mount;
use nix::mount::MsFlags;
use runtime::Inside;

/// Where they look.
pub const PLACE: &str = "/sys/fs/cgroup";

/// Read-only: whoever may write here may lift the limits.
pub const QUIET: MsFlags = MsFlags::MS_RDONLY
    .union(MsFlags::MS_NOSUID)
    .union(MsFlags::MS_NODEV)
    .union(MsFlags::MS_NOEXEC);

/// Written to by an init that divides what was handed over to it.
pub fn flags(writable: bool) -> MsFlags {
    match writable {
        true => QUIET - MsFlags::MS_RDONLY,
        false => QUIET,
    }
}

/// Shows the tree there, as `mount` does.
pub fn show(
    container: &Inside,
    mount: impl Fn(&Inside) -> Result<()>,
) -> Result<()> {
    let made = make(container)?;
    mount(container)?;
    if made { close(container, "/sys") } else { Ok(()) }
}

/// sysfs has a directory for it. Where sysfs could not be mounted, because the
/// network namespace is the host's, a tmpfs takes its place: `true`.
fn make(container: &Inside) -> Result<bool> {
    if Path::new(PLACE).is_dir() {
        return Ok(false);
    }
    let why = "a place for the cgroups: sysfs is not ours to mount";
    Mount::new("tmpfs", MsFlags::MS_NOSUID, "mode=755,size=64k")
        .make(container, "/sys", why)?;
    fs::create_dir_all(PLACE).with_context(|| format!("mkdir -p {PLACE}"))?;
    Ok(true)
}

/// Nothing is to be written to a tmpfs that only holds places for mounts.
pub fn close(container: &Inside, place: &str) -> Result<()> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | QUIET;
    Mount::change(flags).make(container, place, "complete: read-only now")?;
    Ok(())
}
