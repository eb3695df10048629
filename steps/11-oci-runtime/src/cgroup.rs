//! The container's cgroup: it outlives us, and has the name that an engine
//! wants it to have.

mod limits;
mod systemd;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cgroups::allow_alone;
use cgroups::tree::{Trees, enter, put, remove_when_empty};
use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use oci_spec::runtime::{Linux, LinuxResources};
use runtime::process::send_to;
use runtime::{Feature, Inside};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use user_namespace::powers::is_the_first;

use systemd::Scope;

/// A directory of each hierarchy, by its controllers; of v2, by "".
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Cgroup {
    places: BTreeMap<String, PathBuf>,
    is_v2: bool,
    /// Whose place systemd decides.
    scope: Option<Scope>,
}

/// What a process may wait for that is still on its way out.
const PATIENCE: Duration = Duration::from_secs(5);

const NO_FLAGS: PidfdFlags = PidfdFlags::empty();

impl Cgroup {
    /// Where it will be. An absolute path begins at the top of each hierarchy,
    /// another one where we are ourselves; or it is for systemd.
    ///
    /// # Errors
    /// When somebody is there.
    pub fn plan(linux: &Linux, id: &str, by_systemd: bool) -> Result<Cgroup> {
        let trees = Trees::read()?;
        let asked = linux.cgroups_path().as_deref();
        let is_v2 = trees.controllers().all(str::is_empty);
        if by_systemd {
            let resources = linux.resources().clone().unwrap_or_default();
            let scope = Some(Scope::plan(asked, id, resources)?);
            ensure!(
                is_v2,
                "--systemd-cgroup: it takes cgroup v2, and here is v1"
            );
            return Ok(Cgroup { places: BTreeMap::new(), is_v2, scope });
        }
        let path = asked.unwrap_or(Path::new(id));
        let climbs = path.components().any(|it| it == Component::ParentDir);
        let bytes = path.as_os_str().as_encoded_bytes();
        let is_path = bytes.len() < 4096 && !bytes.contains(&0);
        ensure!(
            is_path && !climbs,
            "linux.cgroupsPath {path:?}: a path without `..`"
        );
        let mut places = BTreeMap::new();
        for (controllers, top, own) in trees.all() {
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
            places.insert(controllers.to_owned(), place);
        }
        Ok(Cgroup { places, is_v2, scope: None })
    }

    /// Makes it, with its limits.
    ///
    /// # Errors
    /// As mkdir(2) and write(2). Whoever may not, and asked for nothing, has none.
    pub fn make(&mut self, linux: &Linux) -> Result<()> {
        if self.scope.is_some() {
            return Ok(());
        }
        let trees = Trees::read()?;
        let planned = std::mem::take(&mut self.places);
        for (controllers, top, _) in trees.all() {
            let Some(place) = planned.get(controllers) else { continue };
            match make_all(place, &top, controllers) {
                Err(error) if may_do_without() && is_refusal(&error) => {}
                made => {
                    made?;
                    self.places.insert(controllers.to_owned(), place.clone());
                }
            }
        }
        let Some(resources) = linux.resources() else { return Ok(()) };
        self.limit(resources)
    }

    fn limit(&self, resources: &LinuxResources) -> Result<()> {
        self.update(resources)?;
        self.restrict_devices(resources)
    }

    /// Where systemd has made it, around this process.
    ///
    /// # Errors
    /// As read(2).
    pub fn look_up(&mut self, pid: i32) -> Result<()> {
        if self.scope.is_some() {
            let found = Trees::of(pid)?.place(None).context("no cgroup2")?;
            self.places.insert(String::new(), found.1);
        }
        Ok(())
    }

    fn place(&self, controller: &str) -> Option<&Path> {
        let has = |all: &str| all.split(',').any(|it| it == controller);
        let mut places = self.places.iter();
        let found = places.find(|(all, _)| self.is_v2 || has(all));
        found.map(|(_, place)| place.as_path())
    }

