//! Why the kernel refuses an overlay: its errnos say little.

use nix::errno::Errno;
use runtime::{Because, Failure};

const ADVICE: &str = "an upper directory can't be on another overlay (in \
    docker, everything is) or on NFS, and no more than two overlays can be \
    stacked: use a directory on a disk or a tmpfs; nothing may be mounted \
    below a layer, either: `findmnt` shows what is";

/// What mount(2) said, with its cause.
///
/// # Errors
/// The same.
pub fn explained(mounted: Result<(), Failure>) -> Result<(), Failure> {
    mounted
        .because(Errno::EINVAL, ADVICE)
        .because(Errno::EPERM, "overlayfs in a user namespace needs Linux 5.11")
        .because(
            Errno::ENODEV,
            "this kernel has no overlayfs: `sudo modprobe overlay`",
        )
}
