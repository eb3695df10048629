//! A tar file becomes a layer: a directory that an overlay can take. What it says
//! of modes, owners, times and attributes is so, as far as we may.

mod packing;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{self, Cursor, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::unistd::{Gid, Uid, geteuid};
use runtime::Narrator;
use rustix::fs::{
    AtFlags, CWD, Timespec, Timestamps, XattrFlags, lsetxattr, utimensat,
};
use tar::{Archive, Entry, EntryType};

use crate::tar_feature::{self, Taken};
use crate::whiteout;

pub use packing::Packing;

/// What has become of a tar file.
#[derive(Debug, Default)]
pub struct LaidOut {
    /// What the layer lacks.
    pub left_out: Vec<String>,
    /// The directories that have an entry of their own, and their times. Any
    /// other one was made for what is in it.
    pub directories: BTreeMap<PathBuf, u64>,
    /// The first file whose owner is nobody here, and how many there are.
    orphans: Option<(String, usize)>,
}

/// Lays out what a tar file holds in an empty directory. `owner` is root inside;
/// without one, all is ours.
///
/// # Errors
/// When it is no tar file, or leads out of the directory, or says what is not
/// known here.
pub fn lay_out(
    tar: impl Read,
    into: &Path,
    runtime: &Narrator,
    owner: Option<(Uid, Gid)>,
) -> Result<LaidOut> {
    let into = &fs::canonicalize(into)?;
    let mut done = LaidOut::default();
    let mut archive = Archive::new(without_label(tar).map_err(damaged)?);
    archive.set_preserve_permissions(true);
    archive.set_overwrite(true);
    let mut entries = archive.entries()?.peekable();
    if entries.peek().is_none() {
        bail!("this is not a tar file, or it is empty");
    }
    for entry in entries {
        runtime.interrupted()?;
        let mut entry = entry.map_err(damaged)?;
        let name = entry.path()?.display().to_string();
        done.lay_out(&mut entry, into, owner).with_context(|| name)?;
    }
    must_be_all(archive.into_inner())?;
    whiteout::translate(into, runtime)?;
    done.finish()
}

// Not the library's own words: they hold a page of what it read.
fn damaged(error: io::Error) -> anyhow::Error {
    let told = anyhow!("this is not a tar file, or it is cut short");
    match error.kind() {
        ErrorKind::Other => told,
        kind => anyhow!("{told}: {kind}"),
    }
}

impl LaidOut {
    fn lay_out<R: Read>(
        &mut self,
        entry: &mut Entry<R>,
        into: &Path,
        owner: Option<(Uid, Gid)>,
    ) -> Result<()> {
        let name = entry.path()?.display().to_string();
        let keywords = tar_feature::keywords(entry)?;
        let taken = tar_feature::kind(entry)?;
        if taken == Taken::Not {
            self.left_out.push(name);
            return Ok(());
        }
        for attribute in keywords.left_out {
            self.left_out.push(format!("{attribute} of {name}"));
        }
        // Refuses `..`, absolute names, and a way through a link that an
        // entry before it has laid out of the directory.
        if !entry.unpack_in(into)? {
            bail!("leads out of the layer");
        }
        let path = self.give(entry, into, owner)?;
        if taken == Taken::Whiteout {
            fs::remove_file(&path)?;
            whiteout::make(&path)?;
        }
        if entry.header().entry_type().is_dir() {
            self.directories.insert(path.clone(), entry.header().mtime()?);
            if keywords.opaque {
                whiteout::make_opaque(&path)?;
            }
        }
        for (key, mut value) in keywords.attributes {
            if key == "security.capability" {
                be_for_root_inside(&mut value, owner);
            }
            if lsetxattr(&path, &key, &value, XattrFlags::empty()).is_err() {
                self.left_out.push(format!("SCHILY.xattr.{key} of {name}"));
            }
        }
        Ok(())
    }

    /// Id 0 of the file is root inside, whoever that is outside, and the ids
    /// after it are those after root. An ordinary user owns all that they
    /// unpack.
    fn give<R: Read>(
        &mut self,
        entry: &Entry<R>,
        into: &Path,
        owner: Option<(Uid, Gid)>,
    ) -> Result<PathBuf> {
        let header = entry.header();
        let (kind, mode) = (header.entry_type(), header.mode()?);
        let mut path = into.to_owned();
        for component in entry.path()?.components() {
            // An absolute name would lead out: joined to it, `into` is lost.
            let Component::Normal(name) = component else { continue };
            path.push(name);
            // The directories on the way need no entries of their own.
            let ours = fs::symlink_metadata(&path)?.uid() == geteuid().as_raw();
            if let Some((root, wheel)) = owner.filter(|_| ours) {
                lchown(&path, Some(root.as_raw()), Some(wheel.as_raw()))?;
            }
        }
        if let (Some((root, wheel)), false) = (owner, kind.is_hard_link()) {
            let ids = [
                (root.as_raw(), header.uid()?),
                (wheel.as_raw(), header.gid()?),
            ];
            if !own(&path, ids)? {
                let name = path.strip_prefix(into).unwrap_or(&path).display();
                let first = || (name.to_string(), 0);
                self.orphans.get_or_insert_with(first).1 += 1;
            }
        }
        // chown(2) took setuid away. And a directory that is closed to its owner
        // could by an ordinary user be neither filled nor, one day, removed.
        if !matches!(kind, EntryType::Symlink | EntryType::Link) {
            let closed =
                fs::symlink_metadata(&path)?.is_dir() && !geteuid().is_root();
            let mode = if closed { mode | 0o700 } else { mode } & 0o7777;
            fs::set_permissions(&path, Permissions::from_mode(mode))?;
        }
        Ok(path)
    }

