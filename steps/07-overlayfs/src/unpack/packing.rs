//! What a tar file is packed by.

use std::io::{self, BufRead, BufReader, Read};

use anyhow::{Result, bail};
use flate2::read::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// Those that are undone here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Nothing.
    None,
    /// gzip, in one member or more.
    Gzip,
    /// zstd, in one frame or more.
    Zstd,
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
        if first.starts_with(b"\x28\xb5\x2f\xfd") {
            return Ok(Packing::Zstd);
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
            Packing::Zstd => Box::new(Zstd {
                packed: BufReader::new(packed),
                frame: FrameDecoder::new(),
            }),
        }
    }
}

/// First bytes, whose they are, and what undoes it.
const OTHERS: [(&[u8], &str, &str); 8] = [
    (b"\xfd7zXZ", "xz", "unxz --keep"),
    (b"BZh", "bzip2", "bunzip2 --keep"),
    (b"\x04\x22\x4d\x18", "lz4", "unlz4"),
    (b"LZIP", "lzip", "lzip --decompress --keep"),
    (b"\x89LZO", "lzop", "lzop --decompress"),
    (b"\x5d\0\0", "lzma", "unlzma --keep"),
    (b"\x1f\x9d", "compress", "uncompress"),
    (b"PK\x03\x04", "zip", "unzip"),
];

/// Frames, one after the other (RFC 8878). Some are notes, and no content.
struct Zstd<R> {
    packed: BufReader<R>,
    frame: FrameDecoder,
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Zstd { packed, frame } = self;
        loop {
            while !frame.is_finished() && frame.can_collect() < buffer.len() {
                let enough = BlockDecodingStrategy::UptoBytes(buffer.len());
                frame
                    .decode_blocks(&mut *packed, enough)
                    .map_err(io::Error::other)?;
            }
            let length = frame.read(buffer)?;
            if length > 0 || buffer.is_empty() || packed.fill_buf()?.is_empty()
            {
                return Ok(length);
            }
            match frame.reset(&mut *packed) {
                Err(FrameDecoderError::ReadFrameHeaderError(
                    ReadFrameHeaderError::SkipFrame { length, .. },
                )) => {
                    let mut note = packed.take(length.into());
                    io::copy(&mut note, &mut io::sink())?;
                }
                begun => begun.map_err(io::Error::other)?,
            }
        }
    }
}
