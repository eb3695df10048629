//! Names below the new root, looked up as if it were already `/`.
//!
//! Somebody else may have filled the root directory, and made its `proc` a
//! link to your /etc. A runtime that follows it mounts over the host's files
//! (CVE-2019-19921, CVE-2023-27561). openat2(2) asks the kernel to take the
//! directory for the root while it looks.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::mount::MsFlags;
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::chdir;
use runtime::{Because, Failure, Inside, shell};

use crate::mount::{Mount, Target};

pub(crate) const NOTHING_TO_PIVOT: &str = "nothing to pivot from: the machine \
    still runs from its initramfs, or --rootfs is the host's own /";

/// The new root, while the old one is still in use.
#[derive(Debug)]
pub struct NewRoot {
    directory: OwnedFd,
    refusal: String,
}

impl NewRoot {
    /// Makes the root directory a mount, which pivot_root(2) demands, and goes
    /// there: all names from now on are relative to it.
    pub fn enter(container: &Inside) -> Result<NewRoot, Failure> {
        let path = &container.rootfs;
        Mount::bind(path, MsFlags::MS_REC).make(
            container,
            path,
            "the new root must be a mount",
        )?;
        let why = "names from here on are relative to it";
        let refusal = container.refusal.clone();
        container
            .call(
                format!("chdir({path:?})"),
                why,
                shell(["cd".as_ref(), path.as_os_str()]),
                || chdir(path),
            )
            .because(Errno::EACCES, &container.refusal)?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = openat(AT_FDCWD, ".", flags, Mode::empty())
            .map_err(|errno| Failure::of("open(\".\")", errno))?;
        Ok(NewRoot { directory, refusal })
    }

    /// The same directory, for a feature that mounts in it before it is entered.
    ///
    /// # Errors
    /// As open(2).
    pub fn ahead(container: &Inside) -> Result<NewRoot, Failure> {
        let path = &container.rootfs;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = openat(AT_FDCWD, path, flags, Mode::empty())
            .map_err(|errno| Failure::of(format!("open({path:?})"), errno))?;
        Ok(NewRoot { directory, refusal: container.refusal.clone() })
    }

    /// A directory that belongs to the system, /proc for one: made if it is
    /// not there, and refused if it is a link. Nobody has a reason for one.
    pub fn system_directory(&self, name: &str) -> Result<Target, Failure> {
        let open =
            || self.open(Path::new(name), ResolveFlag::RESOLVE_NO_SYMLINKS);
        let found = match open() {
            Err(Errno::ENOENT) => {
                mkdirat(&self.directory, name, DIRECTORY)
                    .map_err(|e| Failure::of(format!("mkdir({name:?})"), e))
                    .because(Errno::EACCES, &self.refusal)?;
                open()
            }
            found => found,
        };
        let found = found
            .map_err(|errno| Failure::of(format!("openat2({name:?}, RESOLVE_NO_SYMLINKS)"), errno))
            .because(
                Errno::ELOOP,
                "it is a symbolic link in the root directory, and could lead out",
            )?;
        Ok(Target::Place(found, name.into()))
    }

    /// A place for a volume: what is missing of it is made.
    pub fn place(
        &self,
        name: &Path,
        directory: bool,
    ) -> Result<Target, Failure> {
        let found = match self.open(name, ResolveFlag::empty()) {
            Err(Errno::ENOENT) => self.make(name, directory),
            found => found,
        };
        let found = found
            .map_err(|errno| {
                Failure::of(format!("make a place for {name:?}"), errno)
            })
            .because(
                Errno::EEXIST,
                "a symbolic link on the way leads nowhere inside the root directory: \
                 name the place that it points to",
            )
            .because(
                Errno::ENOTDIR,
                "part of the path is a file in the root directory: choose another place",
            )
            .because(Errno::EOVERFLOW, &self.refusal)
            .because(Errno::EACCES, &self.refusal)?;
        let relative = name.strip_prefix("/").unwrap_or(name);
        Ok(Target::Place(found, relative.into()))
    }

    /// What lies at a place now: the topmost mount, if there is one.
    pub fn existing(&self, name: &Path) -> Result<OwnedFd, Failure> {
        self.open(name, ResolveFlag::empty()).map_err(|errno| {
            Failure::of(format!("openat2({name:?}, RESOLVE_IN_ROOT)"), errno)
        })
    }

    /// Opened by O_PATH: not even a FIFO can make us wait.
    fn open(&self, name: &Path, how: ResolveFlag) -> nix::Result<OwnedFd> {
        let how =
            OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(
                how | ResolveFlag::RESOLVE_IN_ROOT
                    | ResolveFlag::RESOLVE_NO_MAGICLINKS,
            );
        openat2(&self.directory, name, how)
    }

    fn make(&self, name: &Path, directory: bool) -> nix::Result<OwnedFd> {
        let last = name.file_name().ok_or(Errno::ENOENT)?;
        let mut parent =
            self.directory.try_clone().map_err(|_| Errno::EMFILE)?;
        let mut so_far = PathBuf::new();
        for component in name.parent().into_iter().flat_map(Path::components) {
            so_far.push(component);
            parent = match (self.open(&so_far, ResolveFlag::empty()), component)
            {
                (Err(Errno::ENOENT), Component::Normal(missing)) => {
                    mkdirat(&parent, missing, DIRECTORY)?;
                    self.open(&so_far, ResolveFlag::empty())?
                }
                (found, _) => found?,
            };
        }
        match directory {
            true => mkdirat(&parent, last, DIRECTORY)?,
            false => drop(openat(
                &parent,
                last,
                NEW_FILE,
                Mode::from_bits_truncate(0o644),
            )?),
        }
        self.open(name, ResolveFlag::empty())
    }
}

impl AsFd for NewRoot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

const DIRECTORY: Mode = Mode::from_bits_truncate(0o755);
/// O_EXCL: a link that somebody puts there meanwhile is not followed.
const NEW_FILE: OFlag =
    OFlag::O_CREAT.union(OFlag::O_EXCL).union(OFlag::O_CLOEXEC);
