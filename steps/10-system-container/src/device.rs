//! `--device`: a device of the host, handed through.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, bail};
use cgroups::DeviceRules;
use clap::builder::{OsStringValueParser, TypedValueParser};
use nix::errno::Errno;
use nix::sys::stat::{major, minor};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, Gid, Uid, access};
use runtime::{Because, Failure, Feature, Host, Inside, Narrator};

/// Devices of the host, shown inside.
#[derive(Debug, clap::Args)]
pub struct Devices {
    /// Hand a device of the host through; r, w and m (mknod) are what root allows
    #[arg(long = "device", value_name = "SRC[:DST[:rwm]]",
          value_parser = OsStringValueParser::new().try_map(Device::parse))]
    devices: Vec<Device>,

    #[arg(skip)]
    rules: Option<DeviceRules>,
}

/// Read, write, make nodes.
const ALL: &str = "rwm";

/// One `--device`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Device {
    source: PathBuf,
    destination: PathBuf,
    access: String,
}

impl Device {
    fn parse(text: OsString) -> Result<Device, String> {
        let parts: Vec<_> = text
            .as_bytes()
            .split(|&byte| byte == b':')
            .map(OsStr::from_bytes)
            .collect();
        let is_access = |it: &OsStr| {
            !it.is_empty() && it.as_bytes().iter().all(|b| b"rwm".contains(b))
        };
        let all = OsStr::new(ALL);
        let (source, destination, access) = match parts[..] {
            [source] => (source, source, all),
            [source, access] if is_access(access) => (source, source, access),
            [source, destination] => (source, destination, all),
            [source, destination, access] if is_access(access) => {
                (source, destination, access)
            }
            [_, _, access] => {
                return Err(format!(
                    "{access:?} is no access: r reads, w writes, m makes nodes"
                ));
            }
            _ => return Err("a device is SRC, SRC:DST or SRC:DST:rwm".into()),
        };
        let destination = Path::new(destination);
        let climbs =
            destination.components().any(|it| it == Component::ParentDir);
        if !destination.starts_with("/dev")
            || climbs
            || destination == Path::new("/dev")
        {
            return Err(format!(
                "{destination:?} is not below /dev, where programs look for it"
            ));
        }
        Ok(Device {
            source: there(Path::new(source))?,
            destination: destination.to_owned(),
            access: access.to_string_lossy().into_owned(),
        })
    }

    /// As the devices controller reads it.
    fn rule(&self) -> (String, &str) {
        let (kind, number) = match fs::metadata(&self.source) {
            Ok(it) if it.file_type().is_block_device() => ('b', it.rdev()),
            Ok(it) => ('c', it.rdev()),
            Err(_) => ('c', 0),
        };
        let (major, minor) = (major(number), minor(number));
        (format!("{kind} {major}:{minor}"), &self.access)
    }
}

/// A device, and nothing else.
fn there(source: &Path) -> Result<PathBuf, String> {
    let found = fs::canonicalize(source)
        .map_err(|error| Failure::of(format!("realpath({source:?})"), error))
        .because(
            Errno::ENOENT,
            "this machine has no such device; a module might bring it: \
             modprobe fuse, tun, kvm, loop",
        )
        .map_err(|failure| failure.to_string())?;
    let kind = fs::metadata(&found).map(|it| it.file_type());
    let is_device =
        kind.is_ok_and(|it| it.is_char_device() || it.is_block_device());
    match is_device {
        true => Ok(found),
        false => Err(format!("{source:?} is no device; -v shows files")),
    }
}

impl Feature for Devices {
    // What may be opened at all: whatever nodes come to be inside, by a volume
    // or a filesystem that somebody mounts there, they open nothing else.
    fn before(
        &mut self,
        runtime: &Narrator,
        _: Option<(Uid, Gid)>,
    ) -> Result<()> {
        if self.devices.is_empty() {
            return Ok(());
        }
        let rules: Vec<_> = self.devices.iter().map(Device::rule).collect();
        self.rules = runtime.routine(|| DeviceRules::make(runtime, &rules))?;
        let part = self.devices.iter().find(|it| it.access != ALL);
        match (part, &self.rules) {
            (Some(Device { source, access, .. }), None) => bail!(
                "--device {}: …:{access}: the kernel refuses the rest only by \
                 the rules of a cgroup, and those are made by the machine's \
                 own root: leave :{access} out",
                source.display()
            ),
            _ => Ok(()),
        }
    }

