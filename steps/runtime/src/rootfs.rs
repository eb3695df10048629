//! The root directory of a container, and how one is made without a download.

use std::fs::{self, File, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use goblin::container::Ctx;
use goblin::elf::Elf;
use goblin::elf::program_header::{PT_INTERP, ProgramHeader};
use lddtree::DependencyAnalyzer;
use nix::errno::Errno;
use nix::unistd::{Gid, Uid, getegid, geteuid};

use crate::cache::CachedDirectory;
use crate::failure::{Because, Failure};
use crate::narration::Narrator;

/// Counts up when what is written below changes.
const RECIPE: u32 = 2;

/// What a container's shell wants to find: what the lessons use, and what a
/// person types. Of the host's tools those that are there are taken.
const TOOLS: &str = "
    sh bash awk basename cat chgrp chmod chown chroot cp cut date dd df
    dirname du echo env expr false find findmnt free grep head hostname id
    ip ipcmk ipcrm ipcs kill ln ls lsns mkdir mkfifo mknod mktemp mount
    mountpoint mv nc nproc nsenter od pidof ping pivot_root printenv
    printf ps pwd readlink realpath rm rmdir sed seq setsid sleep sort
    stat stty sync tail tee test timeout top touch tr true tty umount
    uname uniq unshare wc wget which whoami xargs yes
";

/// Beside the step that runs: the programs that attack come along, so that a
/// container can try `attack escape-chroot` without further ado.
const COMPANION: &str = "attack";

/// The directory that becomes a container's root.
#[derive(Debug)]
pub struct RootDirectory {
    path: PathBuf,
    /// Held while the container lives.
    _cached: Option<CachedDirectory>,
}

impl RootDirectory {
    /// The directory that was asked for, else the default one, whose files
    /// then belong to `owner` (or to us).
    ///
    /// # Errors
    /// As realpath(3), `ENOTDIR`; and whatever can go wrong while files are copied.
    pub fn open(
        runtime: &Narrator,
        asked: Option<&Path>,
        owner: Option<(Uid, Gid)>,
    ) -> Result<RootDirectory> {
        let Some(asked) = asked else {
            return RootDirectory::made_here(runtime, owner);
        };
        let call = format!("--rootfs {}", asked.display());
        let path = fs::canonicalize(asked)
            .map_err(|error| Failure::of(&call, error))
            .because(
                Errno::ENOENT,
                "there is no such directory; leave out --rootfs to get a default one",
            )
            .because(
                Errno::EACCES,
                "you may not enter a directory on the way to it",
            )
            .and_then(|path| match path.is_dir() {
                true => Ok(path),
                false => Err(Failure::of(&call, Errno::ENOTDIR)),
            })
            .because(
                Errno::ENOTDIR,
                "it is not a directory; leave out --rootfs to get a default one",
            )?;
        Ok(RootDirectory { path, _cached: None })
    }

    /// One that somebody else made.
    #[must_use]
    pub fn made_of(cached: CachedDirectory) -> RootDirectory {
        let path = cached.path().to_owned();
        RootDirectory { path, _cached: Some(cached) }
    }

    /// Its absolute path on the host, without symbolic links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What to tell when root inside may not enter it, or write to it: whoever
    /// is not mapped inside is nobody there, and root has no power over theirs.
    #[must_use]
    pub fn refusal(&self, owner: Option<(Uid, Gid)>) -> String {
        let (uid, gid) = owner.unwrap_or((geteuid(), getegid()));
        let path = self.path.display();
        match fs::metadata(&self.path).map(|there| there.uid()) {
            Ok(theirs) if theirs != uid.as_raw() => format!(
                "{path} belongs to user {theirs}, and root inside is {uid}: \
                 `sudo chown -R {uid}:{gid} {path}`"
            ),
            _ => "a permission on the way to it is missing; \
                  `namei -l PATH` on the host shows which"
                .to_owned(),
        }
    }

    /// The default root directory: made on first use, and again when its
    /// recipe or one of the programs in it changes.
    fn made_here(
        runtime: &Narrator,
        owner: Option<(Uid, Gid)>,
    ) -> Result<RootDirectory> {
        let sources = Sources::find();
        let family = match owner {
            Some((uid, gid)) => format!("root-{uid}-{gid}"),
            None => "root".to_owned(),
        };
        let make = |root: &Path| {
            sources.fill(root)?;
            owner.map_or(Ok(()), |owner| give(root, owner))
        };
        let recipe = sources.recipe();
        let cached = CachedDirectory::open(runtime, &family, &recipe, make)
            .context("make the default root directory")?;
        Ok(RootDirectory::made_of(cached))
    }
}

/// All of it becomes theirs.
///
/// # Errors
/// As lchown(2).
pub fn give(path: &Path, owner: (Uid, Gid)) -> Result<()> {
    lchown(path, Some(owner.0.as_raw()), Some(owner.1.as_raw()))?;
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), owner)?;
        }
    }
    Ok(())
}

