//! A cgroup is a directory: to make one, write into it, and take it away.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use runtime::{Because, Failure, Host, shell};

/// Before the number of the runtime that a cgroup belongs to.
const PREFIX: &str = "container-";

/// A cgroup that goes away with its owner.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// Makes the container's cgroup below `parent` and puts its first process
    /// there. What `limit` does comes before: no instruction runs without it.
    pub fn make(
        container: &Host,
        parent: &Path,
        limit: impl FnOnce(&Directory) -> Result<(), Failure>,
    ) -> Result<Directory> {
        // One at a time: nobody sweeps away the cgroup that is not in use yet.
        let lock = File::open(parent)
            .map_err(|e| Failure::of(format!("open({parent:?})"), e))?;
        let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(
            |(_, errno)| Failure::of(format!("flock({parent:?})"), errno),
        )?;
        sweep(parent);
        let path = parent.join(format!("{PREFIX}{}", std::process::id()));
        container
            .call(
                format!("mkdir({path:?})"),
                "a cgroup of its own",
                shell(["mkdir".as_ref(), path.as_os_str()]),
                || fs::create_dir(&path),
            )
            .because(Errno::EACCES, NOT_OURS)
            .because(Errno::EROFS, NOT_OURS)?;
        let directory = Directory(path);
        limit(&directory)?;
        let pid = container.pid.to_string();
        write(
            container,
            &directory.file("cgroup.procs"),
            &pid,
            "with all its children to come",
        )?;
        Ok(directory)
    }

    /// One of its files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The number behind a word in one of its files, as in `oom_kill 3`.
    pub fn count(&self, file: &str, word: &str) -> u64 {
        let text = fs::read_to_string(self.file(file)).unwrap_or_default();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
        line.and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}

/// The container is over. Its last process may still be on its way out.
impl Drop for Directory {
    fn drop(&mut self) {
        let end = Instant::now() + Duration::from_secs(2);
        while is_busy(fs::remove_dir(&self.0)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn is_busy(removed: io::Result<()>) -> bool {
    removed
        .is_err_and(|error| error.raw_os_error() == Some(Errno::EBUSY as i32))
}

/// A runtime that was killed could not take its cgroup away. The kernel
/// removes none that is in use, so to try is safe.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// What mkdir(2) means when it refuses.
pub const NOT_OURS: &str = "this part of the tree is not ours to change; in a login session of \
     systemd, `systemd-run --user --scope -p Delegate=yes` gives one that is; without systemd, \
     as root or in the playground (./scripts/playground.sh)";

/// Writes one word into a file of the tree.
pub fn write(
    container: &Host,
    path: &Path,
    value: &str,
    why: &str,
) -> Result<(), Failure> {
    container.call(
        format!("write({path:?}, {value:?})"),
        why,
        format!("echo {value} > {}", path.display()),
        || fs::write(path, value),
    )
}

/// Where a hierarchy is mounted, and where in it we are
/// (proc_pid_mountinfo(5), proc_pid_cgroup(5)). For v1, by its controller.
pub fn place(controller: Option<&str>) -> Option<(PathBuf, PathBuf)> {
    let (root, mounted) = mounted(controller)?;
    let table = fs::read_to_string("/proc/self/cgroup").ok()?;
    let ours = table.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let wanted = match controller {
            Some(controller) => {
                controllers.split(',').any(|name| name == controller)
            }
            None => controllers.is_empty(),
        };
        wanted.then(|| path.to_owned())
    })?;
    let below = Path::new(&ours).strip_prefix(&root).ok()?.to_owned();
    Some((mounted.clone(), mounted.join(below)))
}

fn mounted(controller: Option<&str>) -> Option<(PathBuf, PathBuf)> {
    let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
    table.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let (kind, rest) = filesystem.split_once(' ')?;
        let wanted = match controller {
            Some(name) => {
                kind == "cgroup"
                    && rest.split([' ', ',']).any(|option| option == name)
            }
            None => kind == "cgroup2",
        };
        let mut fields = mount.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        wanted.then(|| (root.into(), place.into()))
    })
}
