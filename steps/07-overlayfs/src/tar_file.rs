//! A layer in a tar file, as `docker export` writes one, or a distribution its
//! minimal root: unpacked once, into the cache.

use std::fs::{self, File, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufReader, Cursor, ErrorKind, Read, Seek};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use flate2::read::MultiGzDecoder;
use nix::unistd::{Gid, Uid, geteuid};
use runtime::{CachedDirectory, Narrator, Side};
use tar::{Archive, Entry, EntryType};

use crate::tar_feature::{self, Taken};
use crate::whiteout;

/// Counts up when another layer comes of the same tar file.
const RECIPE: u32 = 2;

/// The directory with what the tar file holds.
pub fn unpacked(
    file: &Path,
    runtime: &Narrator,
    owner: Option<(Uid, Gid)>,
) -> Result<CachedDirectory> {
    let there = fs::metadata(file)?;
    if !there.is_file() {
        bail!("{}: neither a directory nor a tar file", file.display());
    }
    let version =
        (RECIPE, there.size(), there.mtime(), there.mtime_nsec(), there.ino());
    let family =
        format!("layer-{:08x}", hash((file, owner.map(|o| o.0.as_raw()))));
    let version = format!("{:08x}", hash(version));
    CachedDirectory::open(runtime, &family, &version, |into| {
        unpack(file, into, runtime, owner)
            .with_context(|| format!("unpack {}", file.display()))
    })
}

fn hash(of: impl Hash) -> u32 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish() as u32
}

fn unpack(
    file: &Path,
    into: &Path,
    runtime: &Narrator,
    owner: Option<(Uid, Gid)>,
) -> Result<()> {
    let text = format!("unpack {} once, for all runs", file.display());
    runtime.note(Side::Host, text);
    let mut archive = Archive::new(without_label(open(file)?)?);
    archive.set_preserve_permissions(true);
    archive.set_overwrite(true);
    let mut entries = archive.entries()?.peekable();
    if entries.peek().is_none() {
        bail!("this is not a tar file, or it is empty");
    }
    for entry in entries {
        runtime.interrupted()?;
        // Not the library's own words: they hold a page of what it read.
        let mut entry = entry.map_err(|error| {
            let told = anyhow!("this is not a tar file, or it is cut short");
            match error.kind() {
                ErrorKind::Other => told,
                kind => anyhow!("{told}: {kind}"),
            }
        })?;
        let name = entry.path()?.display().to_string();
        lay_out(&mut entry, into, runtime, owner).with_context(|| name)?;
    }
    must_be_all(archive.into_inner())?;
    whiteout::translate(into, runtime)
}

fn lay_out<R: Read>(
    entry: &mut Entry<R>,
    into: &Path,
    runtime: &Narrator,
    owner: Option<(Uid, Gid)>,
) -> Result<()> {
    let name = entry.path()?.display().to_string();
    let leave_out = |what: &str| {
        runtime.note(Side::Host, format!("left out of the layer: {what}"));
    };
    let keywords = tar_feature::keywords(entry)?;
    let taken = tar_feature::kind(entry)?;
    if taken == Taken::Not {
        leave_out(&name);
        return Ok(());
    }
    for attribute in keywords.left_out {
        leave_out(&format!("{attribute} of {name}"));
    }
    // Refuses `..`, absolute names, and a way through a link that an
    // entry before it has laid out of the directory.
    if !entry.unpack_in(into)? {
        bail!("leads out of the layer");
    }
    let path = give(entry, into, owner)?;
    if taken == Taken::Whiteout {
        fs::remove_file(&path)?;
        whiteout::make(&path)?;
    }
    if keywords.opaque && entry.header().entry_type().is_dir() {
        whiteout::make_opaque(&path)?;
    }
    Ok(())
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
fn without_label(mut tar: Box<dyn Read>) -> Result<impl Read> {
    const KIND: usize = 156;
    let mut first = vec![];
    tar.by_ref().take(512).read_to_end(&mut first)?;
    if first.get(KIND) == Some(&b'V') {
        first.clear();
    }
    Ok(Cursor::new(first).chain(tar))
}

/// By its first bytes, not by its name.
fn open(file: &Path) -> Result<Box<dyn Read>> {
    let mut opened = BufReader::new(File::open(file)?);
    let mut magic = [0; 6];
    let length = opened.read(&mut magic)?;
    opened.rewind()?;
    match &magic[..length] {
        [0x1f, 0x8b, ..] => Ok(Box::new(MultiGzDecoder::new(opened))),
        magic => match COMPRESSED.iter().find(|it| magic.starts_with(it.0)) {
            Some((_, by, undo)) => {
                bail!("it is compressed with {by}: run `{undo} FILE` first")
            }
            None => Ok(Box::new(opened)),
        },
    }
}

/// First bytes, whose they are, and what undoes it.
const COMPRESSED: [(&[u8], &str, &str); 9] = [
    (b"\xfd7zXZ", "xz", "unxz --keep"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unzstd"),
    (b"BZh", "bzip2", "bunzip2 --keep"),
    (b"\x04\x22\x4d\x18", "lz4", "unlz4"),
    (b"LZIP", "lzip", "lzip --decompress --keep"),
    (b"\x89LZO", "lzop", "lzop --decompress"),
    (b"\x5d\0\0", "lzma", "unlzma --keep"),
    (b"\x1f\x9d", "compress", "uncompress"),
    (b"PK\x03\x04", "zip", "unzip"),
];

/// As many as a container has: root, and those after it.
const IDS: u64 = 65_536;

/// Id 0 of the file is root inside, whoever that is outside, and the ids after
/// it are those after root. One that no container has becomes root's. An
/// ordinary user owns all that they unpack.
fn give<R: Read>(
    entry: &Entry<R>,
    into: &Path,
    owner: Option<(Uid, Gid)>,
) -> Result<PathBuf> {
    let (kind, mode) = (entry.header().entry_type(), entry.header().mode()?);
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
        let inside = |id: u64| if id < IDS { id as u32 } else { 0 };
        let uid = root.as_raw() + inside(entry.header().uid()?);
        let gid = wheel.as_raw() + inside(entry.header().gid()?);
        lchown(&path, Some(uid), Some(gid))?;
    }
    // chown(2) took setuid away. And a directory that is closed to its owner
    // could be neither filled nor, one day, removed.
    if !matches!(kind, EntryType::Symlink | EntryType::Link) {
        let is_directory = fs::symlink_metadata(&path)?.is_dir();
        let mode = if is_directory { mode | 0o700 } else { mode } & 0o7777;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
    }
    Ok(path)
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
        let (into, outside, file) =
            (at("into"), at("outside"), at("layer.tar"));
        fs::create_dir(&into).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "the host's").unwrap();
        fs::write(&file, tar(&outside)).unwrap();
        let before = look(&outside);
        let signals = Signals::block().unwrap();
        let narrator = Narrator::new(true, false, &signals).unwrap();
        let owner = (Uid::from_raw(100_000), Gid::from_raw(100_000));
        let can = || lchown(&into, Some(100_000), Some(100_000)).is_ok();
        let owner = (owned && can()).then_some(owner);
        let begin = Instant::now();
        // Taken or refused: neither leads out, nor takes forever.
        let _ = unpack(&file, &into, &narrator, owner);
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
