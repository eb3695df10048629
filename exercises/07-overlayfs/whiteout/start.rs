//! whiteout UPPER PATH...
//!
//! Makes UPPER a layer that hides each PATH of the layers below.

use std::path::Path;

use anyhow::{Context, ensure};

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
    println!("{path:?} is to be a whiteout");
    // TODO: make one.
    Ok(())
}
