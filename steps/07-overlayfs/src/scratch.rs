//! The tmpfs over the root directory: what it can't cover, and what is in it.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::upper::Upper;

/// # Errors
/// When it is the host's own root.
pub fn must_cover(root: &Path) -> Result<()> {
    if root == Path::new("/") {
        bail!(
            "--rootfs /: no mount covers the root that we stand on; name another directory"
        );
    }
    Ok(())
}

/// The overlay, and the directories in which it keeps what is written.
#[derive(Debug)]
pub struct Places {
    pub merged: PathBuf,
    pub upper: PathBuf,
    pub work: PathBuf,
}

impl Places {
    /// Makes them in the tmpfs, where no others were named.
    pub fn make(tmpfs: &Path, named: Option<&Upper>) -> Result<Places> {
        let merged = directory(tmpfs, "merged")?;
        let (upper, work) = match named {
            Some(upper) => (upper.path().to_owned(), upper.work()),
            None => (directory(tmpfs, "upper")?, directory(tmpfs, "work")?),
        };
        Ok(Places { merged, upper, work })
    }

    /// What a person types for that; `-p`, since some may have been named.
    pub fn made(&self) -> [&Path; 5] {
        let Places { merged, upper, work } = self;
        [Path::new("mkdir"), Path::new("-p"), upper, work, merged]
    }
}

/// Its mode will be that of the container's `/`.
fn directory(tmpfs: &Path, name: &str) -> Result<PathBuf> {
    let path = tmpfs.join(name);
    let made = DirBuilder::new().mode(0o755).create(&path);
    made.with_context(|| format!("mkdir {path:?}"))?;
    Ok(path)
}