    fn on_host(&mut self, container: &Host) -> Result<()> {
        let Some(rules) = &self.rules else { return Ok(()) };
        let attached = container.routine(|| rules.attach(container));
        let Err(error) = attached else { return Ok(()) };
        let is_all = self.devices.iter().all(|it| it.access == ALL);
        if !is_all || Failure::is_interruption(&error) {
            return Err(error);
        }
        // More was not asked for.
        container.note(format!("no rules for devices: {error:#}"));
        Ok(())
    }

    fn first(&self, container: &Inside) -> Result<()> {
        let Some(rules) = &self.rules else { return Ok(()) };
        Ok(container.routine(|| rules.enter(container))?)
    }

    // No mknod(2) in a user namespace, whatever capability root has there: the
    // node of the host is shown, with the host's permissions.
    fn inside(&self, container: &mut Inside) -> Result<()> {
        for (number, device) in self.devices.iter().enumerate() {
            let Device { source, destination, .. } = device;
            let same = |it: &Device| it.destination == *destination;
            if self.devices[..number].iter().any(same) {
                bail!(
                    "--device: two devices at {destination:?}; leave one out"
                );
            }
            container.files.push((source.clone(), destination.clone()));
            let both = AccessFlags::R_OK | AccessFlags::W_OK;
            if access(source, both).is_err() {
                container.note(refusal(source));
            }
            if has_no_devices(source) {
                container.note(format!(
                    "{}: it lies on a mount without devices (nodev), where \
                     nobody can open it: name the one in /dev",
                    source.display()
                ));
            }
            if is_block(source) {
                container.note(format!(
                    "{}: only the machine's own root mounts it: the kernel \
                     trusts no filesystem that a user may have written",
                    source.display()
                ));
            }
        }
        Ok(())
    }
}

/// Groups do not come along: what the host opens to a group is closed inside.
fn refusal(source: &Path) -> String {
    let mode = fs::metadata(source).map_or(0, |it| it.mode() & 0o777);
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let root = map.split_whitespace().nth(1).unwrap_or("UID");
    let source = source.display();
    format!(
        "{source}: its mode is {mode:o}, root inside is not its owner, and \
         no group of the host comes along; this opens it: \
         `sudo setfacl -m u:{root}:rw {source}`"
    )
}

/// A bind mount of it is as the mount that it lies on.
fn has_no_devices(source: &Path) -> bool {
    statvfs(source).is_ok_and(|it| it.flags().contains(FsFlags::ST_NODEV))
}

fn is_block(source: &Path) -> bool {
    fs::metadata(source).is_ok_and(|it| it.file_type().is_block_device())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_a_place_and_an_access_as_with_docker() {
        let parse = |text: &str| {
            Device::parse(text.into())
                .map(|it| (it.destination.display().to_string(), it.access))
        };
        let is = |place: &str, access: &str| Ok((place.into(), access.into()));
        assert_eq!(parse("/dev/null"), is("/dev/null", "rwm"));
        assert_eq!(parse("/dev/null:r"), is("/dev/null", "r"));
        assert_eq!(parse("/dev/null:/dev/a/b"), is("/dev/a/b", "rwm"));
        assert_eq!(parse("/dev/null:/dev/a:rw"), is("/dev/a", "rw"));
        for bad in [
            "",
            "/dev/nothing",
            "/etc/passwd",
            "/dev",
            "/dev/null:/etc/a",
            "/dev/null:/dev",
            "/dev/null:/dev/../a",
            "/dev/null:/dev/a:x",
            "/dev/null:/dev/a:",
            "/dev/null:/dev/a:r:w",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
