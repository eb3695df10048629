//! What is written down of a container, and what the kernel says of it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::geteuid;
use oci_spec::runtime::Spec;
use runtime::{Door, Feature, Inside};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use serde_json::json;
use user_namespace::powers::is_the_first;

use crate::cgroup::Cgroup;
use crate::command_line::Cli;

/// A container, as state.json has it.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    pub id: String,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    /// 0 while it is being created, or when that was interrupted.
    pub pid: i32,
    /// Numbers come back; together with this one does not (proc_pid_stat(5)).
    pub start_time: u64,
    pub created: String,
    pub cgroup: Cgroup,
    pub spec: Spec,
}

/// As the runtime-spec names it, and two more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

/// What `state` prints, and hooks read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown<'a> {
    oci_version: &'a str,
    id: &'a str,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    bundle: &'a Path,
    rootfs: &'a Path,
    created: &'a str,
    annotations: HashMap<String, String>,
}

/// The directory of one container.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// A new one, for whoever comes first, and locked.
    ///
    /// # Errors
    /// When the name is taken, or is none.
    pub fn make(cli: &Cli, id: &str) -> Result<(Directory, Lock)> {
        let root = root(cli)?;
        let mut all = DirBuilder::new();
        all.recursive(true)
            .mode(0o711)
            .create(&root)
            .with_context(|| format!("mkdir({root:?})"))?;
        only_ours(&root)?;
        let path = place(&root, id)?;
        let taken = || {
            format!("container {id:?}: a container with that id already exists")
        };
        match DirBuilder::new().mode(0o711).create(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                bail!(taken())
            }
            made => made.with_context(|| format!("mkdir({path:?})"))?,
        }
        let made = Directory(path);
        let lock = made.lock()?;
        // Before that, one could delete it, and another one make it anew.
        ensure!(made.read()?.is_none(), taken());
        Ok((made, Lock(Rc::new(RefCell::new(Some(lock))))))
    }

    /// # Errors
    /// When there is none, or somebody else made it.
    pub fn find(cli: &Cli, id: &str) -> Result<Option<Directory>> {
        let root = root(cli)?;
        let path = place(&root, id)?;
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{path:?}")),
            Ok(found) => {
                ensure!(
                    found.is_dir()
                        && found.uid() == geteuid().as_raw()
                        && found.mode() & OTHERS_WRITE == 0,
                    "{path:?}: somebody else made it, or could write in it, \
                     so it is not believed"
                );
                only_ours(&root)?;
                Ok(Some(Directory(path)))
            }
        }
    }

    /// The same, where there must be one.
    ///
    /// # Errors
    /// When there is none.
    pub fn of(cli: &Cli, id: &str) -> Result<Directory> {
        let found = Directory::find(cli, id)?;
        found.with_context(|| format!("container {id:?} does not exist"))
    }

    /// Of a container that is being made.
    #[must_use]
    pub fn at(path: PathBuf) -> Directory {
        Directory(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// One at a time, as long as that is open.
    ///
    /// # Errors
    /// As flock(2); when it is gone, or somebody else does not come to an end.
    pub fn lock(&self) -> Result<File> {
        let place = &self.0;
        let open = File::open(place).with_context(|| format!("{place:?}"))?;
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            match flock(&open, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) if Instant::now() < end => {
                    sleep(Duration::from_millis(1))
                }
                locked => {
                    break locked.with_context(|| {
                        format!("flock({place:?}): another runtime is at it")
                    })?;
                }
            }
        }
        let (own, there) = (open.metadata()?, fs::metadata(place));
        let is_there = there.is_ok_and(|it| it.ino() == own.ino());
        ensure!(is_there, "the container does not exist: it was just deleted");
        Ok(open)
    }

    /// In one step, for whoever reads it.
    ///
    /// # Errors
    /// As write(2).
    pub fn write(&self, state: &State) -> Result<()> {
        let new = self.0.join("state.json.new");
        fs::write(&new, serde_json::to_vec(state)?)
            .with_context(|| format!("write({new:?})"))?;
        fs::rename(&new, self.0.join("state.json"))
            .context("rename(state.json)")
    }

    /// `None` before anything of it is made.
    ///
    /// # Errors
    /// When it is no state.
    pub fn read(&self) -> Result<Option<State>> {
        let file = self.0.join("state.json");
        match fs::read(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{file:?}")),
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .with_context(|| format!("{}", file.display())),
        }
    }

    /// # Errors
    /// As rmdir(2).
    pub fn remove(&self) -> Result<()> {
        fs::remove_dir_all(&self.0)
            .with_context(|| format!("rmdir({:?})", self.0))
    }
}

