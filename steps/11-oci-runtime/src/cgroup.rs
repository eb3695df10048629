//! The container's cgroup: it outlives us, and has the name that an engine
//! wants it to have.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cgroups::allow_alone;
use cgroups::tree::{Trees, put, remove_tree};
use nix::unistd::geteuid;
use oci_spec::runtime::{LinuxResources, LinuxThrottleDevice, Spec};
use runtime::{Feature, Inside, shell};
use serde::{Deserialize, Serialize};
use user_namespace::powers::is_the_first;

/// A directory of each hierarchy, by its first controller; of v2, by "".
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Cgroup {
    places: BTreeMap<String, PathBuf>,
    is_v2: bool,
}

/// What every container may open, whatever its rules are: to make a node of any
/// kind, the usual devices, and terminals.
const USUAL: [&str; 11] = [
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
    "c 10:200 rwm",
];

impl Cgroup {
    /// Where it will be. An absolute path begins at the top of each hierarchy,
    /// another one where we are ourselves.
    ///
    /// # Errors
    /// When somebody is there.
    pub fn plan(spec: &Spec, id: &str) -> Result<Cgroup> {
        let trees = Trees::read()?;
        let linux = spec.linux().as_ref();
        let asked = linux.and_then(|it| it.cgroups_path().as_deref());
        let path = asked.unwrap_or(Path::new(id));
        let climbs = path.components().any(|it| it == Component::ParentDir);
        let bytes = path.as_os_str().as_encoded_bytes();
        let is_path = bytes.len() < 4096 && !bytes.contains(&0);
        ensure!(
            is_path && !climbs,
            "linux.cgroupsPath {path:?}: a path without `..`"
        );
        let is_v2 = trees.controllers().all(str::is_empty);
        let mut places = BTreeMap::new();
        for controllers in trees.controllers() {
            let first = controllers.split(',').next().unwrap_or_default();
            let Some((top, own)) = trees.place(named(first)) else { continue };
            let place = match path.strip_prefix("/") {
                Ok(below) => top.join(below),
                // In v2, we are in it: no cgroup below could have controllers.
                Err(_) if is_v2 && own != top => {
                    own.parent().unwrap_or(&own).join(path)
                }
                Err(_) => own.join(path),
            };
            if has_processes(&place) {
                bail!("cgroup {place:?}: others are in it already");
            }
            places.insert(first.to_owned(), place);
        }
        Ok(Cgroup { places, is_v2 })
    }

    /// Makes it, with its limits.
    ///
    /// # Errors
    /// As mkdir(2) and write(2). Whoever may not, and asked for nothing, has none.
    pub fn make(&mut self, spec: &Spec) -> Result<()> {
        let trees = Trees::read()?;
        for (controller, place) in std::mem::take(&mut self.places) {
            let Some((top, _)) = trees.place(named(&controller)) else {
                continue;
            };
            match self.add(&controller, &top, &place) {
                Err(error) if may_do_without() && is_refusal(&error) => {}
                added => added?,
            }
        }
        let linux = spec.linux().as_ref();
        let resources = linux.and_then(|it| it.resources().as_ref());
        self.update(resources.unwrap_or(&LinuxResources::default()), true)
    }