    /// Whatever comes into a directory makes it younger: so its time comes last.
    fn finish(mut self) -> Result<LaidOut> {
        for (path, &seconds) in &self.directories {
            let is_there = fs::symlink_metadata(path)
                .is_ok_and(|it| it.is_dir())
                && fs::canonicalize(path).is_ok_and(|it| it == *path);
            if is_there {
                let seconds = i64::try_from(seconds)?;
                let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
                let times =
                    Timestamps { last_access: time, last_modification: time };
                utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
                    .with_context(|| format!("utimensat({path:?})"))?;
            }
        }
        self.left_out.extend(self.orphans.take().map(|(first, count)| {
            format!(
                "the owner of {first} (files like this: {count}): this user \
                 namespace has no such id, so it is root's"
            )
        }));
        Ok(self)
    }
}

/// As many as a container has: root, and those after it.
const IDS: u64 = 65_536;

/// chown(2) to ids of the file, counted from those of root inside. One that no
/// container has becomes root's, and so does one that is nobody here: `false`.
fn own(path: &Path, [user, group]: [(u32, u64); 2]) -> io::Result<bool> {
    let outside = |(root, id): (u32, u64)| match u32::try_from(id) {
        Ok(id) if root == 0 || u64::from(id) < IDS => root + id,
        _ => root,
    };
    let (uid, gid) = (Some(outside(user)), Some(outside(group)));
    let is_nobody = |it: &io::Result<()>| {
        let why = it.as_ref().err().and_then(io::Error::raw_os_error);
        why == Some(Errno::EINVAL as i32)
    };
    match lchown(path, uid, gid) {
        failed if is_nobody(&failed) => {}
        done => return done.map(|()| true),
    }
    for (ids, root) in [
        ([uid, None], [Some(user.0), None]),
        ([None, gid], [None, Some(group.0)]),
    ] {
        match lchown(path, ids[0], ids[1]) {
            failed if is_nobody(&failed) => lchown(path, root[0], root[1])?,
            done => done?,
        }
    }
    Ok(false)
}

/// A capability of a file is one for root of some user namespace: it says of
/// which, or else means that of whoever writes it (capabilities(7), revision 3).
fn be_for_root_inside(value: &mut Vec<u8>, owner: Option<(Uid, Gid)>) {
    const OF_NOBODY: usize = 20;
    const REVISION: usize = 3;
    let Some((root, _)) = owner.filter(|(root, _)| !root.is_root()) else {
        return;
    };
    if value.len() == OF_NOBODY && value[REVISION] == 2 {
        value[REVISION] = 3;
        value.extend(root.as_raw().to_le_bytes());
    }
}

/// Two tar files in one, as `cat` makes them, end where the first one ends.
fn must_be_all(mut rest: impl Read) -> Result<()> {
    let mut block = [0; 8192];
    loop {
        match rest.read(&mut block)? {
            0 => return Ok(()),
            length if block[..length].iter().any(|&byte| byte != 0) => bail!(
                "something follows the end of the tar file; two in one? \
                 `tar -Af FIRST SECOND` joins them"
            ),
            _ => {}
        }
    }
}

/// GNU tar's name for the whole file comes first, as a header with next to
/// nothing in it, which the library does not read.
fn without_label(mut tar: impl Read) -> io::Result<impl Read> {
    const KIND: usize = 156;
    let mut first = vec![];
    tar.by_ref().take(512).read_to_end(&mut first)?;
    if first.get(KIND) == Some(&b'V') {
        first.clear();
    }
    Ok(Cursor::new(first).chain(tar))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    use std::time::{Duration, Instant};

    use proptest::collection::vec;
    use proptest::prelude::*;
    use runtime::Signals;
    use tar::Header;

    use super::*;

    /// An entry of an enemy's tar file, before some of its bytes change.
    #[derive(Debug, Clone)]
    struct Hostile {
        kind: u8,
        name: OsString,
        target: OsString,
        mode: u32,
        id: u64,
        content: Vec<u8>,
        changes: Vec<(usize, u8)>,
    }

    /// Names that lead out, through links or not. `*` is the place outside.
    fn name() -> impl Strategy<Value = OsString> {
        const KNOWN: [&str; 23] = [
            "a",
            "a/b",
            "l",
            "l/x",
            "l/file",
            "l/l",
            ".",
            "..",
            "",
            "/",
            "*",
            "*/file",
            "*/x",
            "../outside",
            "../outside/file",
            "../outside/x",
            "a/../../outside/x",
            "./a",
            "a/",
            "a//b",
            "l/../outside/file",
            "/proc/self/cwd",
            "a\nb",
        ];
        prop_oneof![
            8 => proptest::sample::select(&KNOWN[..]).prop_map(OsString::from),
            1 => vec(1_u8.., 0..100).prop_map(OsString::from_vec),
        ]
    }

    fn hostile() -> impl Strategy<Value = Hostile> {
        // Old and new files, links, devices, directories, a FIFO, long names,
        // sparse files, and what pax says of the next entry.
        let kind = prop_oneof![
            6 => proptest::sample::select(&b"0125\0"[..]),
            2 => proptest::sample::select(&b"3467LKSxg"[..]),
            1 => any::<u8>(),
        ];
        let changes = prop_oneof![2 => Just(vec![]), 1 => vec((0..512_usize, any::<u8>()), 0..4)];
        let content = prop_oneof![
            any::<Vec<u8>>(),
            name().prop_map(OsString::into_vec),
            Just(b"23 path=../outside/file\n".to_vec()),
            Just(b"27 linkpath=../outside/file\n".to_vec()),
        ];
        let fields = (
            kind,
            name(),
            name(),
            any::<u32>(),
            any::<u64>(),
            content,
            changes,
        );
        fields.prop_map(|(kind, name, target, mode, id, content, changes)| {
            Hostile {
                kind,
                name,
                target,
                mode,
                id: id >> (id % 64),
                content,
                changes,
            }
        })
    }

    fn tar_of(entries: &[Hostile], outside: &Path) -> Vec<u8> {
        let mut bytes = vec![];
        let place = |name: &OsString, field: &mut [u8]| {
            let name =
                name.to_string_lossy().replace('*', &outside.to_string_lossy());
            let length = name.len().min(field.len());
            field[..length].copy_from_slice(&name.as_bytes()[..length]);
        };
        for entry in entries {
            let mut header = Header::new_gnu();
            place(&entry.name, &mut header.as_old_mut().name);
            place(&entry.target, &mut header.as_old_mut().linkname);
            header.as_old_mut().linkflag = [entry.kind];
            header.set_mode(entry.mode);
            header.set_uid(entry.id);
            header.set_gid(entry.id);
            header.set_size(entry.content.len() as u64);
            for &(at, byte) in &entry.changes {
                header.as_mut_bytes()[at] = byte;
            }
            header.set_cksum();
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(&entry.content);
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }

    /// What lies outside must be as it was, down to the number of its names.
    fn look(
        outside: &Path,
    ) -> Vec<(std::path::PathBuf, u32, u32, u64, Vec<u8>)> {
        let above = outside.parent().unwrap();
        let names = |path: &Path| {
            let entries = fs::read_dir(path).unwrap().flatten();
            entries.map(|entry| entry.path()).collect::<Vec<_>>()
        };
        let mut all = names(above);
        all.extend(names(outside));
        all.sort();
        let is_ours = |path: &std::path::PathBuf| !path.ends_with("into");
        let fact = |path: std::path::PathBuf| {
            let meta = fs::symlink_metadata(&path).unwrap();
            let text =
                if meta.is_file() { fs::read(&path).unwrap() } else { vec![] };
            (path, meta.mode(), meta.uid(), meta.nlink(), text)
        };
        all.into_iter().filter(is_ours).map(fact).collect()
    }

    fn stays_inside(tar: impl FnOnce(&Path) -> Vec<u8>, owned: bool) {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let (into, outside) = (at("into"), at("outside"));
        fs::create_dir(&into).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "the host's").unwrap();
        let tar = tar(&outside);
        let before = look(&outside);
        let signals = Signals::block().unwrap();
        let narrator = Narrator::new(true, false, &signals).unwrap();
        let owner = (Uid::from_raw(100_000), Gid::from_raw(100_000));
        let can = || lchown(&into, Some(100_000), Some(100_000)).is_ok();
        let owner = (owned && can()).then_some(owner);
        let begin = Instant::now();
        // Taken or refused: neither leads out, nor takes forever.
        let _ = Packing::of(&tar[..tar.len().min(6)]).map(|packing| {
            let tar = packing.undone(Cursor::new(tar));
            lay_out(tar, &into, &narrator, owner)
        });
        assert!(begin.elapsed() < Duration::from_secs(60));
        assert_eq!(look(&outside), before);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn a_hostile_tar_file_writes_nothing_outside(
            entries in vec(hostile(), 1..8),
            owned: bool,
            cut in prop_oneof![3 => Just(usize::MAX), 1 => 0..4096_usize],
        ) {
            let tar = |outside: &Path| {
                let mut bytes = tar_of(&entries, outside);
                bytes.truncate(cut);
                bytes
            };
            stays_inside(tar, owned);
        }

        #[test]
        fn any_bytes_are_no_tar_file_and_do_no_harm(
            bytes in vec(any::<u8>(), 0..4096),
            is_gzip: bool,
        ) {
            stays_inside(|_| [if is_gzip { &b"\x1f\x8b\x08\0"[..] } else { b"" }, &bytes].concat(), false);
        }
    }
}
