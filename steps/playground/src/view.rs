//! The host's files, as the playground sees them: reads come from the host's
//! directories, writes go to a layer in memory.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs::{self, Metadata, Permissions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mount_namespace::{Mount, remount_with};
use nix::mount::MsFlags;
use nix::unistd::{AccessFlags, access};
use overlayfs::escape;
use runtime::Inside;
use user_namespace::Mapping;

use crate::environment::Caller;
use crate::etc;

/// A tmpfs over the host's own, for all that is written.
pub const STAGE: &str = "/dev/shm";
/// Where the view is put together: the playground's root.
pub const VIEW: &str = "/dev/shm/view";

/// These are never the host's: they get a file system of their own.
const REPLACED: [&str; 8] = [
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/tmp",
    "/snap",
    "/var/tmp",
    "/var/lib/snapd",
];
/// And in these a checkout may lie all the same.
const MAY_HOLD_A_CHECKOUT: [&str; 3] = ["/run", "/tmp", "/var/tmp"];
/// Directories of built files: readable is enough.
const BUILT: [&str; 3] = [".git/objects", "target", "node_modules"];

/// How it is made.
pub struct View<'a> {
    /// Whose view it is.
    pub caller: &'a Caller,
    /// To make mounts with.
    pub inside: &'a Inside<'a>,
    /// Whether we are root of a user namespace.
    pub rootless: bool,
    /// Who is root inside, where that is not ourselves.
    pub ids: &'a Mapping,
    mount_points: Vec<PathBuf>,
    layers: Cell<usize>,
}

