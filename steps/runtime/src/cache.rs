//! Directories that are made once and kept: default root directories, and
//! layers that were unpacked.

use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{Mode, umask};
use nix::unistd::geteuid;

use crate::failure::Failure;
use crate::narration::Narrator;

/// A directory of the cache. While this lives, nobody takes it away.
#[derive(Debug)]
pub struct CachedDirectory {
    path: PathBuf,
    _in_use: Flock<File>,
}

impl CachedDirectory {
    /// The directory of this family and version; `fill` makes what is in it,
    /// if it is not there yet. Other versions of the family go away then,
    /// unless somebody uses them.
    ///
    /// # Errors
    /// Without a cache directory, or as `fill`.
    pub fn open(
        runtime: &Narrator,
        family: &str,
        version: &str,
        fill: impl Fn(&Path) -> Result<()>,
    ) -> Result<CachedDirectory> {
        let cache = cache_directory()?.join("container-workshop");
        let path = cache.join(format!("{family}.{version}"));
        let place = || {
            format!(
                "in {} (XDG_CACHE_HOME=DIR chooses another place, --rootfs DIR \
                 a root directory of your own)",
                cache.display()
            )
        };
        loop {
            if let Some(_in_use) =
                lock_existing(runtime, &path).with_context(place)?
            {
                return Ok(CachedDirectory { path, _in_use });
            }
            make(runtime, &cache, family, &path, &fill).with_context(place)?;
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A shared lock on a directory that exists, and still does once it is locked.
fn lock_existing(
    runtime: &Narrator,
    path: &Path,
) -> Result<Option<Flock<File>>> {
    let directory = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened
            .map_err(|error| Failure::of(format!("open({path:?})"), error))?,
    };
    let locked = runtime.lock(directory, FlockArg::LockShared, path)?;
    let same =
        |there: fs::Metadata| Ok(there.ino() == locked.metadata()?.ino());
    match fs::metadata(path).and_then(same) {
        Ok(true) => Ok(Some(locked)),
        _ => Ok(None),
    }
}

/// Makes `path` in one step for whoever looks: in a directory beside it that
/// is renamed when it is complete. One process at a time; what another one
/// left behind when it was killed goes away first.
fn make(
    runtime: &Narrator,
    cache: &Path,
    family: &str,
    path: &Path,
    fill: impl Fn(&Path) -> Result<()>,
) -> Result<()> {
    // A caller's umask 077 would keep every other user of a container out.
    umask(Mode::from_bits_truncate(0o022));
    fs::create_dir_all(cache)?;
    let lock = cache.join("lock");
    let file = File::create(&lock)?;
    let how = FlockArg::LockExclusive;
    let _lock = runtime.lock_within(LONG_ENOUGH, file, how, &lock)?;
    if path.exists() {
        return Ok(());
    }
    remove_outdated(cache, family)?;
    let new = tempfile::Builder::new().prefix(NEW).tempdir_in(cache)?;
    fill(new.path())?;
    fs::set_permissions(new.path(), Permissions::from_mode(0o755))?;
    fs::rename(new.keep(), path)?;
    Ok(())
}

const NEW: &str = "new-";

/// For another runtime, to fill a directory.
const LONG_ENOUGH: Duration = Duration::from_secs(120);

/// Takes away older versions that nobody uses, and what was left behind by
/// those who were killed while they made one.
fn remove_outdated(cache: &Path, family: &str) -> Result<()> {
    for entry in fs::read_dir(cache)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.split('.').next() != Some(family) && !name.starts_with(NEW) {
            continue;
        }
        let directory = File::open(entry.path())?;
        // Held until it is gone: nobody may begin to use it meanwhile.
        let how = FlockArg::LockExclusiveNonblock;
        if let Ok(_lock) = Flock::lock(directory, how) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// The user's cache directory. Root's is the system's: under sudo, HOME may be
/// that of another user, where files of root would be in the way, and nobody
/// whose ids are mapped may pass through /root.
fn cache_directory() -> Result<PathBuf> {
    let variable = |name| {
        std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute())
    };
    let own = || match geteuid().is_root() {
        true => Some(PathBuf::from("/var/cache")),
        false => variable("HOME").map(|home| home.join(".cache")),
    };
    variable("XDG_CACHE_HOME").or_else(own).context(
        "no place for what is made once and kept: set HOME or XDG_CACHE_HOME \
         to a directory of your own",
    )
}
