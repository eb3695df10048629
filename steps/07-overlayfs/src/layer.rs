//! The lower layers: directories, and tar files that were unpacked.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::builder::{OsStringValueParser, TypedValueParser};
use nix::errno::Errno;
use nix::unistd::{Gid, Uid};
use runtime::{Because, CachedDirectory, Failure, Narrator};

use crate::{tar_file, whiteout};

/// What `--layer DIR|TAR` asks for, by its absolute name.
#[derive(Debug, Clone)]
pub struct Layer(PathBuf);

/// For clap: a path need not be UTF-8.
pub fn parser() -> impl TypedValueParser<Value = Layer> {
    OsStringValueParser::new().try_map(|text: OsString| {
        let found = fs::canonicalize(&text)
            .map_err(|error| Failure::of(format!("realpath({text:?})"), error))
            .because(Errno::ENOENT, "there is no such directory or tar file");
        found.map(Layer)
    })
}

/// All layers but the lowest, as directories; the topmost is the last.
#[derive(Debug, Default)]
pub struct Layers {
    directories: Vec<PathBuf>,
    /// Those of them that came from tar files: in use while this lives.
    _unpacked: Vec<CachedDirectory>,
}

impl Layers {
    /// Unpacks what is a tar file, once for all runs.
    pub fn open(
        layers: &[Layer],
        runtime: &Narrator,
        owner: Option<(Uid, Gid)>,
    ) -> Result<Layers> {
        let mut opened = Layers::default();
        for Layer(path) in layers {
            let directory = match path.is_dir() {
                true => {
                    // All of the host: refused later, and long to look at.
                    if path.parent().is_some() {
                        whiteout::must_have_none(path, runtime)?;
                    }
                    path.clone()
                }
                false => {
                    let cached = tar_file::unpacked(path, runtime, owner)?;
                    let directory = cached.path().to_owned();
                    opened._unpacked.push(cached);
                    directory
                }
            };
            opened.must_not_overlap(&directory)?;
            opened.directories.push(directory);
        }
        Ok(opened)
    }

    /// # Errors
    /// When this directory and one of ours are not apart.
    pub fn must_not_overlap(&self, path: &Path) -> Result<()> {
        self.directories.iter().try_for_each(|ours| must_be_apart(path, ours))
    }

    /// For `lowerdir`: ours, those that another feature lays over the root
    /// directory, and that itself.
    pub fn names_from_the_top<'a>(
        &'a self,
        over_the_root: &'a [PathBuf],
    ) -> impl Iterator<Item = &'a Path> {
        let all =
            self.directories.iter().rev().chain(over_the_root.iter().rev());
        all.map(PathBuf::as_path).chain([Path::new(".")])
    }
}

/// A directory that is seen twice, or lies in another, changes under the
/// overlay's feet: what that does is undefined (overlayfs.rst).
pub fn must_be_apart(one: &Path, other: &Path) -> Result<()> {
    if one == other {
        bail!("{}: the same directory twice in one overlay", one.display());
    }
    if one.starts_with(other) || other.starts_with(one) {
        bail!(
            "{} and {}: one lies in the other, so both would change at once",
            one.display(),
            other.display()
        );
    }
    Ok(())
}

/// OVL_MAX_STACK of the kernel.
const MOST: usize = 500;

/// mount(2) cuts off, without a word, what is longer.
const PAGE: usize = 4096;

/// # Errors
/// When there are more layers, or longer names, than the kernel takes.
pub fn must_fit(layers: usize, data: usize) -> Result<()> {
    if layers > MOST {
        bail!(
            "{layers} layers with the root directory, and overlayfs takes \
             {MOST}: put some of them into one directory, in order"
        );
    }
    if data >= PAGE {
        bail!(
            "the names of {layers} layers are longer than the {PAGE} bytes that \
             mount(2) takes: put some of them into one directory, in order, or \
             move them to a place with a short name"
        );
    }
    Ok(())
}

/// A colon separates layers, and a comma options: within a name a backslash
/// takes their meaning away.
#[must_use]
pub fn escape(path: &Path) -> OsString {
    let mut escaped = Vec::new();
    for &byte in path.as_os_str().as_bytes() {
        if b":,\\".contains(&byte) {
            escaped.push(b'\\');
        }
        escaped.push(byte);
    }
    OsString::from_vec(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_contain_what_separates_names() {
        assert_eq!(escape(Path::new("/a:b,c\\d")), "/a\\:b\\,c\\\\d");
    }

    #[test]
    fn no_layer_lies_in_another() {
        let directories = vec![PathBuf::from("/a/b"), "/c".into()];
        let layers = Layers { directories, ..Layers::default() };
        for path in ["/a/b", "/a/b/c", "/a", "/", "/c"] {
            assert!(
                layers.must_not_overlap(Path::new(path)).is_err(),
                "{path}"
            );
        }
        for path in ["/a/bc", "/a/c", "/d"] {
            assert!(layers.must_not_overlap(Path::new(path)).is_ok(), "{path}");
        }
    }
}
