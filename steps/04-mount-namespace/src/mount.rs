//! mount(2), told as it is called.

mod table;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::statvfs::{FsFlags, statvfs};
use runtime::process::set_read_only_recursively;
use runtime::{Failure, Inside, Told, shell};

pub use table::{Mounted, mounts};

/// Where something is mounted.
#[derive(Debug)]
pub enum Target {
    /// A name that nobody but us could have made.
    Name(PathBuf),
    /// A place that was looked up below the new root, and its name there.
    Place(OwnedFd, PathBuf),
}

impl Target {
    /// The name to show.
    pub fn shown(&self) -> &Path {
        match self {
            Target::Name(name) | Target::Place(_, name) => name,
        }
    }

    /// The path for mount(2), which takes no descriptors.
    pub fn path(&self) -> PathBuf {
        match self {
            Target::Name(name) => name.clone(),
            Target::Place(fd, _) => {
                format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
            }
        }
    }
}

impl<P: AsRef<Path> + ?Sized> From<&P> for Target {
    fn from(name: &P) -> Target {
        Target::Name(name.as_ref().to_owned())
    }
}

/// The arguments of mount(2), but for the target.
#[derive(Debug)]
pub struct Mount<'a> {
    source: &'a OsStr,
    kind: Option<&'a str>,
    flags: MsFlags,
    data: &'a OsStr,
    /// What a person types before it.
    before: String,
}

impl<'a> Mount<'a> {
    /// A new instance of a filesystem that the kernel makes up, such as proc.
    /// What is special about it goes into `data`.
    pub fn new(
        kind: &'a str,
        flags: MsFlags,
        data: &'a (impl AsRef<OsStr> + ?Sized),
    ) -> Mount<'a> {
        let data = data.as_ref();
        Mount {
            source: kind.as_ref(),
            kind: Some(kind),
            flags,
            data,
            before: String::new(),
        }
    }

    /// What already lies at `source`, at one more place.
    pub fn bind(source: &'a Path, flags: MsFlags) -> Mount<'a> {
        Mount {
            source: source.as_ref(),
            kind: None,
            flags: flags | MsFlags::MS_BIND,
            data: OsStr::new(""),
            before: String::new(),
        }
    }

    /// Not a mount, but other flags for the one that is there.
    pub fn change(flags: MsFlags) -> Mount<'a> {
        let nothing = OsStr::new("");
        let before = String::new();
        Mount { source: nothing, kind: None, flags, data: nothing, before }
    }

    /// What the table of mounts calls its source, if not by its kind.
    #[must_use]
    pub fn called(self, source: &'a OsStr) -> Mount<'a> {
        Mount { source, ..self }
    }

    /// Where the place is made without a word: what a person types for that,
    /// as `mkdir PLACE`.
    #[must_use]
    pub fn after<S: AsRef<OsStr>>(
        self,
        words: impl IntoIterator<Item = S>,
    ) -> Mount<'a> {
        Mount { before: format!("{} && ", shell(words)), ..self }
    }

    /// Mounts it, on a place that a name or a descriptor says.
    pub fn make(
        self,
        container: &Inside,
        target: impl Into<Target>,
        why: &str,
    ) -> Result<(), Failure> {
        let target = target.into();
        let Mount { source, kind, flags, data, .. } = self;
        container.call(
            Told(|| self.call(target.shown())),
            why,
            Told(|| self.before.clone() + &self.shell(target.shown())),
            || mount(Some(source), &target.path(), kind, flags, Some(data)),
        )
    }

    fn call(&self, target: &Path) -> String {
        let flags: Vec<_> =
            self.flags.iter_names().map(|(name, _)| name).collect();
        let mut arguments =
            vec![format!("{:?}", self.source), format!("{target:?}")];
        arguments.extend(self.kind.map(|kind| format!("{kind:?}")));
        arguments.push(flags.join(" | "));
        if !self.data.is_empty() {
            arguments.push(format!("{:?}", self.data));
        }
        arguments.retain(|argument| !argument.is_empty());
        format!("mount({})", arguments.join(", "))
    }

    /// mount(8): flags are options there, and the propagation has its own words.
    fn shell(&self, target: &Path) -> String {
        let has = |flag| self.flags.contains(flag);
        let mut words: Vec<OsString> = vec!["mount".into()];
        if has(MsFlags::MS_PRIVATE) {
            words.extend(["--make-rprivate".into(), target.into()]);
            return shell(words);
        }
        if has(MsFlags::MS_BIND) && !has(MsFlags::MS_REMOUNT) {
            words.push(
                if has(MsFlags::MS_REC) { "--rbind" } else { "--bind" }.into(),
            );
        }
        words.extend(
            self.kind.into_iter().flat_map(|kind| ["-t".into(), kind.into()]),
        );
        let mut options: Vec<&OsStr> = OPTIONS
            .iter()
            .filter(|(_, flag)| has(*flag))
            .map(|o| o.0.as_ref())
            .collect();
        if has(MsFlags::MS_REMOUNT) {
            options.insert(0, "remount,bind".as_ref());
        }
        options.extend(Some(self.data).filter(|data| !data.is_empty()));
        if !options.is_empty() {
            words.extend(["-o".into(), options.join(OsStr::new(","))]);
        }
        words.extend(
            [self.source.into(), target.into()]
                .into_iter()
                .filter(|w: &OsString| !w.is_empty()),
        );
        shell(words)
    }
}