impl View<'_> {
    pub fn new<'a>(
        caller: &'a Caller,
        inside: &'a Inside<'a>,
        rootless: bool,
        ids: &'a Mapping,
    ) -> Result<View<'a>> {
        let mount_points = mount_points(rootless)?;
        Ok(View {
            caller,
            inside,
            rootless,
            ids,
            mount_points,
            layers: Cell::new(0),
        })
    }

    /// Makes it. Returns the home of root inside.
    pub fn build(&self) -> Result<PathBuf> {
        self.tmpfs("1g", "755", Path::new(STAGE))?;
        for name in ["", "dev", "proc", "run", "sys", "tmp"] {
            self.directory(&Path::new(VIEW).join(name), 0o755, 0)?;
        }
        self.tmpfs("512m", "1777", &self.path("/tmp"))?;
        self.tmpfs("512m", "755", &self.path("/run"))?;
        self.show_entries_of(Path::new("/"))?;
        if self.path("/var").is_dir() {
            let place = self.path("/var/tmp");
            if !place.is_dir() {
                self.directory(&place, 0o755, 0)?;
            }
            self.tmpfs("512m", "1777", &place)?;
        }
        let Caller { checkout, programs, own, .. } = self.caller;
        self.bring_along(checkout)?;
        for directory in [programs.as_path(), own.parent().unwrap_or(programs)]
        {
            self.bring_along(directory)?;
        }
        if !self.rootless {
            self.give_checkout();
        }
        let home = match (
            self.is_of_others(),
            self.path(&self.caller.home).is_dir(),
        ) {
            (false, true) => self.caller.home.clone(),
            _ => "/root".into(),
        };
        etc::write(self, &self.path("/etc"), &home)?;
        Ok(home)
    }

    /// Whether root inside is not who we are.
    fn is_of_others(&self) -> bool {
        self.ids.outside(0) != Some((0, 0))
    }

    /// The place of a directory of the host's.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        Path::new(VIEW).join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Makes a file or directory that of a user inside.
    pub fn give(&self, path: &Path, id: u32) -> Result<()> {
        let (uid, gid) = self.ids.outside(id).context("no such user inside")?;
        if id > 0 || self.is_of_others() {
            lchown(path, Some(uid), Some(gid))
                .with_context(|| format!("chown({path:?})"))?;
        }
        Ok(())
    }

    /// Makes a directory, with those above it.
    pub fn directory(&self, path: &Path, mode: u32, id: u32) -> Result<()> {
        if let Some(above) = path.parent().filter(|it| !it.exists()) {
            self.directory(above, 0o755, 0)?;
        }
        match fs::create_dir(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => made.with_context(|| format!("mkdir({path:?})"))?,
        }
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        self.give(path, id)
    }

    /// Writes a file that was not there, or was another one.
    pub fn file(&self, path: &Path, text: &str) -> Result<()> {
        match fs::symlink_metadata(path) {
            Ok(about) if about.is_dir() => fs::remove_dir_all(path)?,
            Ok(_) => fs::remove_file(path)?,
            Err(_) => {}
        }
        fs::write(path, text).with_context(|| format!("write({path:?})"))?;
        self.give(path, 0)
    }

    /// Bounded, since a tmpfs is the machine's memory.
    fn tmpfs(&self, size: &str, mode: &str, place: &Path) -> Result<()> {
        let (uid, gid) = self.ids.outside(0).context("no root inside")?;
        let data = format!("size={size},mode={mode},uid={uid},gid={gid}");
        Ok(Mount::new("tmpfs", MsFlags::MS_NODEV, &data).make(
            self.inside,
            place,
            "",
        )?)
    }

    /// A directory with mounts below it is made anew, and each of its entries
    /// shown: an overlay of it would uncover what lies under them.
    fn show_entries_of(&self, directory: &Path) -> Result<()> {
        // The host goes on meanwhile: what is gone when we come to it is no error.
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let entry = entry.path();
            let Ok(about) = fs::symlink_metadata(&entry) else { continue };
            let place = self.path(&entry);
            if about.is_symlink() {
                if let Ok(target) = fs::read_link(&entry) {
                    symlink(target, &place)?;
                }
            } else if is_small_file(&about)
                && self.may(&about, &entry, AccessFlags::R_OK)
            {
                if fs::copy(&entry, &place).is_ok() {
                    self.give(&place, 0)?;
                }
            } else if about.is_dir()
                && (is_replaced(directory) || !is_replaced(&entry))
            {
                self.directory(&place, 0o755, 0)?;
                let enter = AccessFlags::R_OK | AccessFlags::X_OK;
                if !self.may(&about, &entry, enter) {
                } else if self.has_mounts_below(&entry) {
                    self.show_entries_of(&entry)?;
                } else {
                    self.overlay(&entry)?;
                }
            }
        }
        Ok(())
    }

    /// The host's root shows what everybody may see.
    fn may(&self, about: &Metadata, path: &Path, how: AccessFlags) -> bool {
        match self.is_of_others() {
            true => about.mode() & 0o7 & how.bits() as u32 == how.bits() as u32,
            false => access(path, how).is_ok(),
        }
    }

    fn has_mounts_below(&self, directory: &Path) -> bool {
        self.mount_points
            .iter()
            .any(|point| point != directory && point.starts_with(directory))
    }

    fn overlay(&self, directory: &Path) -> Result<()> {
        self.layers.set(self.layers.get() + 1);
        let layer =
            Path::new(STAGE).join(format!("layer{}", self.layers.get()));
        let (upper, work, place) =
            (layer.join("upper"), layer.join("work"), self.path(directory));
        let Ok(about) = fs::metadata(directory) else {
            return Ok(fs::remove_dir(place)?);
        };
        self.directory(&upper, about.mode() & 0o7777, 0)?;
        self.directory(&work, 0o755, 0)?;
        self.own_setuid_programs(directory, &upper)?;
        // metacopy: a chown copies no data. It needs the marks of a real root.
        let marks = if self.rootless || !self.is_of_others() {
            "userxattr"
        } else {
            "metacopy=on"
        };
        let mut data = OsString::from(marks);
        for (name, path) in
            [("lowerdir", directory), ("upperdir", &upper), ("workdir", &work)]
        {
            data.push(format!(",{name}="));
            data.push(escape(path));
        }
        let overlay = Mount::new("overlay", MsFlags::MS_NODEV, &data);
        if overlay.make(self.inside, &place, "").is_ok() {
            return Ok(());
        }
        if !directory.exists() {
            return Ok(fs::remove_dir(place)?);
        }
        // Two overlays can lie on each other, not three. Then: look, don't touch.
        let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
        let bound = Mount::bind(directory, MsFlags::empty()).make(
            self.inside,
            &place,
            "",
        );
        if bound
            .and_then(|()| remount_with(flags, self.inside, &place, ""))
            .is_err()
        {
            eprintln!(
                "playground: {} stays empty here: its file system takes no overlay",
                directory.display()
            );
        }
        Ok(())
    }

    /// A program is setuid only where its owner is mapped. The host's root is
    /// not: newuidmap(1) and newgidmap(1) become the inner root's.
    fn own_setuid_programs(
        &self,
        directory: &Path,
        upper: &Path,
    ) -> Result<()> {
        for name in ["newuidmap", "newgidmap"] {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let found = std::env::split_paths(&path)
                .map(|it| it.join(name))
                .find(|it| it.is_file());
            let Some(program) = found.and_then(|it| fs::canonicalize(it).ok())
            else {
                continue;
            };
            let Ok(below) = program.strip_prefix(directory) else { continue };
            let copy = upper.join(below);
            self.directory(copy.parent().unwrap_or(upper), 0o755, 0)?;
            fs::copy(&program, &copy)
                .with_context(|| format!("copy {program:?}"))?;
            self.give(&copy, 0)?; // which takes the bit away
            fs::set_permissions(&copy, Permissions::from_mode(0o4755))?;
        }
        Ok(())
    }

    /// The checkout may lie in /tmp, or below a directory that only the host's
    /// root may enter. The view has it at the same path, and nothing else of
    /// the neighbours.
    fn bring_along(&self, directory: &Path) -> Result<()> {
        if !directory.is_dir() {
            return Ok(());
        }
        let (mut above, mut hidden) = (PathBuf::from(VIEW), false);
        for part in directory.components().skip(1) {
            above.push(part);
            match fs::metadata(&above) {
                Err(_) => {
                    self.directory(&above, 0o755, 0)?;
                    hidden = true;
                }
                Ok(about) if about.mode() & 0o001 != 0 => {}
                Ok(_) if self.is_of_others() => {
                    self.tmpfs("1m", "755", &above)?;
                    hidden = true;
                }
                // Your own home: the learner inside needs the way.
                Ok(about) => {
                    let mode = Permissions::from_mode(about.mode() | 0o001);
                    fs::set_permissions(&above, mode)?;
                }
            }
        }
        match (hidden, self.has_mounts_below(directory)) {
            (false, _) => Ok(()),
            (true, true) => self.show_entries_of(directory), // its programs, say
            (true, false) => self.overlay(directory),
        }
    }

    /// The way to it, too: a playground in this one copies that up, and only
    /// what has an owner can be.
    fn give_checkout(&self) {
        let Caller { checkout, programs, .. } = self.caller;
        for above in
            checkout.ancestors().skip(1).filter(|it| it.parent().is_some())
        {
            let _ = self.give(&self.path(above), 0);
        }
        self.give_all(&self.path(checkout));
        for program in
            fs::read_dir(self.path(programs)).into_iter().flatten().flatten()
        {
            let _ = self.give(&program.path(), 0);
        }
    }

    fn give_all(&self, path: &Path) {
        if BUILT.iter().any(|built| path.ends_with(built)) {
            return;
        }
        let _ = self.give(path, 0);
        if fs::symlink_metadata(path).is_ok_and(|about| about.is_dir()) {
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                self.give_all(&entry.path());
            }
        }
    }
}

