//! What a tar file may say of a file. The format is 45 years old, and each tar
//! has added to it: what we do not know is refused by its name. A guess would
//! be a layer that is silently wrong.

use std::io::Read;

use anyhow::{Context, Result, anyhow, bail};
use tar::{Entry, EntryType};

/// What becomes of an entry.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is laid out.
    Whole,
    /// It is a whiteout, as overlayfs has them.
    Whiteout,
    /// It is no part of a layer: told, and left out.
    Not,
}

/// Of pax's keywords (pax(1)) those that change nothing that a layer keeps, or
/// that the library knows.
const KNOWN: [&str; 16] = [
    "path",
    "linkpath",
    "size",
    "uid",
    "gid",
    "uname",
    "gname",
    "mtime",
    "atime",
    "ctime",
    "comment",
    "LIBARCHIVE.creationtime",
    "RHT.security.selinux",
    "SCHILY.dev",
    "SCHILY.ino",
    "SCHILY.nlink",
];

/// Before the name of an attribute.
const ATTRIBUTE: &str = "SCHILY.xattr.";

/// Attributes in another way, and access lists: a layer is whole without them.
const LEFT_OUT: [&str; 2] = ["LIBARCHIVE.xattr.", "SCHILY.acl."];

/// By these an overlay knows its own: none but the first is a tar file's to say.
const OVERLAY: [&str; 2] = ["user.overlay.", "trusted.overlay."];
const OPAQUE: [&str; 2] = ["user.overlay.opaque", "trusted.overlay.opaque"];

/// What the keywords say that come with an entry.
#[derive(Debug, Default)]
pub struct Keywords {
    /// A directory through which nothing shines.
    pub opaque: bool,
    /// Attributes, by name.
    pub attributes: Vec<(String, Vec<u8>)>,
    /// Attributes that are left out of the layer.
    pub left_out: Vec<String>,
}

/// Whether it is laid out, and as what.
pub fn kind<R: Read>(entry: &mut Entry<R>) -> Result<Taken> {
    let header = entry.header();
    match header.entry_type() {
        EntryType::Regular
        | EntryType::Continuous
        | EntryType::GNUSparse
        | EntryType::Directory
        | EntryType::Symlink
        | EntryType::Link => Ok(Taken::Whole),
        // What an overlay itself has written.
        EntryType::Char
            if (header.device_major()?, header.device_minor()?)
                == (Some(0), Some(0)) =>
        {
            Ok(Taken::Whiteout)
        }
        // An ordinary user may not make them, and /dev has its own.
        EntryType::Char | EntryType::Block | EntryType::Fifo => Ok(Taken::Not),
        EntryType::XGlobalHeader => Ok(Taken::Not),
        other => {
            let letter = char::from(other.as_byte()).escape_default();
            let what = match other.as_byte() {
                b'M' => "a file that begins in another volume".to_owned(),
                b'D' => "an incremental backup's directory".to_owned(),
                _ => format!("an entry of type '{letter}'"),
            };
            Err(refused(&what))
        }
    }
}

/// What pax says of one entry, or of all that follow: nothing, but notes.
pub fn keywords<R: Read>(entry: &mut Entry<R>) -> Result<Keywords> {
    let mut said = Keywords::default();
    let for_all = entry.header().entry_type().is_pax_global_extensions();
    for keyword in entry.pax_extensions()?.into_iter().flatten() {
        let keyword = keyword.context(LINE_FEED)?;
        let (key, value) = (keyword.key()?, keyword.value_bytes());
        if for_all && !["comment", "GNU.volume.label"].contains(&key) {
            bail!(refused(&format!("pax's {key:?} for all files")));
        }
        let is_known = for_all
            || KNOWN.contains(&key)
            || key == "hdrcharset"
                && [&b"BINARY"[..], b"ISO-IR 10646 2000 UTF-8"]
                    .contains(&value);
        let begins = |all: &[&str], it: &str| {
            all.iter().any(|begin| it.starts_with(begin))
        };
        if let Some(name) = key.strip_prefix(ATTRIBUTE) {
            if OPAQUE.contains(&name) && value == b"y" {
                said.opaque = true;
            } else if begins(&OVERLAY, name) {
                said.left_out.push(key.to_owned());
            } else {
                said.attributes.push((name.to_owned(), value.to_vec()));
            }
        } else if begins(&LEFT_OUT, key) {
            said.left_out.push(key.to_owned());
        } else if key.starts_with("GNU.sparse.") {
            bail!(
                "a sparse file in pax format can't be read here: write it \
                 without --sparse, or with --format=gnu"
            );
        } else if !is_known {
            bail!(refused(&format!("pax's {key:?}")));
        }
    }
    Ok(said)
}

/// The library takes each line for a keyword, whatever length it says.
const LINE_FEED: &str = "a pax name or attribute with a line feed in it can't \
    be read here: write the tar file without --xattrs, or with \
    --xattrs-include=user.overlay.opaque alone";

fn refused(what: &str) -> anyhow::Error {
    anyhow!(
        "{what} can't be read here: unpack the file with its own program, and \
         give the directory as the layer"
    )
}
