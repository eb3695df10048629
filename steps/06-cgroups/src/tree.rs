//! A cgroup is a directory: to make one, write into it, and take it away.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Gid, Pid, Uid};
use runtime::{
    Because, Birthplace, Failure, Inside, Narrator, Side, kernel_file, shell,
};

/// The files of a cgroup with which it is divided; the first is itself.
pub const DIVIDES: [&str; 5] =
    ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "tasks"];

const BELOW: &str = "below its limits";

/// The part of a container's cgroup that its root may divide.
const HANDED_OVER: &str = "inside";

/// Before the number of the runtime that a cgroup belongs to.
const PREFIX: &str = "container-";

/// A cgroup that goes away with its owner.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Says to those who sweep that its owner lives.
    in_use: Flock<File>,
}

impl Directory {
    /// Makes the container's cgroup below `parent`. What is told calls it
    /// `short`.
    pub fn make(
        runtime: &Narrator,
        short: &'static str,
        parent: &Path,
    ) -> Result<Directory> {
        let mut number = 1;
        while name(parent, number).exists() {
            number += 1;
        }
        let path = name(parent, number);
        runtime.name(short, &path);
        runtime.tell(
            Side::Host,
            &format!("mkdir({path:?})"),
            "a cgroup of its own",
            &shell(["mkdir".as_ref(), path.as_os_str()]),
        )?;
        let made = make_and_lock(runtime, parent, number)
            .because(Errno::EACCES, NOT_OURS)
            .because(Errno::EROFS, READ_ONLY)?;
        Ok(made)
    }

    /// Its name in the tree.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// For a process that shall begin here (v2).
    pub fn birthplace(&self) -> Birthplace<'_> {
        Birthplace { path: &self.path, directory: self.in_use.as_fd() }
    }

    /// A cgroup in it for whoever is root inside, to divide further. Its own
    /// limits stay out of their reach: they are those of this one.
    ///
    /// # Errors
    /// As mkdir(2) and chown(2).
    pub fn hand_over(
        &self,
        runtime: &Narrator,
        owner: Option<(Uid, Gid)>,
    ) -> Result<PathBuf, Failure> {
        let path = self.path.join(HANDED_OVER);
        let mkdir = format!("mkdir({path:?})");
        let Some((uid, gid)) = owner else {
            let shell = shell(["mkdir".as_ref(), path.as_os_str()]);
            runtime.call(Side::Host, mkdir, BELOW, shell, || {
                fs::create_dir(&path)
            })?;
            return Ok(path);
        };
        let (uid, gid) = (uid.as_raw(), gid.as_raw());
        let call = format!("{mkdir}, chown({uid}, {gid})");
        runtime.call(Side::Host, call, BELOW, "", || {
            fs::create_dir(&path)?;
            let files = DIVIDES.map(|name| path.join(name)).into_iter();
            let mut there = files.filter(|file| file.exists());
            there.try_for_each(|file| chown(file, Some(uid), Some(gid)))
        })?;
        Ok(path)
    }

    /// One of its files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The number behind a word in one of its files, as in `oom_kill 3`.
    pub fn count(&self, file: &str, word: &str) -> u64 {
        let text = kernel_file(self.file(file)).unwrap_or_default();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
        line.and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}

/// The container is over.
impl Drop for Directory {
    fn drop(&mut self) {
        let _ = remove_when_empty(&self.path, Duration::from_secs(2));
    }
}

/// Takes a cgroup away, with those below it: its last process may still be on
/// its way out.
///
/// # Errors
/// As rmdir(2), when there is still one after so long.
pub fn remove_when_empty(cgroup: &Path, patience: Duration) -> io::Result<()> {
    let end = Instant::now() + patience;
    loop {
        let removed = remove_tree(cgroup);
        let kind = removed.as_ref().map_err(io::Error::kind);
        match kind {
            Err(ErrorKind::NotFound) if !cgroup.exists() => return Ok(()),
            Err(ErrorKind::NotFound | ErrorKind::ResourceBusy)
                if Instant::now() < end =>
            {
                std::thread::sleep(Duration::from_millis(1));
            }
            _ => return removed,
        }
    }
}

