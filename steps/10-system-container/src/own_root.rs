//! A root directory for an init, without a download: the host's /usr, and a
//! handful of files.

use std::fs::{self, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mount_namespace::{Mount, NewRoot, Target, remount_with};
use nix::mount::MsFlags;
use nix::unistd::{Gid, Uid};
use runtime::{
    CachedDirectory, Inside, Narrator, RootDirectory, Variable, give,
};

use crate::etc;

/// Counts up when what is written below changes.
const RECIPE: u32 = 2;

/// What the root directory is made of.
#[derive(Debug)]
pub enum Source {
    /// systemd, and all else that this machine has: from these directories.
    Host(Vec<PathBuf>),
    /// The usual one, whose busybox has an init.
    Busybox,
}

/// Where the host's programs and libraries are.
const USR: &str = "/usr";
/// Where an init of systemd lies on each machine that has one.
const SYSTEMD: &str = "/usr/lib/systemd/systemd";

/// The programs of the workshop that come along, as into the usual one.
const COMPANION: &str = "attack";
const COMPANIONS: &str = "opt/workshop";

/// What the host has beside /usr: links into it, or on old ones directories.
const BESIDE: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// The one of this machine; `None` is the usual one.
///
/// # Errors
/// Whatever can go wrong while files are written.
pub fn open(
    runtime: &Narrator,
    owner: Option<(Uid, Gid)>,
) -> Result<(Source, Option<RootDirectory>)> {
    if !Path::new(SYSTEMD).exists() {
        return Ok((Source::Busybox, None));
    }
    let beside = BESIDE.iter().map(|name| Path::new("/").join(name));
    let shown = beside.filter(|path| is_directory(path));
    let shown = shown.chain([USR.into()]).collect();
    let family = match owner {
        Some((uid, gid)) => format!("system-{uid}-{gid}"),
        None => "system".to_owned(),
    };
    let make = |root: &Path| {
        fill(root)?;
        owner.map_or(Ok(()), |owner| give(root, owner))
    };
    let cached = CachedDirectory::open(runtime, &family, &recipe(), make)
        .context("make the root directory of a system")?;
    Ok((Source::Host(shown), Some(RootDirectory::made_of(cached))))
}

impl Source {
    /// Shows the host's directories, or what busybox's init shall do.
    pub fn mount(&self, container: &mut Inside, root: &NewRoot) -> Result<()> {
        match self {
            Source::Busybox => etc::lay_inittab(container),
            Source::Host(directories) => {
                container.variables.push(Variable::new("PATH", etc::PATH));
                directories.iter().try_for_each(|it| show(container, root, it))
            }
        }
    }
}

/// Whoever owns the host's files is nobody inside: no root there changes them.
/// Unless we are that owner ourselves, and have a single id.
fn show(container: &mut Inside, root: &NewRoot, path: &Path) -> Result<()> {
    let place = root.place(path, true)?;
    let flags = MsFlags::MS_REC;
    let why = "the host's programs";
    Mount::bind(path, flags).make(container, place, why)?;
    let place = container.rootfs.join(path.strip_prefix("/")?);
    if fs::metadata(place)?.uid() == 0 {
        let there = Target::Place(root.existing(path)?, path.to_owned());
        let why = "root inside owns them";
        remount_with(MsFlags::MS_RDONLY, container, there, why)?;
        container.read_only = true;
    }
    Ok(())
}

fn fill(root: &Path) -> Result<()> {
    let directories = "usr dev etc home mnt opt proc root run srv sys tmp var";
    for directory in directories.split(' ') {
        fs::create_dir(root.join(directory))
            .with_context(|| format!("mkdir {directory}"))?;
    }
    // systemd would make /var/tmp by a rename, and before Linux 6.6 an overlay of
    // a user namespace renames no directory (EXDEV): a tmpfs has no attributes
    // of users there, by which it would remember that.
    fs::create_dir(root.join("var/tmp")).context("mkdir var/tmp")?;
    for tmp in ["tmp", "var/tmp"] {
        fs::set_permissions(root.join(tmp), Permissions::from_mode(0o1777))?;
    }
    fs::set_permissions(root.join("root"), Permissions::from_mode(0o700))?;
    for name in BESIDE {
        let host = Path::new("/").join(name);
        match fs::read_link(&host) {
            Ok(target) => symlink(target, root.join(name))?,
            Err(_) if is_directory(&host) => {
                fs::create_dir(root.join(name))?;
            }
            Err(_) => {}
        }
    }
    if let Some(companion) = companion() {
        let place = root.join(COMPANIONS);
        fs::create_dir_all(&place).context("mkdir")?;
        fs::copy(companion, place.join(COMPANION))
            .with_context(|| format!("copy {COMPANION}"))?;
    }
    etc::fill(root)
}

/// Beside the step that runs.
fn companion() -> Option<PathBuf> {
    let exe = std::env::current_exe().ok()?;
    Some(exe.with_file_name(COMPANION)).filter(|path| path.is_file())
}

fn is_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|it| it.is_dir())
}

/// A name that differs whenever the root directory would.
fn recipe() -> String {
    let mut hasher = DefaultHasher::new();
    (RECIPE, etc::FILES).hash(&mut hasher);
    let taken = ["/etc/ld.so.cache", "/etc/passwd", "/etc/group"];
    let paths = [USR].into_iter().chain(taken).map(PathBuf::from);
    for path in paths.chain(companion()) {
        let there = fs::metadata(&path)
            .map(|t| (t.size(), t.mtime(), t.mtime_nsec(), t.ino()));
        (path, there.ok()).hash(&mut hasher);
    }
    format!("{:08x}", hasher.finish() as u32)
}