/// The programs that a default root directory is made of.
struct Sources {
    /// A static one: it needs nothing else.
    busybox: Option<PathBuf>,
    /// Without it, the host's own tools.
    tools: Vec<(&'static str, PathBuf)>,
    companion: Option<PathBuf>,
}

impl Sources {
    fn find() -> Sources {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places: Vec<_> = ["/bin", "/usr/bin", "/sbin", "/usr/sbin"]
            .into_iter()
            .map(PathBuf::from)
            .chain(std::env::split_paths(&path))
            .collect();
        let find = |name: &str| {
            places.iter().map(|dir| dir.join(name)).find(|path| path.is_file())
        };
        let busybox = ["busybox", "busybox.static"].into_iter();
        let busybox = busybox.filter_map(find).find(|path| is_static(path));
        let tool = |name| Some((name, find(name)?));
        let tools = match busybox {
            Some(_) => vec![],
            None => TOOLS.split_whitespace().filter_map(tool).collect(),
        };
        let beside = |exe: PathBuf| exe.with_file_name(COMPANION);
        let companion = std::env::current_exe().map(beside).ok();
        let companion = companion.filter(|path| path.is_file());
        Sources { busybox, tools, companion }
    }

    /// A name that differs whenever the root directory would.
    fn recipe(&self) -> String {
        let mut hasher = DefaultHasher::new();
        RECIPE.hash(&mut hasher);
        let tools = self.tools.iter().map(|(_, path)| path);
        for path in self.busybox.iter().chain(tools).chain(&self.companion) {
            let there = fs::metadata(path)
                .map(|t| (t.size(), t.mtime(), t.mtime_nsec(), t.ino()));
            (path, there.ok()).hash(&mut hasher);
        }
        format!("{:08x}", hasher.finish() as u32)
    }

    fn fill(&self, root: &Path) -> Result<()> {
        skeleton(root)?;
        if let Some(busybox) = &self.busybox {
            install_busybox(root, busybox)?;
        }
        for (name, path) in &self.tools {
            install(root, name, path)?;
        }
        if let Some(companion) = &self.companion {
            install(root, COMPANION, companion)?;
        }
        if !root.join("bin/sh").exists() {
            bail!(
                "this machine has neither a static busybox nor a /bin/sh: \
                 name a root directory with --rootfs"
            );
        }
        Ok(())
    }
}

/// The directories and the few files that programs expect, in today's merged
/// layout: /bin is /usr/bin.
fn skeleton(root: &Path) -> Result<()> {
    let directories = "usr/bin usr/lib usr/lib64 dev etc mnt proc root run sys \
                       tmp var";
    for directory in directories.split_whitespace() {
        fs::create_dir_all(root.join(directory))?;
    }
    for (link, target) in [
        ("bin", "usr/bin"),
        ("sbin", "usr/bin"),
        ("usr/sbin", "bin"),
        ("lib", "usr/lib"),
        ("lib64", "usr/lib64"),
    ] {
        symlink(target, root.join(link))?;
    }
    fs::set_permissions(root.join("tmp"), Permissions::from_mode(0o1777))?;
    for (file, text) in [
        (
            "passwd",
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
        ),
        ("group", "root:x:0:\nnogroup:x:65534:\n"),
        ("hosts", "127.0.0.1 localhost\n::1 localhost\n"),
        ("resolv.conf", ""),
        // Of step 10, which writes one for each machine.
        ("machine-id", ""),
    ] {
        let path = root.join("etc").join(file);
        fs::write(&path, text)
            .with_context(|| format!("write({})", path.display()))?;
    }
    Ok(())
}

/// One file with many names: busybox looks at the name that it is called by.
fn install_busybox(root: &Path, busybox: &Path) -> Result<()> {
    let bin = root.join("bin");
    fs::copy(busybox, bin.join("busybox"))?;
    let list = Command::new(busybox).arg("--list").output()?;
    let list = String::from_utf8(list.stdout).context("busybox --list")?;
    for applet in list.lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", bin.join(applet))?;
    }
    Ok(())
}

/// A program that names no interpreter in its ELF header needs no loader, and
/// so no libraries (elf(5)). The header is at the file's beginning.
fn is_static(program: &Path) -> bool {
    let mut bytes = Vec::with_capacity(4096);
    let read = File::open(program)
        .and_then(|file| file.take(4096).read_to_end(&mut bytes));
    let segments = read.ok().and_then(|_| segments(&bytes).ok());
    segments.is_some_and(|all| all.iter().all(|one| one.p_type != PT_INTERP))
}

fn segments(bytes: &[u8]) -> goblin::error::Result<Vec<ProgramHeader>> {
    let header = Elf::parse_header(bytes)?;
    let context = Ctx::new(header.container()?, header.endianness()?);
    let (offset, count) = (header.e_phoff as usize, header.e_phnum.into());
    ProgramHeader::parse(bytes, offset, count, context)
}

/// Copies a program, its loader, and the libraries that its ELF header names,
/// to where the loader will look for them. A script, or a program that does
/// not run on this host either, is left out.
fn install(root: &Path, name: &str, program: &Path) -> Result<()> {
    let Ok(tree) = DependencyAnalyzer::new("/".into()).analyze(program) else {
        return Ok(());
    };
    let libraries: Vec<_> =
        tree.libraries.values().map(|library| library.path.clone()).collect();
    if tree.libraries.values().any(|library| !library.found()) {
        return Ok(());
    }
    let loader = tree.interpreter.map(PathBuf::from);
    let cache =
        Some(PathBuf::from("/etc/ld.so.cache")).filter(|cache| cache.is_file());
    for file in libraries.into_iter().chain(loader).chain(cache) {
        let copy = root.join(file.strip_prefix("/").unwrap_or(&file));
        if !copy.exists() {
            fs::create_dir_all(copy.parent().unwrap_or(root))?;
            fs::copy(&file, &copy)
                .with_context(|| format!("copy {}", file.display()))?;
        }
    }
    fs::copy(program, root.join("bin").join(name))
        .with_context(|| format!("copy {name}"))?;
    Ok(())
}