    /// Sets the limits that are asked for.
    ///
    /// # Errors
    /// As write(2); where a limit can't be had.
    pub fn update(&self, resources: &LinuxResources) -> Result<()> {
        if let Some(scope) = &self.scope {
            scope.update(resources)?;
        }
        let files = limits::files(resources, self.is_v2)?;
        let mut refused = vec![];
        for (file, value) in &files {
            refused.extend(self.set(file, value).err().map(|_| (file, value)));
        }
        // One limit may not be above another, which has been changed by now.
        refused.into_iter().try_for_each(|(file, value)| self.set(file, value))
    }

    fn set(&self, file: &str, value: &str) -> Result<()> {
        let controller = file.split('.').next().unwrap_or_default();
        let place = self.place(controller);
        let place = place.with_context(|| {
            format!("{file}: no cgroup of this container's has it")
        })?;
        let file = place.join(file);
        put(&file, value).with_context(|| format!("write({file:?}, {value:?})"))
    }

    fn restrict_devices(&self, resources: &LinuxResources) -> Result<()> {
        let Some(place) = self.place("devices") else { return Ok(()) };
        let Some(allowed) = allowed_devices(resources)? else { return Ok(()) };
        let allowed: Vec<_> =
            allowed.iter().map(|(it, how)| (it.clone(), &**how)).collect();
        match allow_alone(place, &allowed) {
            Err(_) if may_do_without() => Ok(()),
            done => done,
        }
    }

