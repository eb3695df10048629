//! The upper directory that outlives its container: `docker commit` by hand.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::builder::{OsStringValueParser, TypedValueParser};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Gid, Uid};
use runtime::{Because, Failure};

/// What `--upper DIR` asks for.
#[derive(Debug, Clone)]
pub struct Upper {
    path: PathBuf,
    /// Held while the container lives: two overlays in one upper directory
    /// would destroy it.
    lock: Option<Arc<Flock<File>>>,
}

/// For clap: a path need not be UTF-8.
pub fn parser() -> impl TypedValueParser<Value = Upper> {
    OsStringValueParser::new().try_map(|text: OsString| {
        let path = std::path::absolute(&text);
        let path = path.map_err(|e| Failure::of(format!("{text:?}"), e))?;
        match path.file_name() {
            Some(_) => Ok(Upper { path, lock: None }),
            None => Err(Failure::of(format!("{text:?}"), Errno::EINVAL)),
        }
    })
}

impl Upper {
    /// Its absolute name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where overlayfs prepares a file before it moves it: beside the upper
    /// directory, because only within one filesystem it can be moved.
    pub fn work(&self) -> PathBuf {
        let mut name = OsString::from(".");
        name.push(self.path.file_name().unwrap_or_default());
        name.push(".work");
        self.path.with_file_name(name)
    }

    /// Makes both directories, for whoever is root inside.
    pub fn prepare(&mut self, owner: Option<(Uid, Gid)>) -> Result<()> {
        for path in [self.path.clone(), self.work()] {
            if !path.is_dir() {
                fs::create_dir(&path)
                    .map_err(|e| Failure::of(format!("mkdir({path:?})"), e))
                    .because(Errno::EEXIST, "it is there, and no directory")
                    .because(
                        Errno::ENOENT,
                        "the directory above it is not there",
                    )?;
                if let Some((uid, gid)) = owner {
                    chown(&path, Some(uid.as_raw()), Some(gid.as_raw()))
                        .with_context(|| format!("chown {}", path.display()))?;
                }
            }
        }
        self.path = fs::canonicalize(&self.path)?;
        let file = File::open(&self.path)
            .map_err(|e| Failure::of(format!("open({:?})", self.path), e))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, e)| Failure::of(format!("flock({:?})", self.path), e))
            .because(Errno::EWOULDBLOCK, "another container writes into it")?;
        self.lock = Some(Arc::new(lock));
        Ok(())
    }
}

/// What is left in the work directory is of no use to anybody.
impl Drop for Upper {
    fn drop(&mut self) {
        if self.lock.as_ref().is_some_and(|lock| Arc::strong_count(lock) == 1) {
            let _ = fs::remove_dir_all(self.work());
        }
    }
}
