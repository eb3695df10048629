//! whiteout UPPER PATH...
//!
//! Makes UPPER a layer that hides each PATH of the layers below.

use std::fs::create_dir_all;
use std::path::Path;

use anyhow::{Context, ensure};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let upper = args.next().context("UPPER is missing")?;
    for path in args {
        let path = Path::new(&path);
        ensure!(path.is_relative(), "{path:?} is not relative");
        hide(&Path::new(&upper).join(path))?;
    }
    Ok(())
}

/// Covers what has this name in a lower layer.
fn hide(path: &Path) -> anyhow::Result<()> {
    create_dir_all(path.parent().context("no parent")?)?;
    mknod(path, SFlag::S_IFCHR, Mode::empty(), makedev(0, 0))
        .with_context(|| format!("mknod {path:?}"))
}