/// Configuration, and not somebody's swap file.
pub fn is_small_file(about: &Metadata) -> bool {
    about.is_file() && about.len() < 1 << 20
}

fn is_replaced(path: &Path) -> bool {
    REPLACED.iter().any(|it| path.starts_with(it))
}

/// An ordinary user may not overlay a directory with mounts below it, be it a
/// file that is mounted over. Root may, and only has to look at directories.
fn mount_points(rootless: bool) -> Result<Vec<PathBuf>> {
    let table = fs::read("/proc/self/mountinfo")
        .context("read(/proc/self/mountinfo)")?;
    let points = table.split(|&byte| byte == b'\n').filter_map(|line| {
        line.split(|&byte| byte == b' ').nth(4).map(unescape)
    });
    let matters = |point: &PathBuf| {
        let held = MAY_HOLD_A_CHECKOUT.iter().any(|it| point.starts_with(it));
        (!is_replaced(point) || held) && (rootless || point.is_dir())
    };
    Ok(points.filter(matters).collect())
}

/// A space is written as \040.
fn unescape(field: &[u8]) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::new(), field);
    while let [first, tail @ ..] = rest {
        let number = tail.get(..3).and_then(|it| std::str::from_utf8(it).ok());
        let number = number.and_then(|it| u8::from_str_radix(it, 8).ok());
        (rest, _) = match (first, number) {
            (b'\\', Some(byte)) => (&tail[3..], bytes.push(byte)),
            _ => (tail, bytes.push(*first)),
        };
    }
    OsString::from_vec(bytes).into()
}