/// The cgroup (v2) that a runtime made for the container of this process, above
/// the part that is root's inside.
///
/// # Errors
/// As read(2).
pub fn of_container(pid: Pid) -> Result<Option<PathBuf>, Failure> {
    let Some((_, own)) = Trees::of(pid.as_raw())?.place(None) else {
        return Ok(None);
    };
    let above = own.parent().filter(|_| own.ends_with(HANDED_OVER));
    let own = above.map_or(own.clone(), Path::to_owned);
    let name = own.file_name().unwrap_or_default().to_string_lossy();
    let is_one = name.starts_with(PREFIX);
    Ok(is_one.then_some(own))
}

/// Another PID namespace may have a runtime of our number, and the same tree:
/// it has the first name then, and we the next.
fn name(parent: &Path, number: u32) -> PathBuf {
    let name = format!("{PREFIX}{}", std::process::id());
    parent.join(match number {
        1 => name,
        _ => format!("{name}-{number}"),
    })
}

/// One at a time: nobody sweeps away a cgroup that is not locked yet. The lock
/// is on a file of the parent. The directory itself is locked by its owner, for
/// life, where it is a container's own.
fn make_and_lock(
    runtime: &Narrator,
    parent: &Path,
    mut number: u32,
) -> Result<Directory, Failure> {
    let lock = |path: &Path, how| {
        let file = File::open(path)
            .map_err(|error| Failure::of(format!("open({path:?})"), error))?;
        runtime.lock(file, how, path)
    };
    let _one_at_a_time =
        lock(&parent.join("cgroup.procs"), FlockArg::LockExclusive)?;
    sweep(parent);
    loop {
        let path = name(parent, number);
        match fs::create_dir(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                number += 1;
                continue;
            }
            made => made.map_err(|error| {
                Failure::of(format!("mkdir({path:?})"), error)
            })?,
        }
        let in_use = lock(&path, FlockArg::LockShared).inspect_err(|_| {
            let _ = fs::remove_dir(&path);
        })?;
        return Ok(Directory { path, in_use });
    }
}

/// A runtime that was killed could not take its cgroup away. The kernel
/// removes none that has processes.
fn sweep(parent: &Path) {
    if !has_some_below(parent) {
        return;
    }
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let in_use = |directory| {
            Flock::lock(directory, FlockArg::LockExclusiveNonblock).is_err()
        };
        if is_ours && File::open(entry.path()).is_ok_and(|dir| !in_use(dir)) {
            let _ = remove_tree(&entry.path());
        }
    }
}

/// With those below it, which an init inside may have made. The files of a
/// cgroup go with it.
///
/// # Errors
/// As rmdir(2).
pub fn remove_tree(directory: &Path) -> io::Result<()> {
    if has_some_below(directory) {
        // If they can't be listed, the kernel says that it is busy.
        let below = fs::read_dir(directory).into_iter().flatten();
        for entry in below.flatten() {
            if entry.file_type().is_ok_and(|it| it.is_dir()) {
                remove_tree(&entry.path())?;
            }
        }
    }
    fs::remove_dir(directory)
}

/// A directory has one link for each directory in it, and two of its own
/// (inode(7)). To ask for their number is quicker than for their names.
fn has_some_below(directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|it| it.nlink() != 2)
}

/// What mkdir(2) means when it refuses.
pub const NOT_OURS: &str = "this part of the tree is not ours to change; in a systemd login \
     session, `systemd-run --user --scope -p Delegate=yes` gives you one that is; without \
     systemd, run this as root or in the playground (./scripts/playground.sh)";

/// What it means to a container in a container.
pub const READ_ONLY: &str = "the cgroups here are read-only, as inside a container: whoever \
     starts that container sets its limits";

/// Writes into a file of the tree. Not by fs::write(): its O_CREAT turns a
/// file that is not there (ENOENT) into one that we may not make (EACCES).
///
/// # Errors
/// As open(2) and write(2).
pub fn put(path: &Path, value: &str) -> io::Result<()> {
    File::options().write(true).open(path)?.write_all(value.as_bytes())
}

/// We move into a cgroup. Of v1 by `tasks`, which is for one thread: one that
/// moves itself stops nobody. To move another, by `cgroup.procs`, the kernel
/// first stops all forks of the machine, for milliseconds.
///
/// # Errors
/// As open(2) and write(2).
pub fn enter(
    container: &Inside,
    cgroup: &Path,
    why: &str,
) -> Result<(), Failure> {
    let tasks = cgroup.join("tasks");
    let file = if tasks.exists() { tasks } else { cgroup.join("cgroup.procs") };
    container.call(
        format!("write({file:?}, \"0\")"),
        why,
        format!("echo 0 > {}", shell([&file])),
        || put(&file, "0"),
    )
}

