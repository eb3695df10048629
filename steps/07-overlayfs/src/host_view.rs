//! The files of a whole host as a root directory: reads come from the host's
//! own directories, each below an overlay; writes go to a layer in memory.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs::{self, File, FileTimes, Metadata, Permissions};
use std::io::ErrorKind::{AlreadyExists, PermissionDenied, ReadOnlyFilesystem};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use mount_namespace::{Mount, mounts, remount_with};
use nix::mount::MsFlags;
use nix::unistd::{AccessFlags, access};
use runtime::Inside;
use user_namespace::Mapping;

use crate::layer::escape;

/// How it is made: in [`Inside::rootfs`], as the root directory.
#[derive(Debug)]
pub struct HostView<'a> {
    /// To make mounts with.
    pub container: &'a Inside<'a>,
    /// A tmpfs, for all that is written.
    pub stage: PathBuf,
    /// Who is who inside.
    pub ids: &'a Mapping,
    /// Whether we are root of a user namespace that an ordinary user made.
    pub rootless: bool,
    /// These are not shown: they get a file system of their own.
    pub replaced: Vec<&'a str>,
    /// These programs are setuid inside, too, as the inner root's. A program is
    /// setuid only where its owner is mapped, and the host's root is not.
    pub setuid: Vec<PathBuf>,
    mount_points: Vec<PathBuf>,
    layers: Cell<usize>,
}

