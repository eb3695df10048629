//! Which devices a container may open: the devices controller of v1
//! (Documentation/admin-guide/cgroup-v1/devices.rst). Only root has it.

use std::path::Path;

use anyhow::Result;
use nix::unistd::{AccessFlags, access};
use runtime::{Failure, Inside, Narrator, shell};

use crate::tree::{self, Directory, Trees, put};

/// What every program may expect, and terminals; to make a node gives nobody
/// the device.
const USUAL: [&str; 10] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
];

/// A cgroup with rules for devices.
#[derive(Debug)]
pub struct DeviceRules(Directory);

impl DeviceRules {
    /// All but the usual devices and these are refused: `c 10:229` and `rw`.
    /// `None` where the controller is not ours.
    ///
    /// # Errors
    /// As mkdir(2) and write(2).
    pub fn make(
        runtime: &Narrator,
        allowed: &[(String, &str)],
    ) -> Result<Option<DeviceRules>> {
        let place = Trees::read()?.place(Some("devices"));
        let ours = |it: &Path| {
            access(it, AccessFlags::W_OK).is_ok()
                && access(&it.join("devices.deny"), AccessFlags::W_OK).is_ok()
        };
        let Some((_, parent)) = place.filter(|(_, own)| ours(own)) else {
            return Ok(None);
        };
        let directory = Directory::make(runtime, "DEVICES", &parent)?;
        let rules = DeviceRules(directory);
        rules.write(runtime, "devices.deny", "a")?;
        for rule in USUAL {
            rules.write(runtime, "devices.allow", rule)?;
        }
        for (device, access) in allowed {
            // It may be one of the usual ones, and less is asked for.
            rules.write(runtime, "devices.deny", &format!("{device} rwm"))?;
            let rule = format!("{device} {access}");
            rules.write(runtime, "devices.allow", &rule)?;
        }
        Ok(Some(rules))
    }

    fn write(&self, runtime: &Narrator, file: &str, rule: &str) -> Result<()> {
        let file = self.0.file(file);
        let why = "which devices may be opened";
        Ok(tree::write(runtime, &file, rule, why)?)
    }

    /// Puts ourselves there.
    ///
    /// # Errors
    /// As write(2).
    pub fn enter(&self, container: &Inside) -> Result<(), Failure> {
        let tasks = self.0.file("tasks");
        container.call(
            format!("write({tasks:?}, \"0\")"),
            "the rules for devices are ours",
            format!("echo 0 > {}", shell([&tasks])),
            || put(&tasks, "0"),
        )
    }
}