/// The same as [`put`], on the host, after saying so.
pub fn write(
    runtime: &Narrator,
    path: &Path,
    value: &str,
    why: &str,
) -> Result<(), Failure> {
    runtime.call(
        Side::Host,
        format!("write({path:?}, {value:?})"),
        why,
        format!("echo {value} > {}", shell([path])),
        || put(path, value),
    )
}

/// What to do where there is no tree to be seen.
pub const NO_TREE: &str = "none is mounted here; on most machines systemd mounts it \
     (./scripts/doctor.sh says what is there), and a playground that root started has \
     one: \
     `sudo ./scripts/playground.sh`";

/// The hierarchies of this host, and where in them we are
/// (proc_pid_mountinfo(5), proc_pid_cgroup(5)).
#[derive(Debug)]
pub struct Trees {
    mounts: String,
    ours: String,
}

impl Trees {
    /// # Errors
    /// As read(2).
    pub fn read() -> Result<Trees, Failure> {
        let (mounts, ours) =
            (read("/proc/self/mountinfo")?, read("/proc/self/cgroup")?);
        Ok(Trees { mounts, ours })
    }

    /// The same, with the place of another process.
    ///
    /// # Errors
    /// As read(2).
    pub fn of(pid: i32) -> Result<Trees, Failure> {
        let ours = read(format!("/proc/{pid}/cgroup"))?;
        Ok(Trees { ours, ..Trees::read()? })
    }

    /// Of each hierarchy, its controllers; none is v2's.
    pub fn controllers(&self) -> impl Iterator<Item = &str> {
        self.ours.lines().filter_map(|line| line.split(':').nth(1))
    }

    /// Each hierarchy that is to be seen: its controllers, where it is mounted,
    /// and our place in it.
    pub fn all(&self) -> impl Iterator<Item = (&str, PathBuf, PathBuf)> {
        self.controllers().filter_map(|controllers| {
            let mut each = controllers.split(',');
            let first = each.next().filter(|it| !it.is_empty());
            let (top, own) = self.place(first)?;
            Some((controllers, top, own))
        })
    }

    /// Where a hierarchy is mounted, and our place in it. For v1, by its
    /// controller.
    pub fn place(
        &self,
        controller: Option<&str>,
    ) -> Option<(PathBuf, PathBuf)> {
        find(controller, &self.mounts, &self.ours)
    }
}

/// Reads one of the kernel's files.
pub fn read(file: impl AsRef<Path>) -> Result<String, Failure> {
    let file = file.as_ref();
    kernel_file(file)
        .map_err(|error| Failure::of(format!("read({file:?})"), error))
}

fn find(
    controller: Option<&str>,
    mounts: &str,
    cgroups: &str,
) -> Option<(PathBuf, PathBuf)> {
    let ours = cgroups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let wanted = match controller {
            Some(controller) => {
                controllers.split(',').any(|name| name == controller)
            }
            None => controllers.is_empty(),
        };
        wanted.then_some(Path::new(path))
    })?;
    // There may be several: a part of the tree that is somebody else's is bound
    // to some place, and we are not to be found there.
    mounts.lines().filter_map(|line| mounted(controller, line)).find_map(
        |(root, place)| {
            let below = ours.strip_prefix(root).ok()?;
            Some((place.to_owned(), place.join(below)))
        },
    )
}

/// Of a line about this hierarchy: which directory of it lies where.
fn mounted<'a>(
    controller: Option<&str>,
    line: &'a str,
) -> Option<(&'a Path, &'a Path)> {
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
    wanted.then_some((Path::new(root), Path::new(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_mounts_the_one_that_shows_our_place_is_taken() {
        let mounts = "30 1 0:9 /a/other /x rw - cgroup cgroup rw,pids\n\
            31 1 0:9 /a /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
            32 1 0:8 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let ours = "7:pids:/a/b\n0::/c\n";
        let place = |controller| find(controller, mounts, ours);
        let pids = "/sys/fs/cgroup/pids".into();
        let own = "/sys/fs/cgroup/pids/b".into();
        assert_eq!(place(Some("pids")), Some((pids, own)));
        let v2 = "/sys/fs/cgroup/unified".into();
        let own = "/sys/fs/cgroup/unified/c".into();
        assert_eq!(place(None), Some((v2, own)));
        assert_eq!(place(Some("memory")), None);
    }
}
