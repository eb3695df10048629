//! What /proc and /sys show of the machine, and what can be changed there.

use std::fs;
use std::io::ErrorKind::{NotADirectory, NotFound};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use mount_namespace::{Mount, remount_with};
use nix::mount::MsFlags;
use nix::sys::stat::makedev;
use runtime::{Feature, Inside};

/// Covers the kernel's files that describe the whole machine, and makes those
/// that change it read-only.
///
/// No namespace has a copy of them: there is one for all. The user namespace
/// keeps root inside away from most of them. What is left is what any user may
/// read.
#[derive(Debug, Default)]
pub struct SystemPaths {
    /// Leave all as it is.
    pub unconfined: bool,
    /// What somebody else has chosen: to be covered, and to be read-only.
    pub chosen: Option<(Vec<String>, Vec<String>)>,
}

/// What is covered, and what it shows. The narration tells the first one only.
const MASKED: [(&str, &str); 17] = [
    ("/proc/interrupts", "it counts keystrokes"),
    ("/proc/acpi", "batteries, lids, and what may wake the machine"),
    ("/proc/asound", "sound cards, and whether one plays"),
    ("/proc/cmdline", "how the host was booted, passwords included"),
    ("/proc/iomem", "where the kernel lies in memory"),
    ("/proc/ioports", "which devices there are"),
    ("/proc/kcore", "all of the machine's memory"),
    ("/proc/key-users", "how many keys each user of the host has"),
    ("/proc/keys", "the names of keys that we might use"),
    ("/proc/latency_stats", "what the host's processes wait for"),
    ("/proc/sched_debug", "all processes of the host, by name"),
    ("/proc/scsi", "disks, and a switch that removes them"),
    ("/proc/timer_list", "the timers of all processes"),
    ("/proc/timer_stats", "the same, on old kernels"),
    ("/sys/devices/virtual/powercap", "power drawn: it betrays secret keys"),
    ("/sys/firmware", "the firmware's tables and variables"),
    ("/sys/kernel/vmcoreinfo", "where the kernel keeps its own data"),
];

/// What becomes read-only, and what it changes.
const READ_ONLY: [(&str, &str); 5] = [
    ("/proc/sys", "the kernel's settings (sysctl)"),
    ("/proc/bus", "registers of devices"),
    ("/proc/fs", "settings of mounted filesystems"),
    ("/proc/irq", "which processor serves which device"),
    ("/proc/sysrq-trigger", "one letter reboots the machine"),
];

impl Feature for SystemPaths {
    fn inside(&self, container: &mut Inside) -> Result<()> {
        if self.unconfined {
            return Ok(());
        }
        if let Some((masked, read_only)) = &self.chosen {
            masked.iter().try_for_each(|it| cover(container, it, "masked"))?;
            return read_only.iter().try_for_each(|it| {
                make_read_only(container, it, "to be read-only")
            });
        }
        // One is told. The others do the same at another path: they are counted.
        let [(path, what), others @ ..] = &MASKED;
        cover(container, path, what)?;
        container.routine(|| {
            for (path, what) in others {
                cover(container, path, what)?;
            }
            for (path, what) in &READ_ONLY {
                make_read_only(container, path, what)?;
            }
            Ok(())
        })
    }
}

/// Not every kernel has all of them. But what is there, and can't be looked up
/// now, would lie open later.
fn what_is_there(path: &str) -> Result<Option<fs::Metadata>> {
    match fs::metadata(path) {
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => {
            Ok(None)
        }
        found => found.map(Some).with_context(|| format!("stat({path:?})")),
    }
}

/// Over a file goes /dev/null, and over a directory an empty one, where this
/// kernel has it.
fn cover(container: &Inside, path: &str, what: &str) -> Result<()> {
    let flags = MsFlags::MS_RDONLY
        | MsFlags::MS_NOSUID
        | MsFlags::MS_NODEV
        | MsFlags::MS_NOEXEC;
    let Some(there) = what_is_there(path)? else { return Ok(()) };
    match there.is_dir() {
        true => Mount::new("tmpfs", flags, "size=0,mode=755"),
        false => Mount::bind(Path::new("/dev/null"), MsFlags::empty()),
    }
    .make(container, path, what)?;
    ensure!(
        there.is_dir() || fs::metadata(path).is_ok_and(|it| is_null(&it)),
        "{path} is not covered: /dev/null in the root directory is something else"
    );
    Ok(())
}

/// Somebody else made the root directory: a link there would have shown what
/// it points to, for all to write (CVE-2025-31133).
fn is_null(file: &fs::Metadata) -> bool {
    let is_device = file.file_type().is_char_device();
    is_device && file.rdev() == makedev(1, 3)
}

/// A path that is bound to itself is a mount, and has flags of its own.
fn make_read_only(container: &Inside, path: &str, what: &str) -> Result<()> {
    if what_is_there(path)?.is_none() {
        return Ok(());
    }
    let itself = Mount::bind(Path::new(path), MsFlags::empty());
    itself.make(container, path, what)?;
    remount_with(MsFlags::MS_RDONLY, container, path, "and read-only")?;
    Ok(())
}