impl<'a> HostView<'a> {
    /// With nothing in it yet. `in_part`: those places among the replaced ones
    /// that are shown in part all the same.
    ///
    /// # Errors
    /// As read(2) and mount(2).
    pub fn new(
        container: &'a Inside<'a>,
        stage: &str,
        ids: &'a Mapping,
        rootless: bool,
        replaced: Vec<&'a str>,
        in_part: &[&str],
    ) -> Result<HostView<'a>> {
        // An ordinary user may not overlay a directory with mounts below it, be
        // it a file that is mounted over. Root may, and only has to look at
        // directories.
        let matters = |point: &PathBuf| {
            let is_in =
                |all: &[&str]| all.iter().any(|it| point.starts_with(it));
            (!is_in(&replaced) || is_in(in_part))
                && (rootless || point.is_dir())
        };
        let points = mounts()?.into_iter().map(|it| it.place);
        let mount_points = points.filter(matters).collect();
        let view = HostView {
            container,
            stage: stage.into(),
            ids,
            rootless,
            replaced,
            setuid: Vec::new(),
            mount_points,
            layers: Cell::new(0),
        };
        view.tmpfs("1g", "755", &view.stage)?;
        view.directory(&container.rootfs, 0o755, 0)?;
        Ok(view)
    }

    /// The place of a directory of the host's.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.container.rootfs.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Whether root inside is not who we are.
    #[must_use]
    pub fn is_of_others(&self) -> bool {
        self.ids.outside(0) != Some((0, 0))
    }

    /// Makes a file or directory that of a user inside. What we make is root's
    /// already, where that is ourselves.
    ///
    /// # Errors
    /// As lchown(2).
    pub fn give(&self, path: &Path, id: u32) -> Result<()> {
        match id > 0 || self.is_of_others() {
            true => self.ids.give(path, id),
            false => Ok(()),
        }
    }

    /// Makes a directory, with those above it.
    ///
    /// # Errors
    /// As mkdir(2), chmod(2) and lchown(2).
    pub fn directory(&self, path: &Path, mode: u32, id: u32) -> Result<()> {
        if let Some(above) = path.parent().filter(|it| !it.exists()) {
            self.directory(above, 0o755, 0)?;
        }
        match fs::create_dir(path) {
            Err(error) if error.kind() == AlreadyExists => {}
            made => made.with_context(|| format!("mkdir({path:?})"))?,
        }
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        self.give(path, id)
    }

    /// Writes a file that was not there, or was another one.
    ///
    /// # Errors
    /// As open(2), write(2) and lchown(2).
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
    ///
    /// # Errors
    /// As mount(2).
    pub fn tmpfs(&self, size: &str, mode: &str, place: &Path) -> Result<()> {
        let (uid, gid) = self.ids.outside(0).context("no root inside")?;
        let data = format!("size={size},mode={mode},uid={uid},gid={gid}");
        let tmpfs = Mount::new("tmpfs", MsFlags::MS_NODEV, &data);
        Ok(tmpfs.make(self.container, place, "for what is written")?)
    }

    /// Shows a directory and all that is in it.
    ///
    /// # Errors
    /// As mount(2).
    pub fn show(&self, directory: &Path) -> Result<()> {
        let has_mounts_below = self
            .mount_points
            .iter()
            .any(|point| point != directory && point.starts_with(directory));
        match has_mounts_below || directory == Path::new("/") {
            true => self.show_entries_of(directory),
            false => self.overlay(directory),
        }
    }

    /// A directory with mounts below it is made anew, and each of its entries
    /// shown: an overlay of it would uncover what lies under them.
    fn show_entries_of(&self, directory: &Path) -> Result<()> {
        // The host goes on meanwhile: what is gone when we come to it is no error.
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let entry = entry.path();
            let Ok(about) = fs::symlink_metadata(&entry) else { continue };
            let place = self.path(&entry);
            let may = |how| self.may(&about, &entry, how);
            if about.is_symlink() {
                if let Ok(target) = fs::read_link(&entry) {
                    symlink(target, &place)?;
                }
            } else if is_small_file(&about) && may(AccessFlags::R_OK) {
                if fs::copy(&entry, &place).is_ok() {
                    self.give(&place, 0)?;
                }
            } else if about.is_dir()
                && (self.is_replaced(directory) || !self.is_replaced(&entry))
            {
                self.directory(&place, 0o755, 0)?;
                if may(AccessFlags::R_OK | AccessFlags::X_OK) {
                    self.show(&entry)?;
                }
            }
        }
        Ok(())
    }

    fn is_replaced(&self, path: &Path) -> bool {
        self.replaced.iter().any(|it| path.starts_with(it))
    }

    /// The host's root shows what everybody may see.
    fn may(&self, about: &Metadata, path: &Path, how: AccessFlags) -> bool {
        match self.is_of_others() {
            true => about.mode() & 0o7 & how.bits() as u32 == how.bits() as u32,
            false => access(path, how).is_ok(),
        }
    }

    fn overlay(&self, directory: &Path) -> Result<()> {
        self.layers.set(self.layers.get() + 1);
        let layer = self.stage.join(format!("layer{}", self.layers.get()));
        let (upper, work, place) =
            (layer.join("upper"), layer.join("work"), self.path(directory));
        let Ok(about) = fs::metadata(directory) else {
            return Ok(fs::remove_dir(place)?);
        };
        self.directory(&upper, about.mode() & 0o7777, 0)?;
        self.directory(&work, 0o755, 0)?;
        self.own_setuid_programs(directory, &upper)?;
        // metacopy: a chown copies no data. It needs the marks of a real root.
        let marks = match self.rootless || !self.is_of_others() {
            true => "userxattr",
            false => "metacopy=on",
        };
        let mut data = OsString::from(marks);
        for (name, path) in
            [("lowerdir", directory), ("upperdir", &upper), ("workdir", &work)]
        {
            data.push(format!(",{name}="));
            data.push(escape(path));
        }
        let overlay = Mount::new("overlay", MsFlags::MS_NODEV, &data);
        let why = "the host's directory, and memory for what changes";
        if overlay.make(self.container, &place, why).is_ok() {
            return Ok(());
        }
        if !directory.exists() {
            return Ok(fs::remove_dir(place)?);
        }
        // Two overlays can lie on each other, not three. Then: look, don't touch.
        let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
        let bound = Mount::bind(directory, MsFlags::empty())
            .make(self.container, &place, "no overlay is possible: read-only")
            .and_then(|()| remount_with(flags, self.container, &place, ""));
        if bound.is_err() {
            self.container.note(format!(
                "{} stays empty here: its file system takes no overlay",
                directory.display()
            ));
        }
        Ok(())
    }

    fn own_setuid_programs(
        &self,
        directory: &Path,
        upper: &Path,
    ) -> Result<()> {
        for program in &self.setuid {
            let Ok(below) = program.strip_prefix(directory) else { continue };
            let copy = upper.join(below);
            self.directory(copy.parent().unwrap_or(upper), 0o755, 0)?;
            fs::copy(program, &copy)
                .with_context(|| format!("copy {program:?}"))?;
            self.give(&copy, 0)?; // which takes the bit away
            fs::set_permissions(&copy, Permissions::from_mode(0o4755))?;
        }
        Ok(())
    }

    /// Shows a directory that may lie in a replaced one, or below one that only
    /// the host's root may enter: at the same path, and nothing else of the
    /// neighbours.
    ///
    /// # Errors
    /// As mount(2).
    pub fn bring_along(&self, directory: &Path) -> Result<()> {
        if !directory.is_dir() {
            return Ok(());
        }
        let (mut above, mut hidden) = (self.container.rootfs.clone(), false);
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
                // Your own home: other users inside need the way.
                Ok(about) => {
                    let mode = Permissions::from_mode(about.mode() | 0o001);
                    fs::set_permissions(&above, mode)?;
                }
            }
        }
        if hidden { self.show(directory) } else { Ok(()) }
    }

    /// Copies what all may read in a directory, as files of the inner root's:
    /// only what has an owner inside can be changed there.
    ///
    /// # Errors
    /// As open(2) and write(2); where the directory is not on an overlay.
    pub fn own_copies(&self, directory: &Path) -> Result<()> {
        for entry in fs::read_dir(directory)?.flatten() {
            // What is gone when we come to it is no error.
            let Ok(about) = fs::symlink_metadata(entry.path()) else {
                continue;
            };
            if !is_small_file(&about) || about.mode() & 0o004 == 0 {
                continue;
            }
            let Ok(text) = fs::read(entry.path()) else { continue };
            let place = self.path(entry.path());
            // The first change of all tells whether there is an overlay.
            match fs::remove_file(&place).map_err(|error| error.kind()) {
                Ok(()) => {}
                Err(ReadOnlyFilesystem | PermissionDenied) => bail!(NO_OVERLAY),
                Err(_) => continue,
            }
            fs::write(&place, text)
                .with_context(|| format!("write({place:?})"))?;
            let mode = Permissions::from_mode(about.mode() & 0o7777);
            fs::set_permissions(&place, mode)?;
            let times = FileTimes::new().set_modified(about.modified()?);
            File::open(&place)?.set_times(times)?;
            self.give(&place, 0)?;
        }
        Ok(())
    }

    /// Makes a directory the inner root's, with all in it but what is below one
    /// of these names: to read that is enough.
    pub fn give_all(&self, path: &Path, but: &[&str]) {
        if but.iter().any(|name| path.ends_with(name)) {
            return;
        }
        let _ = self.give(path, 0);
        if fs::symlink_metadata(path).is_ok_and(|about| about.is_dir()) {
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                self.give_all(&entry.path(), but);
            }
        }
    }
}

const NO_OVERLAY: &str = "no overlay can be made here: /etc stays read-only.
Is this a playground in a playground in a playground, or one in a container?
Two overlays can be stacked, but not three. Leave the inner one.";

/// Configuration, and not somebody's swap file.
fn is_small_file(about: &Metadata) -> bool {
    about.is_file() && about.len() < 1 << 20
}
