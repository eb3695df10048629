//! cgroup v1: a tree for each controller
//! (the kernel's Documentation/admin-guide/cgroup-v1).
//!
//! The same limits under other names. What v2 gained: one place for a process
//! instead of one in each tree, so that memory and writing to disk are counted
//! together; `memory.oom.group`, `cgroup.kill`; and delegation that is safe.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mount_namespace::Mount;
use nix::mount::MsFlags;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::{Gid, Uid};
use runtime::{Failure, Inside, Narrator, Side};

use crate::handed_over::HandedOver;
use crate::limits::{Limits, PERIOD};
use crate::place::{self, PLACE};
use crate::tree::{self, Directory, Trees, write};

/// The container's cgroups.
#[derive(Debug)]
pub struct Cgroup {
    directories: Vec<Directory>,
    /// Where we go: in each of them, or in a part of it that is root's inside.
    places: Vec<PathBuf>,
    /// What is shown inside, and may be written there.
    handed_over: Vec<String>,
    /// With a limit only: that of a cgroup above us is told here, too.
    out_of_memory: Option<EventFd>,
}

impl Cgroup {
    /// Makes them, with their limits.
    pub fn make(
        runtime: &Narrator,
        trees: &Trees,
        limits: &Limits,
        handed_over: HandedOver,
    ) -> Result<Cgroup> {
        if let Some(owner) = handed_over {
            return Cgroup::hand_over(runtime, trees, limits, owner);
        }
        let make = |controller: &str, short| {
            let place = trees.place(Some(controller));
            let (_, parent) = place.with_context(|| {
                format!("no {controller} cgroup: {}", tree::NO_TREE)
            })?;
            Directory::make(runtime, short, &parent)
        };
        let memory = make("memory", "MEM")?;
        limit_memory(runtime, &memory, limits)?;
        let out_of_memory = limits.memory().map(|_| watch(&memory));
        let out_of_memory = out_of_memory
            .transpose()
            .context("write(\"cgroup.event_control\"), for an event when memory runs out")?;
        let cpu = make("cpu", "CPU")?;
        limit_processor(runtime, &cpu, limits)?;
        let pids = make("pids", "PIDS")?;
        limit_pids(runtime, &pids, limits)?;
        let directories = vec![memory, cpu, pids];
        let places =
            directories.iter().map(|it| it.path().to_owned()).collect();
        Ok(Cgroup { directories, places, handed_over: vec![], out_of_memory })
    }

    /// The same for a whole machine: with a part that its init may divide, in
    /// the hierarchy without controllers too, by which it knows its services.
    /// When memory runs out, one program is killed, as everywhere.
    fn hand_over(
        runtime: &Narrator,
        trees: &Trees,
        limits: &Limits,
        owner: Option<(Uid, Gid)>,
    ) -> Result<Cgroup> {
        type Limit = fn(&Narrator, &Directory, &Limits) -> Result<(), Failure>;
        let all: [(&str, &str, bool, Limit); 3] = [
            ("memory", "MEM", limits.memory().is_some(), limit_memory),
            ("cpu", "CPU", limits.quota().is_some(), limit_processor),
            ("pids", "PIDS", limits.pids().is_some(), limit_pids),
        ];
        let mut cgroup = Cgroup {
            directories: vec![],
            places: vec![],
            handed_over: vec![],
            out_of_memory: None,
        };
        let named = |name: &&str| trees.place(Some(*name)).is_some();
        let services = match trees.place(None) {
            Some(place) => Some(("", place)),
            None => Some("name=systemd")
                .filter(named)
                .and_then(|it| Some((it, trees.place(Some(it))?))),
        };
        let (name, (_, parent)) = services.with_context(|| {
            format!("no cgroups for an init: {}", tree::NO_TREE)
        })?;
        for (controller, short, is_asked, limit) in all {
            let made = trees
                .place(Some(controller))
                .with_context(|| {
                    format!("no {controller} cgroup: {}", tree::NO_TREE)
                })
                .and_then(|(_, parent)| {
                    let directory = Directory::make(runtime, short, &parent)?;
                    cgroup.add(runtime, directory, controller, owner)
                });
            match made {
                Err(error) if is_asked || Failure::is_interruption(&error) => {
                    return Err(error);
                }
                Err(error) => runtime.note(
                    Side::Host,
                    format!("without {controller} cgroups: {error:#}"),
                ),
                Ok(()) => {
                    let made = cgroup.directories.last();
                    made.map_or(Ok(()), |it| limit(runtime, it, limits))?;
                }
            }
        }
        let directory = Directory::make(runtime, "CGROUP", &parent)?;
        runtime.of_newest(|| cgroup.add(runtime, directory, name, owner))?;
        Ok(cgroup)
    }

