//! Where the files of an image lie: in a directory, or in a tar file of
//! `docker save`, which need not be unpacked to be read.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use overlayfs::unpack::Packing;
use tar::{Archive, EntryType};

/// The place of an image.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    /// Of a tar file: where each file begins, and its length.
    files: Option<HashMap<PathBuf, (u64, u64)>>,
}

impl Source {
    /// # Errors
    /// When there is neither a directory nor a tar file.
    pub fn open(path: &Path) -> Result<Source> {
        let shown = path.display();
        let path = fs::canonicalize(path).with_context(|| shown.to_string())?;
        // Never wait for whoever may write to a FIFO.
        let files = match fs::metadata(&path)? {
            there if there.is_dir() => None,
            there if there.is_file() => Some(files_in(File::open(&path)?)),
            _ => bail!("{shown}: neither a directory nor a tar file"),
        };
        let files = files.transpose().with_context(|| shown.to_string())?;
        Ok(Source { path, files })
    }

    /// The path of a file in it, or of the tar file that has it.
    pub fn path_of(&self, name: &Path) -> PathBuf {
        match self.files {
            None => self.path.join(name),
            Some(_) => self.path.clone(),
        }
    }

    /// Whether it has a file of this name.
    pub fn has(&self, name: &str) -> bool {
        match &self.files {
            None => self.path.join(name).is_file(),
            Some(files) => files.contains_key(Path::new(name)),
        }
    }

    /// # Errors
    /// When there is no such file.
    pub fn file(&self, name: &Path) -> Result<Part> {
        let is_name = |it| matches!(it, Component::Normal(_));
        ensure!(name.components().all(is_name), "it leads out of the image");
        let (path, place) = match &self.files {
            None => (self.path.join(name), None),
            Some(files) => {
                let place = files.get(name).context("the tar file lacks it")?;
                (self.path.clone(), Some(*place))
            }
        };
        ensure!(fs::metadata(&path)?.is_file(), "it is no file");
        let mut file = File::open(&path)?;
        let (begin, length) = match place {
            None => (0, file.metadata()?.len()),
            Some(place) => place,
        };
        file.seek(SeekFrom::Start(begin))?;
        Ok(Part { file: file.take(length), begin, length })
    }
}

/// A file, or a part of one.
#[derive(Debug)]
pub struct Part {
    file: io::Take<File>,
    begin: u64,
    /// How long it is.
    pub length: u64,
}

impl Part {
    /// To be read once more.
    pub fn rewind(&mut self) -> io::Result<()> {
        self.file.set_limit(self.length);
        self.file.get_mut().seek(SeekFrom::Start(self.begin)).map(drop)
    }
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

/// Where each file of a tar file lies.
fn files_in(mut file: File) -> Result<HashMap<PathBuf, (u64, u64)>> {
    let mut first = [0; 6];
    let length = file.read(&mut first)?;
    file.rewind()?;
    if let packed @ (Packing::Gzip | Packing::Zstd) =
        Packing::of(&first[..length])?
    {
        bail!(
            "it is compressed: run `{} FILE` first",
            if packed == Packing::Gzip { "gunzip --keep" } else { "unzstd" }
        );
    }
    let (mut files, mut links) = (HashMap::new(), vec![]);
    let mut archive = Archive::new(file);
    let no_tar = "neither a directory with an image, nor a tar file";
    for entry in archive.entries_with_seek().context(no_tar)? {
        let entry = entry.map_err(|_| anyhow::anyhow!(no_tar))?;
        let name = clean(&entry.path()?);
        match (entry.header().entry_type(), entry.link_name()?) {
            (EntryType::Regular, _) => {
                let place = (entry.raw_file_position(), entry.size());
                files.insert(name, place);
            }
            // Of two layers that are the same, docker saved one.
            (EntryType::Symlink, Some(target)) => {
                let above = name.parent().unwrap_or(Path::new(""));
                links.push((clean(&above.join(target)), name));
            }
            (EntryType::Link, Some(target)) => {
                links.push((clean(&target), name));
            }
            _ => {}
        }
    }
    for (target, name) in links {
        if let Some(place) = files.get(&target).copied() {
            files.insert(name, place);
        }
    }
    Ok(files)
}

/// Without `.`, and with each `..` followed.
fn clean(name: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for part in name.components() {
        match part {
            Component::Normal(part) => cleaned.push(part),
            Component::ParentDir => {
                cleaned.pop();
            }
            _ => {}
        }
    }
    cleaned
}
