//! Why the kernel refuses an overlay: its errnos say little.

use nix::errno::Errno;
use runtime::{Because, Failure};

const ADVICE: &str = "an upper directory can't lie on another overlay, as \
    everything in docker does, nor on NFS, and no more than two overlays may \
    lie over each other: use a directory on a disk or a tmpfs; nor may \
    anything be mounted below a layer: `findmnt` shows what is";

/// What mount(2) said, with its cause.
pub fn explained(mounted: Result<(), Failure>) -> Result<(), Failure> {
    mounted
        .because(Errno::EINVAL, ADVICE)
        .because(Errno::EPERM, "overlayfs in a user namespace needs Linux 5.11")
        .because(
            Errno::ENODEV,
            "this kernel has no overlayfs: `sudo modprobe overlay`",
        )
}