    fn add(
        &mut self,
        runtime: &Narrator,
        directory: Directory,
        controller: &str,
        owner: Option<(Uid, Gid)>,
    ) -> Result<()> {
        self.places.push(directory.hand_over(runtime, owner)?);
        self.directories.push(directory);
        self.handed_over.push(controller.to_owned());
        Ok(())
    }

    /// What to show of it inside.
    pub fn handed_over(&self) -> &[String] {
        &self.handed_over
    }

    /// Puts ourselves there.
    pub fn enter(&self, container: &Inside) -> Result<()> {
        let why = "we enter it, and so will all our children";
        let enter = |place: &PathBuf| tree::enter(container, place, why);
        let Some((first, others)) = self.places.split_first() else {
            return Ok(());
        };
        enter(first)?;
        container.routine(|| others.iter().try_for_each(enter))?;
        Ok(())
    }

    /// Readable when the memory ran out. The kernel kills one process then; a
    /// whole container ends only if somebody ends it.
    pub fn out_of_memory(&self) -> Option<BorrowedFd<'_>> {
        self.out_of_memory.as_ref().map(AsFd::as_fd)
    }

    /// Whether the memory ran out. Not by the count of kills: our own may have
    /// come before the kernel's.
    pub fn was_out_of_memory(&self) -> bool {
        let times = self.out_of_memory.as_ref().map(EventFd::read);
        matches!(times, Some(Ok(1..)))
    }
}

fn limit_memory(
    runtime: &Narrator,
    directory: &Directory,
    limits: &Limits,
) -> Result<(), Failure> {
    let Some(bytes) = limits.memory() else {
        return Ok(());
    };
    let set = |file, why| {
        write(runtime, &directory.file(file), &bytes.to_string(), why)
    };
    set("memory.limit_in_bytes", "above it: the OOM killer")?;
    // Only where the kernel accounts swap. Its limit is that of both together.
    if !directory.file("memory.memsw.limit_in_bytes").exists() {
        return Ok(());
    }
    let why = "or else the rest goes to the disk";
    runtime.routine(|| set("memory.memsw.limit_in_bytes", why))
}

fn limit_processor(
    runtime: &Narrator,
    directory: &Directory,
    limits: &Limits,
) -> Result<(), Failure> {
    let Some(quota) = limits.quota() else {
        return Ok(());
    };
    let set = |file, value: u64, why| {
        write(runtime, &directory.file(file), &value.to_string(), why)
    };
    let why = "a period, in microseconds";
    runtime.routine(|| set("cpu.cfs_period_us", PERIOD, why))?;
    set("cpu.cfs_quota_us", quota, "microseconds in each period")
}

fn limit_pids(
    runtime: &Narrator,
    directory: &Directory,
    limits: &Limits,
) -> Result<(), Failure> {
    let Some(count) = limits.pids() else {
        return Ok(());
    };
    write(
        runtime,
        &directory.file("pids.max"),
        &count.to_string(),
        "then fork(2) fails with EAGAIN",
    )
}

/// An eventfd, and the file that it is about, go into cgroup.event_control
/// (Documentation/admin-guide/cgroup-v1/memory.rst, 10).
fn watch(memory: &Directory) -> Result<EventFd> {
    let event =
        EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    let about = File::open(memory.file("memory.oom_control"))?;
    let numbers =
        format!("{} {}", event.as_fd().as_raw_fd(), about.as_raw_fd());
    fs::write(memory.file("cgroup.event_control"), numbers)?;
    Ok(event)
}

/// Shows the trees inside: the root of each is now our own cgroup.
pub fn mount(container: &Inside, handed_over: &[String]) -> Result<()> {
    let tmpfs = Mount::new("tmpfs", MsFlags::MS_NOSUID, "mode=755,size=64k");
    tmpfs.after(["mkdir", "-p", PLACE]).make(
        container,
        PLACE,
        "a place for one tree per controller",
    )?;
    let trees = tree::read("/proc/self/cgroup")?;
    let writable = !handed_over.is_empty();
    for controllers in trees.lines().filter_map(|line| line.split(':').nth(1)) {
        let is_shown = |name| match writable {
            true => handed_over.iter().any(|it| it == name),
            false => ["memory", "cpu", "pids"].contains(&name),
        };
        if controllers.split(',').any(is_shown) {
            let (kind, name) = match controllers {
                // By this name systemd finds it, and misses no v1 tree.
                "" => ("cgroup2", "systemd"),
                named => ("cgroup", named.trim_start_matches("name=")),
            };
            let place = Path::new(PLACE).join(name);
            fs::create_dir(&place)
                .with_context(|| format!("mkdir({place:?})"))?;
            let mkdir = [Path::new("mkdir"), &place];
            let flags = place::flags(writable);
            Mount::new(kind, flags, controllers).after(mkdir).make(
                container,
                &place,
                "shows what is counted",
            )?;
        }
    }
    place::close(container, PLACE)
}