    /// Its processes, and those in cgroups below it.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        // They are the same ones in each hierarchy.
        self.places.values().next().map_or(vec![], |place| processes(place))
    }

    /// A signal for all of them. Numbers come back: whoever is in the cgroup after
    /// it was opened is the one that was meant.
    pub fn signal(&self, number: i32) {
        let place = self.places.values().next().filter(|_| self.is_v2);
        let kill = place.map(|place| place.join("cgroup.kill"));
        let is_kill = number == Signal::SIGKILL as i32;
        // Since Linux 5.14. Nobody escapes it by a fork.
        if is_kill && kill.is_some_and(|file| put(&file, "1").is_ok()) {
            return;
        }
        // Not all at once: descriptors have a limit.
        for some in self.processes().chunks(100) {
            let open = |pid| pidfd_open(Pid::from_raw(pid)?, NO_FLAGS).ok();
            let opened: Vec<_> =
                some.iter().map(|&pid| (pid, open(pid))).collect();
            let there = self.processes();
            for (pid, process) in opened {
                if let Some(it) = process.filter(|_| there.contains(&pid)) {
                    let _ = send_to(it.as_fd(), number);
                }
            }
        }
    }

    /// # Errors
    /// As write(2); when it takes too long.
    pub fn freeze(&self, on: bool) -> Result<()> {
        let (file, value) = match (self.is_v2, on) {
            (true, true) => ("cgroup.freeze", "1"),
            (true, false) => ("cgroup.freeze", "0"),
            (false, true) => ("freezer.state", "FROZEN"),
            (false, false) => ("freezer.state", "THAWED"),
        };
        let end = Instant::now() + PATIENCE;
        while self.is_frozen() != on {
            self.set(file, value)?;
            ensure!(
                Instant::now() < end,
                "the freezer does not finish: a process waits in the kernel"
            );
            sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    #[must_use]
    pub fn is_frozen(&self) -> bool {
        let Some(place) = self.place("freezer") else { return false };
        match self.is_v2 {
            true => read(&place.join("cgroup.events")).contains("frozen 1"),
            false => read(&place.join("freezer.state")).trim() == "FROZEN",
        }
    }

    /// # Errors
    /// As rmdir(2), when its last process does not go.
    pub fn remove(&self) -> Result<()> {
        if let (Some(scope), Some(place)) = (&self.scope, self.place("")) {
            scope.stop(place);
        }
        self.places.values().try_for_each(|place| {
            remove_when_empty(place, PATIENCE)
                .with_context(|| format!("rmdir({place:?})"))
        })
    }
}

impl Feature for Cgroup {
    fn cgroup(&self) -> Option<&Path> {
        let own = self.places.get("").filter(|_| self.scope.is_none());
        own.map(PathBuf::as_path)
    }

    // Before there is a namespace of ours, and with the host's rights: whoever
    // comes from here is counted, and takes it for the root of the tree.
    fn on_the_way(&self, container: &Inside) -> Result<()> {
        let why = "we enter it, and so will all our children";
        match &self.scope {
            None => {
                let born = Trees::read()?.place(None).map(|(_, own)| own);
                let places = self.places.values();
                let mut others = places.filter(|it| Some(*it) != born.as_ref());
                Ok(others.try_for_each(|place| enter(container, place, why))?)
            }
            Some(scope) if self.places.is_empty() => {
                let places = [(String::new(), scope.start(container)?)].into();
                let made = Cgroup { places, is_v2: true, scope: None };
                made.limit(&scope.resources)
            }
            Some(scope) => scope.enter(container),
        }
    }
}

/// What engines ask for is nothing, but some: `None` stands for all there are.
fn allowed_devices(
    resources: &LinuxResources,
) -> Result<Option<Vec<(String, String)>>> {
    // Every container may have it, as with runc: it opens no network of the host.
    let tun = || vec![("c 10:200".to_owned(), "rwm".to_owned())];
    let mut allowed = None;
    for rule in resources.devices().iter().flatten() {
        let text = rule.to_string();
        let (device, access) = text.rsplit_once(' ').context("a rule")?;
        match (rule.allow(), &mut allowed) {
            (true, _) if device.starts_with('a') => allowed = None,
            (false, _) if device.starts_with('a') => allowed = Some(tun()),
            (true, Some(some)) => {
                some.push((device.to_owned(), access.to_owned()));
            }
            (true, None) => {}
            (false, Some(some)) => some.retain(|(it, _)| it != device),
            (false, None) => bail!(
                "linux.resources.devices: {text}: deny all devices first, and then allow some"
            ),
        }
    }
    Ok(allowed)
}

/// All directories down to `place`, and in v2 the controllers for them.
fn make_all(place: &Path, top: &Path, controllers: &str) -> Result<()> {
    let mut all: Vec<_> =
        place.ancestors().take_while(|it| *it != top).collect();
    while let Some(at) = all.pop() {
        let above = at.parent().unwrap_or(top);
        if controllers.is_empty() {
            enable(above);
        }
        match fs::create_dir(at) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => made.with_context(|| format!("mkdir({at:?})"))?,
        }
        // A new one has none, and nobody can be put there.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if controllers == "cpuset" && read(&at.join(file)).trim().is_empty()
            {
                let _ = put(&at.join(file), read(&above.join(file)).trim());
            }
        }
    }
    Ok(())
}

/// Controllers for the cgroups below; those that are not there are no loss yet.
/// Not where processes are, unless it is the root: those of cpu and pids would
/// make it threaded, and nobody could enter what is below.
fn enable(at: &Path) {
    if at.join("cgroup.type").exists() && has_processes(at) {
        return;
    }
    for controller in read(&at.join("cgroup.controllers")).split_whitespace() {
        let file = at.join("cgroup.subtree_control");
        let _ = put(&file, &format!("+{controller}"));
    }
}

/// A file of a cgroup; one that is not there says nothing.
fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn has_processes(place: &Path) -> bool {
    !read(&place.join("cgroup.procs")).is_empty()
}

fn processes(place: &Path) -> Vec<i32> {
    let list = read(&place.join("cgroup.procs"));
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
    let kind = error.downcast_ref::<std::io::Error>().map(|it| it.kind());
    matches!(
        kind,
        Some(ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
    )
}
