//! Which devices a container may open. v1 has a controller for it
//! (Documentation/admin-guide/cgroup-v1/devices.rst), v2 asks a program (bpf(2)).
//! Both are for the machine's own root.

mod filter;

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::unistd::{AccessFlags, access};
use runtime::process::{attach_device_filter, load_device_filter};
use runtime::{Failure, Host, Inside, Narrator};
use user_namespace::powers;

use crate::tree::{self, Directory, Trees, put};

/// What every program may expect, and terminals.
const USUAL: [(&str, &str); 8] = [
    ("c 1:3", ALL),
    ("c 1:5", ALL),
    ("c 1:7", ALL),
    ("c 1:8", ALL),
    ("c 1:9", ALL),
    ("c 5:0", ALL),
    ("c 5:2", ALL),
    ("c 136:*", ALL),
];
/// Read, write, make nodes.
const ALL: &str = "rwm";
/// To make a node gives nobody the device.
const NODES: [&str; 2] = ["c *:* m", "b *:* m"];

/// All but the usual devices and some more are refused.
#[derive(Debug)]
pub enum DeviceRules {
    /// A cgroup of v1 with such rules.
    V1(Directory),
    /// The program for a cgroup of v2.
    V2(Vec<u64>),
}

impl DeviceRules {
    /// Allows these, as `c 10:229` and `rw`. `None` where we may make no rules.
    ///
    /// # Errors
    /// As mkdir(2) and write(2).
    pub fn make(
        runtime: &Narrator,
        allowed: &[(String, &str)],
    ) -> Result<Option<DeviceRules>> {
        let trees = Trees::read()?;
        let Some((_, parent)) = trees.place(Some("devices")) else {
            let may = powers::may_administer() && powers::is_the_first();
            let may = may && trees.place(None).is_some();
            return Ok(may.then(|| DeviceRules::V2(program(allowed))));
        };
        let writable = |it: &Path| access(it, AccessFlags::W_OK).is_ok();
        if !writable(&parent) || !writable(&parent.join("devices.deny")) {
            return Ok(None);
        }
        let directory = Directory::make(runtime, "DEVICES", &parent)?;
        for (file, rule) in lines(allowed) {
            let why = "which devices may be opened";
            tree::write(runtime, &directory.file(file), &rule, why)?;
        }
        Ok(Some(DeviceRules::V1(directory)))
    }

    /// Of v1: puts ourselves there.
    ///
    /// # Errors
    /// As write(2).
    pub fn enter(&self, container: &Inside) -> Result<(), Failure> {
        let DeviceRules::V1(directory) = self else { return Ok(()) };
        let why = "the rules for devices are ours";
        tree::enter(container, directory.path(), why)
    }

    /// Of v2: the container's cgroup gets the program, above the part that root
    /// inside divides.
    ///
    /// # Errors
    /// As bpf(2), and where the container has no cgroup of its own.
    pub fn attach(&self, container: &Host) -> Result<()> {
        let DeviceRules::V2(program) = self else { return Ok(()) };
        let Some(cgroup) = tree::of_container(container.pid)? else {
            bail!("the container has no cgroup of its own, which could ask");
        };
        let directory = File::open(&cgroup)
            .map_err(|error| Failure::of(format!("open({cgroup:?})"), error))?;
        let program = container.call(
            format!("bpf(BPF_PROG_LOAD, {} instructions)", program.len()),
            "which devices may be opened",
            "",
            || load_device_filter(program),
        )?;
        container.call(
            format!("bpf(BPF_PROG_ATTACH, {cgroup:?}, BPF_CGROUP_DEVICE)"),
            "asked before each open(2) of a device",
            "",
            || attach_device_filter(directory.as_fd(), program.as_fd()),
        )?;
        Ok(())
    }
}

/// From here on, processes in this cgroup can open these devices and the usual
/// ones. Of v1, it is one of the devices controller, and empty.
///
/// # Errors
/// As open(2), write(2) and bpf(2).
pub fn allow_alone(cgroup: &Path, allowed: &[(String, &str)]) -> Result<()> {
    if cgroup.join("devices.deny").exists() {
        return lines(allowed).iter().try_for_each(|(file, rule)| {
            let file = cgroup.join(file);
            put(&file, rule)
                .with_context(|| format!("write({file:?}, {rule:?})"))
        });
    }
    let directory =
        File::open(cgroup).with_context(|| format!("open({cgroup:?})"))?;
    let program =
        load_device_filter(&program(allowed)).context("bpf(BPF_PROG_LOAD)")?;
    attach_device_filter(directory.as_fd(), program.as_fd())
        .with_context(|| format!("bpf(BPF_PROG_ATTACH, {cgroup:?})"))
}

/// The rules of v1, each with its file. The last one about a device decides:
/// what is asked for may be one of the usual ones, and less of it.
fn lines(allowed: &[(String, &str)]) -> Vec<(&'static str, String)> {
    let mut lines = vec![("devices.deny", "a".to_owned())];
    lines.extend(NODES.map(|rule| ("devices.allow", rule.to_owned())));
    for (device, access) in USUAL {
        lines.push(("devices.allow", format!("{device} {access}")));
    }
    for (device, access) in allowed {
        lines.push(("devices.deny", format!("{device} {ALL}")));
        lines.push(("devices.allow", format!("{device} {access}")));
    }
    lines
}

/// What is asked for goes before what is usual: it may be less of the same.
fn program(allowed: &[(String, &str)]) -> Vec<u64> {
    let allowed = allowed.iter().map(|(device, access)| (&**device, *access));
    let rules: Vec<_> = allowed.chain(USUAL).collect();
    filter::program(&rules)
}
