//! The upper directory that outlives its container: `docker commit` by hand.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::builder::{OsStringValueParser, TypedValueParser};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Gid, Uid, getegid, geteuid};
use runtime::{Because, Failure, Host, Inside, shell};
use rustix::fs::{XattrFlags, removexattr, setxattr};

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
        let path = real_path(Path::new(&text))
            .map_err(|e| Failure::of(format!("realpath({text:?})"), e))
            .because(Errno::ENOENT, "its parent directory does not exist")?;
        Ok::<_, Failure>(Upper { path, lock: None })
    })
}

/// Without links, so that it can be compared. Only its last name may be new.
fn real_path(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let path = std::path::absolute(path)?;
            match (path.parent(), path.file_name()) {
                (Some(above), Some(name)) => {
                    Ok(fs::canonicalize(above)?.join(name))
                }
                _ => Err(error),
            }
        }
        found => found,
    }
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
    pub fn prepare(
        &mut self,
        container: &Host,
        owner: Option<(Uid, Gid)>,
    ) -> Result<()> {
        make(container, &self.path, "what is written is kept here", owner)?;
        let file = File::open(&self.path)
            .map_err(|e| Failure::of(format!("open({:?})", self.path), e))?;
        let (uid, gid) = owner.unwrap_or((geteuid(), getegid()));
        let theirs = file.metadata()?.uid();
        if theirs != uid.as_raw() {
            let path = self.path.display();
            bail!(
                "--upper {path}: it belongs to user {theirs}, and root inside is {uid}: \
                 `sudo chown {uid}:{gid} {path}`"
            );
        }
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, e)| Failure::of(format!("flock({:?})", self.path), e))
            .because(
                Errno::EWOULDBLOCK,
                "another container is writing to it",
            )?;
        self.lock = Some(Arc::new(lock));
        make(container, &self.work(), "and prepared here", owner)
    }
}

fn make(
    container: &Host,
    path: &Path,
    why: &str,
    owner: Option<(Uid, Gid)>,
) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    container
        .call(
            format!("mkdir({path:?})"),
            why,
            shell(["mkdir".as_ref(), path.as_os_str()]),
            || fs::create_dir(path),
        )
        .because(Errno::EEXIST, "it exists, and is not a directory")?;
    if let Some((uid, gid)) = owner {
        chown(path, Some(uid.as_raw()), Some(gid.as_raw()))
            .with_context(|| format!("chown {}", path.display()))?;
    }
    // Not what the caller's umask left of it: it becomes the container's `/`.
    fs::set_permissions(path, Permissions::from_mode(0o755))?;
    Ok(())
}

/// Where a directory of a lower layer was removed, and another one takes its
/// name, overlayfs notes so on the upper one. Not every filesystem can.
pub fn warn_without_attributes(container: &Inside, upper: &Path) {
    let name = "user.overlay.workshop";
    let set = setxattr(upper, name, b"y", XattrFlags::empty());
    if set.and_then(|()| removexattr(upper, name)).is_err() {
        container.note(NO_ATTRIBUTES);
    }
}

const NO_ATTRIBUTES: &str = "lower directories can't be removed (EIO): no user \
    attributes (a tmpfs has them since Linux 6.6); use `--upper DIR`";

/// What is left in the work directory is of no use to anybody. The kernel made
/// a directory there that not even its owner may read.
impl Drop for Upper {
    fn drop(&mut self) {
        if self.lock.as_ref().is_some_and(|lock| Arc::strong_count(lock) == 1) {
            let own = Permissions::from_mode(0o700);
            let _ = fs::set_permissions(self.work().join("work"), own);
            let _ = fs::remove_dir_all(self.work());
        }
    }
}
