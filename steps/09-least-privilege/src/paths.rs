//! What /proc and /sys tell about the machine, and let one change of it.

use std::path::Path;

use anyhow::Result;
use mount_namespace::{Mount, remount_with};
use nix::mount::MsFlags;
use runtime::{Feature, Inside};

/// Files and directories of the kernel that show or change the whole machine,
/// covered or made read-only.
///
/// They are one for all: no namespace makes a copy of them. The user namespace
/// keeps root inside from most; what any user may read is left.
#[derive(Debug)]
pub struct SystemPaths {
    /// Leave all as it is.
    pub unconfined: bool,
}

/// What is covered, and what it tells.
const MASKED: [(&str, &str); 17] = [
    ("/proc/interrupts", "when which device has work: keystrokes, too"),
    ("/proc/acpi", "batteries, lids, and on old machines their switches"),
    ("/proc/asound", "sound cards, and whether one plays"),
    ("/proc/cmdline", "how the host was booted, passwords included"),
    ("/proc/iomem", "where the kernel lies in memory"),
    ("/proc/ioports", "which devices there are"),
    ("/proc/kcore", "all of the memory"),
    ("/proc/key-users", "who on the host has how many keys"),
    ("/proc/keys", "keys of the host that we may see, with their names"),
    ("/proc/latency_stats", "what the host's processes wait for"),
    ("/proc/sched_debug", "every process of the host by name"),
    ("/proc/scsi", "disks, and a switch to remove them"),
    ("/proc/timer_list", "timers of the host's processes"),
    ("/proc/timer_stats", "the same, on old kernels"),
    (
        "/sys/devices/virtual/powercap",
        "power used, precise enough to guess keys",
    ),
    ("/sys/firmware", "tables and variables of the firmware"),
    ("/sys/kernel/vmcoreinfo", "where the kernel keeps its own data"),
];

/// What can only be read, and what it switches.
const READ_ONLY: [(&str, &str); 5] = [
    ("/proc/sys", "settings of the kernel (sysctl)"),
    ("/proc/bus", "registers of devices"),
    ("/proc/fs", "settings of mounted filesystems"),
    ("/proc/irq", "which processor serves which device"),
    ("/proc/sysrq-trigger", "reboot, at one letter"),
];

impl Feature for SystemPaths {
    fn inside(&self, container: &mut Inside) -> Result<()> {
        if self.unconfined {
            return Ok(());
        }
        let there = |path: &&(&str, &str)| Path::new(path.0).exists();
        let mut first = true;
        for (path, what) in MASKED.iter().filter(there) {
            told_once(&mut first, container, || cover(container, path, what))?;
        }
        let mut first = true;
        for (path, what) in READ_ONLY.iter().filter(there) {
            told_once(&mut first, container, || {
                make_read_only(container, path, what)
            })?;
        }
        Ok(())
    }
}

/// A file becomes /dev/null, a directory an empty one.
fn cover(container: &Inside, path: &str, what: &str) -> Result<()> {
    let flags = MsFlags::MS_RDONLY
        | MsFlags::MS_NOSUID
        | MsFlags::MS_NODEV
        | MsFlags::MS_NOEXEC;
    match Path::new(path).is_dir() {
        true => Mount::new("tmpfs", flags, "size=0,mode=755"),
        false => Mount::bind(Path::new("/dev/null"), MsFlags::empty()),
    }
    .make(container, path, what)?;
    Ok(())
}

/// Bound to itself, it is a mount, and has flags of its own.
fn make_read_only(container: &Inside, path: &str, what: &str) -> Result<()> {
    let itself = Mount::bind(Path::new(path), MsFlags::empty());
    container.routine(|| itself.make(container, path, "to be a mount"))?;
    remount_with(MsFlags::MS_RDONLY, container, path, what)?;
    Ok(())
}

/// The others are the same with another path: they are counted.
fn told_once(
    first: &mut bool,
    container: &Inside,
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    match std::mem::take(first) {
        true => work(),
        false => container.routine(work),
    }
}
