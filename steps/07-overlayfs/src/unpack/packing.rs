//! What a tar file is packed by.

use std::io::Read;

use anyhow::{Result, bail};
use flate2::read::MultiGzDecoder;

/// Those that are undone here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Nothing.
    None,
    /// gzip, in one member or more.
    Gzip,
}

impl Packing {
    /// By its first bytes, not by its name.
    ///
    /// # Errors
    /// When another program has to undo it.
    pub fn of(first: &[u8]) -> Result<Packing> {
        if first.starts_with(b"\x1f\x8b") {
            return Ok(Packing::Gzip);
        }
        match OTHERS.iter().find(|it| first.starts_with(it.0)) {
            Some((_, by, undo)) => {
                bail!("it is compressed with {by}: run `{undo} FILE` first")
            }
            None => Ok(Packing::None),
        }
    }

    /// What was packed.
    pub fn undone<'a>(self, packed: impl Read + 'a) -> Box<dyn Read + 'a> {
        match self {
            Packing::None => Box::new(packed),
            Packing::Gzip => Box::new(MultiGzDecoder::new(packed)),
        }
    }
}

/// First bytes, whose they are, and what undoes it.
const OTHERS: [(&[u8], &str, &str); 9] = [
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
