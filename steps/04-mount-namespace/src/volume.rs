//! Volumes: a file or directory of the host, shown inside.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, bail};
use clap::builder::{OsStringValueParser, TypedValueParser};
use nix::errno::Errno;
use nix::mount::MsFlags;
use runtime::{Because, Failure, Inside};

use crate::mount::{self, Mount};
use crate::new_root::NewRoot;

/// What `-v SRC:DST[:ro]` asks for.
#[derive(Debug, Clone)]
pub struct Volume {
    /// Absolute and without links, as of when the command line was read.
    source: PathBuf,
    destination: PathBuf,
    read_only: bool,
}

/// For clap: a path need not be UTF-8.
pub fn parser() -> impl TypedValueParser<Value = Volume> {
    OsStringValueParser::new().try_map(Volume::parse)
}

impl Volume {
    fn parse(text: OsString) -> Result<Volume, String> {
        let parts: Vec<_> = text
            .as_bytes()
            .split(|&b| b == b':')
            .map(OsStr::from_bytes)
            .collect();
        let (source, destination, read_only) = match parts[..] {
            [source, destination] => (source, destination, false),
            [source, destination, mode] if mode == "ro" => {
                (source, destination, true)
            }
            [source, destination, mode] if mode == "rw" => {
                (source, destination, false)
            }
            [_, _, mode] => {
                return Err(format!("{mode:?} is neither ro nor rw"));
            }
            _ => return Err("a volume is SRC:DST or SRC:DST:ro".into()),
        };
        let typed = Path::new(destination);
        let destination = plain(typed);
        if !typed.is_absolute() || destination.file_name().is_none() {
            return Err(format!(
                "{typed:?} is not an absolute path below / in the container"
            ));
        }
        let found = fs::canonicalize(source)
            .map_err(|error| {
                Failure::of(format!("realpath({source:?})"), error)
            })
            .because(
                Errno::ENOENT,
                "there is no such file or directory on the host",
            );
        Ok(Volume {
            source: found.map_err(|failure| failure.to_string())?,
            destination,
            read_only,
        })
    }

    /// # Errors
    /// When two of them are to lie at the same place.
    pub fn must_not_meet(volumes: &[Volume]) -> Result<()> {
        for (number, volume) in volumes.iter().enumerate() {
            let place = &volume.destination;
            if volumes[..number].iter().any(|v| v.destination == *place) {
                bail!("--volume: two volumes at {place:?}; leave one out");
            }
        }
        Ok(())
    }

    /// The outer ones first: what comes later covers what lies below it.
    pub fn mount_all(
        volumes: &[Volume],
        container: &mut Inside,
        root: &NewRoot,
    ) -> Result<()> {
        let mut volumes: Vec<_> = volumes.iter().collect();
        volumes.sort_by_key(|v| v.destination.components().count());
        let mut mounted = vec![];
        for volume in volumes {
            volume.mount(container, root)?;
            mounted.push((volume, volume.shown(root)?));
        }
        for (volume, number) in mounted {
            if volume.shown(root)? != number {
                bail!(
                    "--volume: another volume covers {:?}, because a symbolic \
                     link in the root directory gives their place two names: \
                     for both, use the name that the link points to",
                    volume.destination
                );
            }
        }
        Ok(())
    }

    /// The number of the mount that is seen at its place, if there is one.
    fn shown(&self, root: &NewRoot) -> Result<Option<String>> {
        match root.existing(&self.destination) {
            Err(Failure::Call {
                errno: Errno::ENOENT | Errno::ENOTDIR,
                ..
            }) => Ok(None),
            place => Ok(Some(mount::id(&place?)?)),
        }
    }

    /// Shows it below the new root, with everything that is mounted in it.
    fn mount(&self, container: &mut Inside, root: &NewRoot) -> Result<()> {
        let place = root.place(&self.destination, self.source.is_dir())?;
        Mount::bind(&self.source, MsFlags::MS_REC)
            .make(container, place, "--volume")
            .because(
                Errno::ENOTDIR,
                "a file can only cover a file, and a directory a directory",
            )?;
        if self.read_only {
            let place = root.existing(&self.destination)?;
            mount::make_read_only(container, &place, &self.destination)?;
            container.read_only = true;
        }
        Ok(())
    }
}

/// As docker reads it: without `.` and `..`, so that two names of one place
/// are the same, and the deeper of two places has more parts.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(plain.pop()),
            component => plain.push(component),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_volume_that_is_taken_has_a_source_and_a_place_below_the_root(
            text in prop_oneof![
                any::<Vec<u8>>(),
                "(/|/etc|/tmp|\\.|)(:[/.a-z\n]{0,8}){0,3}(:ro|:rw)?".prop_map(String::into_bytes),
            ]
        ) {
            if let Ok(volume) = Volume::parse(OsString::from_vec(text)) {
                prop_assert!(volume.source.is_absolute() && volume.source.exists());
                prop_assert!(volume.destination.is_absolute());
                prop_assert!(volume.destination.file_name().is_some());
            }
        }

        #[test]
        fn every_place_is_read_as_it_is(
            name in proptest::collection::vec(any::<u8>(), 1..64),
            mode in prop_oneof![Just(""), Just(":ro"), Just(":rw")],
        ) {
            let is_name = |byte: &u8| !b":/\0".contains(byte);
            let name: Vec<_> = name.into_iter().filter(is_name).collect();
            prop_assume!(!name.is_empty() && name != b"." && name != b"..");
            let text = [b"/:/", &name[..], mode.as_bytes()].concat();
            let volume = Volume::parse(OsString::from_vec(text)).unwrap();
            prop_assert_eq!(volume.source, Path::new("/"));
            prop_assert_eq!(volume.destination, Path::new("/").join(OsStr::from_bytes(&name)));
            prop_assert_eq!(volume.read_only, mode == ":ro");
        }
    }
}