    fn add(
        &mut self,
        controller: &str,
        top: &Path,
        place: &Path,
    ) -> Result<()> {
        let mkdir = || format!("mkdir({place:?})");
        let below = place.strip_prefix(top).with_context(mkdir)?;
        let mut at = top.to_owned();
        for name in below.components() {
            if self.is_v2 {
                enable(&at);
            }
            let above = at.clone();
            at.push(name);
            match fs::create_dir(&at) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => made.with_context(mkdir)?,
            }
            if controller == "cpuset" {
                // A new one has none, and nobody can be put there.
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    let has = |it: &Path| {
                        fs::read_to_string(it.join(file)).unwrap_or_default()
                    };
                    if has(&at).trim().is_empty() {
                        let _ = put(&at.join(file), has(&above).trim());
                    }
                }
            }
        }
        self.places.insert(controller.to_owned(), place.to_owned());
        Ok(())
    }

    fn place(&self, controller: &str) -> Option<&Path> {
        let key = if self.is_v2 { "" } else { controller };
        self.places.get(key).map(PathBuf::as_path)
    }

    /// Sets the limits that are asked for. The first time, devices as well.
    ///
    /// # Errors
    /// As write(2); where a limit can't be had.
    pub fn update(
        &self,
        resources: &LinuxResources,
        is_new: bool,
    ) -> Result<()> {
        if let Some(memory) = resources.memory() {
            let both = memory.swap().filter(|it| *it > 0);
            let least = memory.limit().unwrap_or(0);
            let is_room = both.is_none_or(|both| both >= least);
            ensure!(
                is_room,
                "memory.swap: it counts memory, too, so it is not less than memory.limit"
            );
        }
        let files = if self.is_v2 { v2(resources) } else { v1(resources) };
        for (controller, file, value) in files {
            let place = self.place(controller).with_context(|| {
                format!(
                    "{file}: no {controller} cgroup of this container is ours"
                )
            })?;
            let file = place.join(file);
            put(&file, &value)
                .with_context(|| format!("write({file:?}, {value:?})"))?;
        }
        match (is_new, self.place("")) {
            (false, _) => Ok(()),
            (true, Some(place)) if self.is_v2 => {
                devices_of_v2(place, resources)
            }
            (true, _) => self.devices(resources),
        }
    }

    /// The rules in their order, and then what every container has.
    fn devices(&self, resources: &LinuxResources) -> Result<()> {
        let rules = resources.devices().as_deref().unwrap_or_default();
        let Some(place) = self.place("devices").filter(|_| !rules.is_empty())
        else {
            return Ok(());
        };
        let asked = rules.iter().map(|rule| (rule.allow(), rule.to_string()));
        let usual = USUAL.iter().map(|it| (true, (*it).to_owned()));
        for (allow, rule) in asked.chain(usual) {
            let file = if allow { "devices.allow" } else { "devices.deny" };
            // `a` stands for all there is; with numbers the kernel reads no more.
            let rule =
                if rule.starts_with('a') { "a".to_owned() } else { rule };
            let file = place.join(file);
            match put(&file, &rule) {
                // In a playground a rule that gives more than we have is refused.
                Err(_) if may_do_without() => {}
                done => {
                    done.with_context(|| format!("write({file:?}, {rule:?})"))?
                }
            }
        }
        Ok(())
    }

    /// Its processes, and those in cgroups below it.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        let place =
            ["memory", "pids", "devices"].iter().find_map(|it| self.place(it));
        place
            .or_else(|| self.places.values().next().map(PathBuf::as_path))
            .map_or(vec![], processes)
    }

    /// # Errors
    /// As write(2); when it takes too long.
    pub fn freeze(&self, on: bool) -> Result<()> {
        let place = self
            .place("freezer")
            .context("no freezer cgroup of this container is ours")?;
        let (file, value) = match self.is_v2 {
            true => ("cgroup.freeze", if on { "1" } else { "0" }),
            false => ("freezer.state", if on { "FROZEN" } else { "THAWED" }),
        };
        let end = Instant::now() + Duration::from_secs(5);
        let file = place.join(file);
        while self.is_frozen() != on {
            put(&file, value)
                .with_context(|| format!("write({file:?}, {value:?})"))?;
            if Instant::now() > end {
                bail!(
                    "the freezer does not finish: a process waits in the kernel"
                );
            }
            sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    #[must_use]
    pub fn is_frozen(&self) -> bool {
        let Some(place) = self.place("freezer") else { return false };
        let said =
            |file| fs::read_to_string(place.join(file)).unwrap_or_default();
        match self.is_v2 {
            true => said("cgroup.events").contains("frozen 1"),
            false => said("freezer.state").trim() == "FROZEN",
        }
    }

    /// # Errors
    /// As rmdir(2), when its last process does not go.
    pub fn remove(&self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(5);
        for place in self.places.values() {
            loop {
                match remove_tree(place) {
                    Err(error) if error.kind() == ErrorKind::NotFound => break,
                    Err(error)
                        if error.kind() == ErrorKind::ResourceBusy
                            && Instant::now() < end =>
                    {
                        sleep(Duration::from_millis(2))
                    }
                    removed => {
                        break removed
                            .with_context(|| format!("rmdir({place:?})"))?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Feature for Cgroup {
    // Before there is a namespace of ours, and with the host's rights: whoever
    // comes from here is counted, and takes it for the root of the tree.
    fn on_the_way(&self, container: &Inside) -> Result<()> {
        for place in self.places.values() {
            // By `tasks`, a thread that moves itself: that stops nobody.
            let tasks = place.join("tasks");
            let file =
                if tasks.exists() { tasks } else { place.join("cgroup.procs") };
            container.call(
                format!("write({file:?}, \"0\")"),
                "we enter it, and so will all our children",
                format!("echo 0 > {}", shell([&file])),
                || put(&file, "0"),
            )?;
        }
        Ok(())
    }
}

/// What engines ask for: nothing, but these. v2 has one program for it all.
fn devices_of_v2(place: &Path, resources: &LinuxResources) -> Result<()> {
    let mut allowed = None;
    for rule in resources.devices().iter().flatten() {
        let text = rule.to_string();
        let (device, access) = text.rsplit_once(' ').context("a rule")?;
        let is_all = device.starts_with('a');
        match (rule.allow(), &mut allowed) {
            (true, _) if is_all => allowed = None,
            (false, _) if is_all => allowed = Some(Vec::new()),
            (true, Some(some)) => {
                some.push((device.to_owned(), access.to_owned()))
            }
            (true, None) => {}
            (false, _) => bail!(
                "linux.resources.devices: {text}: deny all devices first, and then allow some"
            ),
        }
    }
    let Some(allowed) = allowed else { return Ok(()) };
    let allowed: Vec<_> =
        allowed.iter().map(|(it, access)| (it.clone(), &**access)).collect();
    match allow_alone(place, &allowed) {
        Err(_) if may_do_without() => Ok(()),
        done => done,
    }
}

/// v2 has a tree without controllers in its name.
fn named(controller: &str) -> Option<&str> {
    Some(controller).filter(|it| !it.is_empty())
}

fn has_processes(place: &Path) -> bool {
    fs::read_to_string(place.join("cgroup.procs"))
        .is_ok_and(|it| !it.is_empty())
}

fn processes(place: &Path) -> Vec<i32> {
    let list =
        fs::read_to_string(place.join("cgroup.procs")).unwrap_or_default();
    let mut all: Vec<_> = list.lines().flat_map(str::parse).collect();
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|it| it.is_dir()) {
            all.extend(processes(&entry.path()));
        }
    }
    all
}

/// An ordinary user, and root of a container, own no part of the tree.
fn may_do_without() -> bool {
    !geteuid().is_root() || !is_the_first()
}

fn is_refusal(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|it| it.downcast_ref::<std::io::Error>());
    io.is_some_and(|it| {
        matches!(
            it.kind(),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
        )
    })
}

/// Controllers for the cgroups below; those that are not there are no loss yet.
/// Not where processes are, unless it is the root: those of cpu and pids would
/// make it threaded, and nobody could enter what is below.
fn enable(at: &Path) {
    if at.join("cgroup.type").exists() && has_processes(at) {
        return;
    }
    let list =
        fs::read_to_string(at.join("cgroup.controllers")).unwrap_or_default();
    for controller in list.split_whitespace() {
        let _ =
            put(&at.join("cgroup.subtree_control"), &format!("+{controller}"));
    }
}

type Files = Vec<(&'static str, String, String)>;

/// Adds a file, where there is a value for it.
fn set(
    files: &mut Files,
    controller: &'static str,
    file: &str,
    value: Option<impl ToString>,
) {
    files.extend(value.map(|it| (controller, file.to_owned(), it.to_string())));
}

fn throttles<'a>(
    files: &mut Files,
    controller: &'static str,
    file: &str,
    prefix: &str,
    all: impl IntoIterator<Item = &'a LinuxThrottleDevice>,
) {
    for it in all {
        let value =
            format!("{}:{} {prefix}{}", it.major(), it.minor(), it.rate());
        set(files, controller, file, Some(value));
    }
}

fn v1(resources: &LinuxResources) -> Files {
    let mut files = vec![];
    if let Some(memory) = resources.memory() {
        let swap = memory.swap().filter(|it| *it != 0);
        let limit = memory.limit().filter(|it| *it != 0);
        // No limit is above that of both together: to lift both, that first.
        if limit == Some(-1) || swap == Some(-1) {
            set(&mut files, "memory", "memory.memsw.limit_in_bytes", swap);
        }
        set(&mut files, "memory", "memory.limit_in_bytes", limit);
        if limit != Some(-1) && swap != Some(-1) {
            set(&mut files, "memory", "memory.memsw.limit_in_bytes", swap);
        }
        set(
            &mut files,
            "memory",
            "memory.soft_limit_in_bytes",
            memory.reservation().filter(|it| *it != 0),
        );
        set(&mut files, "memory", "memory.swappiness", memory.swappiness());
        set(
            &mut files,
            "memory",
            "memory.oom_control",
            memory.disable_oom_killer().filter(|it| *it).map(u8::from),
        );
    }
    if let Some(cpu) = resources.cpu() {
        set(
            &mut files,
            "cpu",
            "cpu.shares",
            cpu.shares().filter(|it| *it != 0),
        );
        set(
            &mut files,
            "cpu",
            "cpu.cfs_period_us",
            cpu.period().filter(|it| *it != 0),
        );
        set(
            &mut files,
            "cpu",
            "cpu.cfs_quota_us",
            cpu.quota().filter(|it| *it != 0),
        );
        set(&mut files, "cpu", "cpu.cfs_burst_us", cpu.burst());
        set(
            &mut files,
            "cpu",
            "cpu.rt_period_us",
            cpu.realtime_period().filter(|it| *it != 0),
        );
        set(
            &mut files,
            "cpu",
            "cpu.rt_runtime_us",
            cpu.realtime_runtime().filter(|it| *it != 0),
        );
        set(&mut files, "cpu", "cpu.idle", cpu.idle());
        set(
            &mut files,
            "cpuset",
            "cpuset.cpus",
            cpu.cpus().as_ref().filter(|it| !it.is_empty()),
        );
        set(
            &mut files,
            "cpuset",
            "cpuset.mems",
            cpu.mems().as_ref().filter(|it| !it.is_empty()),
        );
    }
    set(&mut files, "pids", "pids.max", pids(resources));
    if let Some(io) = resources.block_io() {
        set(
            &mut files,
            "blkio",
            "blkio.weight",
            io.weight().filter(|it| *it != 0),
        );
        let list = |of: &Option<Vec<LinuxThrottleDevice>>| {
            of.clone().unwrap_or_default()
        };
        throttles(
            &mut files,
            "blkio",
            "blkio.throttle.read_bps_device",
            "",
            &list(io.throttle_read_bps_device()),
        );
        throttles(
            &mut files,
            "blkio",
            "blkio.throttle.write_bps_device",
            "",
            &list(io.throttle_write_bps_device()),
        );
        throttles(
            &mut files,
            "blkio",
            "blkio.throttle.read_iops_device",
            "",
            &list(io.throttle_read_iops_device()),
        );
        throttles(
            &mut files,
            "blkio",
            "blkio.throttle.write_iops_device",
            "",
            &list(io.throttle_write_iops_device()),
        );
    }
    for huge in resources.hugepage_limits().iter().flatten() {
        let file = format!("hugetlb.{}.limit_in_bytes", huge.page_size());
        set(&mut files, "hugetlb", &file, Some(huge.limit()));
    }
    let network = resources.network().as_ref();
    set(
        &mut files,
        "net_cls",
        "net_cls.classid",
        network.and_then(|it| it.class_id()).filter(|it| *it != 0),
    );
    for it in
        network.and_then(|it| it.priorities().as_ref()).into_iter().flatten()
    {
        set(
            &mut files,
            "net_prio",
            "net_prio.ifpriomap",
            Some(format!("{} {}", it.name(), it.priority())),
        );
    }
    files
}

/// The names and units of v2 (the kernel's cgroup-v2.rst).
fn v2(resources: &LinuxResources) -> Files {
    let mut files = vec![];
    let max =
        |it: i64| if it == -1 { "max".to_owned() } else { it.to_string() };
    if let Some(memory) = resources.memory() {
        let limit = memory.limit().filter(|it| *it != 0);
        set(&mut files, "memory", "memory.max", limit.map(max));
        // There, swap is counted for itself.
        let swap =
            memory.swap().filter(|it| *it != 0).map(|both| match limit {
                Some(limit) if both > 0 && limit > 0 => both - limit,
                _ => both,
            });
        set(&mut files, "memory", "memory.swap.max", swap.map(max));
        set(
            &mut files,
            "memory",
            "memory.low",
            memory.reservation().filter(|it| *it != 0).map(max),
        );
    }
    if let Some(cpu) = resources.cpu() {
        // 2 to 262144 become 1 to 10000.
        let weight = cpu
            .shares()
            .filter(|it| *it != 0)
            .map(|it| 1 + (it.clamp(2, 262_144) - 2) * 9999 / 262_142);
        set(&mut files, "cpu", "cpu.weight", weight);
        let period = cpu.period().filter(|it| *it != 0);
        let quota = cpu.quota().filter(|it| *it != 0);
        if quota.is_some() || period.is_some() {
            let quota = quota.map_or("max".into(), max);
            set(
                &mut files,
                "cpu",
                "cpu.max",
                Some(format!("{quota} {}", period.unwrap_or(100_000))),
            );
        }
        set(&mut files, "cpu", "cpu.max.burst", cpu.burst());
        set(&mut files, "cpu", "cpu.idle", cpu.idle());
        set(
            &mut files,
            "cpuset",
            "cpuset.cpus",
            cpu.cpus().as_ref().filter(|it| !it.is_empty()),
        );
        set(
            &mut files,
            "cpuset",
            "cpuset.mems",
            cpu.mems().as_ref().filter(|it| !it.is_empty()),
        );
    }
    set(&mut files, "pids", "pids.max", pids(resources));
    if let Some(io) = resources.block_io() {
        let list = |of: &Option<Vec<LinuxThrottleDevice>>| {
            of.clone().unwrap_or_default()
        };
        throttles(
            &mut files,
            "io",
            "io.max",
            "rbps=",
            &list(io.throttle_read_bps_device()),
        );
        throttles(
            &mut files,
            "io",
            "io.max",
            "wbps=",
            &list(io.throttle_write_bps_device()),
        );
        throttles(
            &mut files,
            "io",
            "io.max",
            "riops=",
            &list(io.throttle_read_iops_device()),
        );
        throttles(
            &mut files,
            "io",
            "io.max",
            "wiops=",
            &list(io.throttle_write_iops_device()),
        );
        set(
            &mut files,
            "io",
            "io.weight",
            io.weight().filter(|it| *it != 0).map(|it| {
                1 + (u64::from(it).clamp(10, 1000) - 10) * 9999 / 990
            }),
        );
    }
    for huge in resources.hugepage_limits().iter().flatten() {
        set(
            &mut files,
            "hugetlb",
            &format!("hugetlb.{}.max", huge.page_size()),
            Some(huge.limit()),
        );
    }
    for (file, value) in resources.unified().iter().flatten() {
        if !file.contains('/') {
            set(&mut files, "", file, Some(value));
        }
    }
    files
}

fn pids(resources: &LinuxResources) -> Option<String> {
    let limit =
        resources.pids().as_ref().map(|it| it.limit()).filter(|it| *it != 0)?;
    Some(if limit < 0 { "max".into() } else { limit.to_string() })
}