/// A mount's options as mount(8) writes them.
const OPTIONS: [(&str, MsFlags); 7] = [
    ("ro", MsFlags::MS_RDONLY),
    ("nosuid", MsFlags::MS_NOSUID),
    ("nodev", MsFlags::MS_NODEV),
    ("noexec", MsFlags::MS_NOEXEC),
    ("noatime", MsFlags::MS_NOATIME),
    ("nodiratime", MsFlags::MS_NODIRATIME),
    ("relatime", MsFlags::MS_RELATIME),
];

/// Makes a mount read-only, and all that are mounted in it.
///
/// mount(2) changes one mount at a time, and has to be told its name. But a
/// mount that another one covers has none. mount_setattr(2), since Linux 5.12,
/// goes through the whole tree, without names.
pub fn make_read_only(
    container: &Inside,
    place: &OwnedFd,
    shown: &Path,
) -> Result<()> {
    let shown = shown.strip_prefix("/").unwrap_or(shown);
    let options = "remount,bind,ro=recursive";
    let changed = container.call(
        format!("mount_setattr({shown:?}, AT_RECURSIVE, MOUNT_ATTR_RDONLY)"),
        "read-only, with all in it",
        shell([Path::new("mount"), Path::new("-o"), Path::new(options), shown]),
        || set_read_only_recursively(place.as_fd()),
    );
    match changed {
        Err(Failure::Call { errno: Errno::ENOSYS, .. }) => {
            if has_mounts_below(place)? {
                bail!(
                    "{shown:?}: something is mounted in it, and before Linux \
                     5.12 that would stay writable: leave out `:ro`"
                );
            }
            let target = Target::Place(place.try_clone()?, shown.into());
            Ok(remount_read_only(container, target, "before Linux 5.12")?)
        }
        changed => Ok(changed?),
    }
}

/// Makes one mount read-only. What it has of nosuid, nodev and the like must
/// be said again: else the remount would take it away, which in a user
/// namespace is refused (EPERM).
pub fn remount_read_only(
    container: &Inside,
    target: impl Into<Target>,
    why: &str,
) -> Result<(), Failure> {
    remount_with(MsFlags::MS_RDONLY, container, target, why)
}

/// The same, with other flags.
///
/// # Errors
/// As mount(2).
pub fn remount_with(
    flags: MsFlags,
    container: &Inside,
    target: impl Into<Target>,
    why: &str,
) -> Result<(), Failure> {
    let target = target.into();
    let there = statvfs(&target.path()).map_err(|errno| {
        Failure::of(format!("statvfs({:?})", target.shown()), errno)
    })?;
    let flags = flags
        | flags_of(there.flags())
        | MsFlags::MS_BIND
        | MsFlags::MS_REMOUNT;
    Mount::change(flags).make(container, target, why)
}

/// statvfs(3) and mount(2) have two bits for one thing, relatime.
fn flags_of(there: FsFlags) -> MsFlags {
    let relatime = there.contains(FsFlags::ST_RELATIME);
    let known = OPTIONS.iter().map(|(_, flag)| *flag).collect::<MsFlags>();
    let same = MsFlags::from_bits_truncate(there.bits()) & known;
    if relatime { same | MsFlags::MS_RELATIME } else { same }
}

/// By numbers, not by names: a mount that another one covers has none.
fn has_mounts_below(place: &OwnedFd) -> Result<bool> {
    let number = id(place)?;
    Ok(mounts()?.iter().any(|it| it.parent == number))
}

/// The kernel's number of the mount in which an open place lies.
pub fn id(place: &OwnedFd) -> Result<String> {
    let path = format!("/proc/self/fdinfo/{}", place.as_raw_fd());
    let call = || format!("read({path:?})");
    let about = fs::read_to_string(&path).with_context(call)?;
    let number = about.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    Ok(number.with_context(call)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_mount_has_is_said_again() {
        let there = FsFlags::ST_NOSUID | FsFlags::ST_NOEXEC;
        let same = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        assert_eq!(flags_of(there), same);
        let there = FsFlags::ST_RELATIME | FsFlags::ST_SYNCHRONOUS;
        assert_eq!(flags_of(there), MsFlags::MS_RELATIME);
    }
}