/// What keeps others out as long as a container is made. Its first process
/// closes that: a directory of the host is nothing to have inside.
#[derive(Clone)]
pub struct Lock(Rc<RefCell<Option<File>>>);

impl Feature for Lock {
    fn first(&self, _: &Inside) -> Result<()> {
        drop(self.0.take());
        Ok(())
    }
}

impl State {
    /// Its first process, if it lives. As long as that is open, its number
    /// stands for nobody else.
    #[must_use]
    pub fn process(&self) -> Option<OwnedFd> {
        let pid = Pid::from_raw(self.pid)?;
        let open = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        (start_time(self.pid) == Some(self.start_time)).then_some(open)
    }

    /// What the kernel says.
    #[must_use]
    pub fn status(&self, directory: &Directory) -> Status {
        match start_time(self.pid) {
            _ if self.pid == 0 => Status::Creating,
            Some(began) if began == self.start_time => {
                match (
                    Door::is_closed(directory.path()),
                    self.cgroup.is_frozen(),
                ) {
                    (true, _) => Status::Created,
                    (false, true) => Status::Paused,
                    (false, false) => Status::Running,
                }
            }
            _ => Status::Stopped,
        }
    }

    fn has_process(&self, status: Status) -> bool {
        self.pid != 0 && status != Status::Stopped
    }

    #[must_use]
    pub fn shown(&self, status: Status) -> Shown<'_> {
        Shown {
            oci_version: self.spec.version(),
            id: &self.id,
            status,
            pid: self.has_process(status).then_some(self.pid),
            bundle: &self.bundle,
            rootfs: &self.rootfs,
            created: &self.created,
            annotations: self.spec.annotations().clone().unwrap_or_default(),
        }
    }

    /// The same, as hooks read it.
    #[must_use]
    pub fn told(&self, status: Status) -> String {
        json!(self.shown(status)).to_string()
    }
}

/// When a process began, in ticks since the machine did; `None` when it has
/// ended, though nobody has waited for it yet.
#[must_use]
pub fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Its name is in parentheses, and may have some itself.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let began = fields.nth(18)?.parse().ok()?;
    (!["Z", "X"].contains(&state)).then_some(began)
}

const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Whoever may rename what is in it could make a container of ours another.
fn only_ours(root: &Path) -> Result<()> {
    let found =
        fs::metadata(root).with_context(|| format!("--root {root:?}"))?;
    let open = found.mode() & OTHERS_WRITE != 0 && found.mode() & STICKY == 0;
    ensure!(
        !open && [0, geteuid().as_raw()].contains(&found.uid()),
        "--root {root:?}: somebody else may write there: chmod go-w it, \
         or name another directory"
    );
    Ok(())
}

/// # Errors
/// Without one for an ordinary user.
pub fn root(cli: &Cli) -> Result<PathBuf> {
    const NAME: &str = "workshop-oci";
    if let Some(root) = &cli.root {
        return std::path::absolute(root).context("--root");
    }
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(directory) if is_somebodys() => {
            Ok(Path::new(&directory).join(NAME))
        }
        None if !geteuid().is_root() => {
            bail!("no place for the state: set XDG_RUNTIME_DIR, or --root DIR")
        }
        _ => Ok(Path::new("/run").join(NAME)),
    }
}

/// Rootless podman starts us as root of a user namespace of its own: /run is
/// not ours there, and $USER still says whose that is (as in runc).
fn is_somebodys() -> bool {
    let is_named_root =
        || std::env::var_os("USER").is_some_and(|it| it == "root");
    !geteuid().is_root() || !is_the_first() && !is_named_root()
}

fn place(root: &Path, id: &str) -> Result<PathBuf> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
    ensure!(
        !id.is_empty()
            && id.len() < 256
            && id.chars().all(is_plain)
            && ![".", ".."].contains(&id),
        "container id {id:?}: it has letters, digits and + - . _"
    );
    Ok(root.join(id))
}
