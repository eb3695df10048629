#![forbid(unsafe_code)]
//! A root directory of its own.
//!
//! [chroot(2)](https://man7.org/linux/man-pages/man2/chroot.2.html) changes
//! where a process's path names begin: `/` becomes a directory that you
//! choose, and what lies outside has no name any more. This closes the hole
//! that a program can read every file of the host that it can name.

use anyhow::Result;
use nix::unistd::{chdir, chroot};
use runtime::{Feature, Inside, shell};

/// Another `/`, and nothing else: names are all that it changes.
#[derive(Debug, clap::Args)]
pub struct Chroot {}

impl Feature for Chroot {
    fn inside(&self, container: &mut Inside) -> Result<()> {
        let root = container.rootfs.clone();
        container.call(
            format!("chroot({root:?})"),
            "path names begin here",
            shell(["chroot".as_ref(), root.as_os_str(), "sh".as_ref()]),
            || chroot(&root),
        )?;
        // chroot(2) leaves the working directory where it is: on the outside.
        // From there `..` leads to the host's root, one step at a time.
        container.call(
            "chdir(\"/\")",
            "leave the directory outside",
            "cd /",
            || chdir("/"),
        )?;
        Ok(())
    }
}
