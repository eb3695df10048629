//! The machines of the lab: which there are, what is judged in each, and how it
//! gets there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use testbed::needs::SHORT_OF_TIME;

use crate::judge::{Binary, Place};
use crate::stage::{Log, output_of};
use crate::{
    CAN_NOT, PLAYGROUND, Run, binaries_in, can_do_without, is_root, shell,
};

/// A machine of the lab.
pub struct Machine {
    /// What its stages, and the environments in it, begin with.
    pub name: &'static str,
    /// What lab.sh is asked for.
    options: &'static [&'static str],
    /// Whether the programs are compiled for it apart.
    foreign: bool,
    /// Whether it can be broken today, and nobody here can mend it.
    changes: bool,
    /// What is judged there in every run, and not only with `--everything`:
    /// these test binaries; `None` for all.
    pub always: Option<&'static [&'static str]>,
    /// The same for `--everything`.
    everything: Option<&'static [&'static str]>,
    /// Whether it gets a whole Debian, to be booted in a container.
    debian: bool,
    /// Whether it gets docker, containerd and podman, if they are unpacked here.
    engines: bool,
}

/// How long an image may take to make.
const MAKING: Duration = Duration::from_secs(1800);

/// Compiles all programs for another machine; which test binaries follows.
const BUILD: [&str; 6] = [
    "build",
    "--workspace",
    "--bins",
    "--profile=test",
    "--quiet",
    "--message-format=json",
];

/// Boots it.
pub const BOOTS_DEBIAN: &str = "system_container";

/// All claims, each time.
const USUAL: Machine = Machine {
    name: "",
    options: &[],
    foreign: false,
    changes: false,
    always: None,
    debian: false,
    engines: false,
    everything: None,
};

/// A new one is a new entry.
pub const MACHINES: [Machine; 6] = [
    Machine { name: "lab-6.1", options: &["--kernel", "6.1"], ..USUAL },
    Machine {
        name: "lab-6.12",
        options: &["--kernel", "6.12"],
        debian: true,
        engines: true,
        ..USUAL
    },
    Machine {
        name: "lab-13",
        options: &["--debian", "13"],
        always: Some(&[]),
        ..USUAL
    },
    Machine {
        name: "lab-selinux",
        options: &["--debian", "13-selinux"],
        always: Some(&[]),
        everything: Some(&["doctor"]),
        ..USUAL
    },
    Machine {
        name: "lab-unstable",
        options: &["--debian", "unstable"],
        changes: true,
        always: Some(&[]),
        ..USUAL
    },
    // The numbers of system calls are an architecture's own.
    Machine {
        name: "lab-arm64",
        options: &["--arch", "arm64"],
        foreign: true,
        always: Some(&["least_privilege"]),
        ..USUAL
    },
];

impl Run {
    /// The binaries that are judged in a machine in this run.
    fn for_machine(&self, machine: &Machine) -> Vec<&Binary> {
        let names = match self.choice.everything {
            true => machine.everything,
            false => machine.always,
        };
        let is_due =
            |it: &&Binary| names.is_none_or(|all| all.contains(&&*it.name));
        self.binaries.iter().filter(is_due).collect()
    }

    fn takes_long(&self, machine: &Machine) -> bool {
        self.choice.everything && machine.always.is_some()
    }

    /// If the lab can't run, everything else is judged all the same; but a
    /// server that tests for others must have it.
    pub fn in_the_lab(&self) {
        if self.choice.quick {
            return;
        }
        let is_due = |it: &&Machine| {
            self.stages.wants(it.name) && !self.for_machine(it).is_empty()
        };
        // All machines of an ordinary run at once, with one boot each; those that
        // take long two at a time, beside them.
        let (now, later): (Vec<_>, Vec<_>) =
            MACHINES.iter().filter(is_due).partition(|it| !self.takes_long(it));
        thread::scope(|scope| {
            for machine in now {
                scope.spawn(|| self.in_machine(machine));
            }
            for first in 0..2 {
                let some = later.iter().skip(first).step_by(2);
                scope.spawn(|| some.for_each(|it| self.in_machine(it)));
            }
        });
    }

    /// The archive of a whole Debian. There, the network is out of reach.
    fn debian(&self) -> PathBuf {
        self.target.join("test-lab/debian.tar")
    }

    /// Gets what a machine lacks, once. Whether it is there.
    fn image(&self, machine: &Machine) -> bool {
        let mut there = false;
        self.stages.stage(&format!("{}-image", machine.name), |log| {
            let mut image = lab(machine);
            let status = log.run("image", image.arg("--image"), MAKING)?;
            there = status.is_some_and(|it| it.success());
            let good = there && self.make_debian(log, machine)?;
            let older = log.text().contains("goes on with the last good one");
            let mut done = good || machine.changes;
            if !good || older {
                done |= can_do_without(log);
            }
            Ok(done)
        });
        there
    }

    fn make_debian(&self, log: &mut Log, machine: &Machine) -> Result<bool> {
        let due = self.for_machine(machine);
        if !machine.debian || due.iter().all(|it| it.name != BOOTS_DEBIAN) {
            return Ok(true);
        }
        let archive = self.debian();
        if archive.exists() {
            fs::remove_file(&archive).context("remove what is old")?;
        }
        fs::create_dir_all(self.target.join("test-lab"))
            .context("make a directory for the lab")?;
        let mut make = Command::new("nice");
        make.args(["./scripts/debian-root.sh", "--tar"]).arg(archive);
        let status = log.run("debian", &mut make, MAKING)?;
        Ok(status.is_some_and(|it| it.success()))
    }

    fn in_machine(&self, machine: &Machine) {
        if !self.image(machine) {
            return;
        }
        let mut binaries = None;
        if machine.foreign {
            let stage = format!("{}-build", machine.name);
            self.stages.stage(&stage, |log| {
                let mut build = lab(machine);
                build.arg("--cargo").args(BUILD);
                for binary in self.for_machine(machine) {
                    build.args(["--test", &binary.name]);
                }
                let limit = Duration::from_secs(3600);
                let status = log.run("cargo", &mut build, limit)?;
                match status.and_then(|it| it.code()) {
                    Some(0) => {
                        let said = log.text();
                        binaries = Some(binaries_in(said.as_bytes())?);
                        Ok(true)
                    }
                    Some(CAN_NOT) => Ok(can_do_without(log)),
                    _ => Ok(false),
                }
            });
        } else {
            self.stages.stage(machine.name, |log| {
                let due = self.for_machine(machine);
                let programs = self.stripped_programs(machine, &due)?;
                let place = |it: &Binary| {
                    let file = it.path.file_name().expect("a file");
                    programs.join("deps").join(file)
                };
                let there: Vec<_> = due.into_iter().map(place).collect();
                let (archive, its) =
                    (self.debian(), programs.join("debian.tar"));
                let debian = machine.debian && archive.exists();
                if debian {
                    fs::hard_link(archive, &its).context("bring a Debian")?;
                }
                let debian = debian.then_some(its);
                self.boot(log, machine, &programs, &there, debian)
            });
        }
        if let Some(binaries) = binaries {
            self.stages.stage(machine.name, |log| {
                let there: Vec<_> =
                    binaries.iter().map(|it| it.path.clone()).collect();
                let first = there.first().context("a test binary")?;
                let programs = first.ancestors().nth(2);
                let programs = programs.context("in target")?;
                self.boot(log, machine, programs, &there, None)
            });
        }
    }

    /// Makes a directory like that of the programs, for the lab. Programs
    /// without debug information load faster.
    fn stripped_programs(
        &self,
        machine: &Machine,
        binaries: &[&Binary],
    ) -> Result<PathBuf> {
        let directory = self.target.join("test-lab").join(machine.name);
        if directory.exists() {
            fs::remove_dir_all(&directory).context("remove what is old")?;
        }
        fs::create_dir_all(directory.join("deps")).context("make it anew")?;
        let is_program = |path: &PathBuf| {
            path.metadata().is_ok_and(|it| {
                it.is_file() && it.permissions().mode() & 0o100 != 0
            })
        };
        let entries =
            fs::read_dir(&self.programs).context("read the programs")?;
        let files = entries.flatten().map(|entry| entry.path());
        let files = files.filter(is_program);
        let tests = binaries.iter().map(|binary| binary.path.clone());
        for file in files.chain(tests) {
            let place =
                file.strip_prefix(&self.programs).context("a program")?;
            let (from, to) = (file.display(), directory.join(place));
            let words = format!("strip -o '{}' '{from}'", to.display());
            output_of(&shell(&words))?;
        }
        Ok(directory)
    }

    /// Runs the same judge inside, as root and as an ordinary user.
    fn boot(
        &self,
        log: &mut Log,
        machine: &Machine,
        programs: &Path,
        binaries: &[PathBuf],
        debian: Option<PathBuf>,
    ) -> Result<bool> {
        // A claim has longer there, and three times as long on a busy host.
        let long = if self.takes_long(machine) { 6 } else { 3 };
        let limit = self.stages.limit() * long;
        let is_exercises =
            |it: &PathBuf| Binary::at(it.clone()).name == "exercises";
        let exercises = match binaries.iter().any(is_exercises) {
            true => self.exercises_for(log, machine, programs)?,
            false => vec![],
        };
        // Some claims about an architecture ask for no user in particular.
        let whole = machine.always.is_none() || self.choice.everything;
        let users = if whole { "root,learner" } else { "root" };
        let mut lab = lab(machine);
        lab.args(["--cpus", "1", "--user", users]);
        lab.env("WORKSHOP_BIN", programs);
        for file in binaries.iter().chain(&exercises).chain(&debian) {
            lab.arg("--bring").arg(file);
        }
        let drives = |it: &PathBuf| Binary::at(it.clone()).name == "engines";
        let check = || output_of(&["./scripts/engines.sh", "--check"]);
        if machine.engines
            && binaries.iter().any(drives)
            && check().is_ok_and(|place| place != b"/\n")
        {
            lab.arg("--engines");
        }
        lab.arg("--");
        if !self.choice.everything {
            lab.args(["env", &format!("{SHORT_OF_TIME}=1")]);
        }
        lab.arg(programs.join("test-suite"));
        lab.args(["judge", machine.name, &limit.as_secs().to_string()]);
        // Inside, each binary has its limit. A dead machine is reported at once;
        // one that only boots slowly gets its time.
        lab.args(binaries).env("LAB_BOOT_SECONDS", "600");
        let status = log.run("boot", &mut lab, limit * 6)?;
        Ok(status.is_some_and(|status| status.success()))
    }

    /// The programs of all exercises, compiled for a machine and put beside its
    /// other programs. Each is started under a judge, which takes long there.
    fn exercises_for(
        &self,
        log: &mut Log,
        machine: &Machine,
        programs: &Path,
    ) -> Result<Vec<PathBuf>> {
        if !self.takes_long(machine) {
            return Ok(vec![]);
        }
        let (package, place) =
            (self.target.join("exercises"), programs.join("exercises"));
        let target = package.join("target");
        let made = if machine.foreign {
            let mut build = lab(machine);
            build.args(["--cargo", "build", "--offline", "--quiet", "--bins"]);
            build.arg("--manifest-path").arg(package.join("Cargo.toml"));
            build.env("CARGO_TARGET_DIR", &target);
            log.run("cargo", &mut build, Duration::from_secs(3600))?;
            target.join(programs.strip_prefix(&self.target)?)
        } else {
            target.join("debug")
        };
        fs::create_dir_all(&place).context("a directory for exercises")?;
        let made = fs::read_dir(&made).with_context(|| {
            format!("the programs of exercises in {}", made.display())
        })?;
        let mut files = Vec::new();
        for file in made.flatten().map(|it| it.path()) {
            let name = file.file_name().unwrap_or_default();
            let words = name.to_string_lossy();
            if words.contains("--") && !words.ends_with(".d") {
                let to = place.join(name);
                fs::copy(&file, &to).context("copy a program")?;
                if !machine.foreign {
                    output_of(&["strip", &to.to_string_lossy()])?;
                }
                files.push(to);
            }
        }
        Ok(files)
    }
}

fn lab(machine: &Machine) -> Command {
    let mut lab = Command::new("nice");
    // What is compiled here for this machine is not for another one.
    lab.env_remove("WORKSHOP_BIN");
    lab.arg("./scripts/lab.sh").args(machine.options);
    lab
}

/// Inside the lab, the claims of the lessons and exercises are about a
/// playground, and all others about this machine.
pub fn judge_inside(
    lab: &str,
    limit: u64,
    binaries: Vec<PathBuf>,
) -> Result<bool> {
    let user = if is_root() { "root" } else { "learner" };
    let environment = &format!("{lab}-{user}");
    let limit = Duration::from_secs(limit);
    let binaries: Vec<_> = binaries.into_iter().map(Binary::at).collect();
    let (pages, others): (Vec<_>, Vec<_>) = binaries
        .iter()
        .partition(|it| ["exercises", "lessons"].contains(&&*it.name));
    let place = |prefix| Place { environment, prefix, limit, part: (0, 1) };
    let directory = tempfile::tempdir().context("a directory for a log")?;
    let mut log = Log::create(directory.path().join("log"))?.aloud();
    let mut good = place(&[]).judge(&mut log, &others)?;
    if !pages.is_empty() {
        good &= place(&[PLAYGROUND, "--"]).judge(&mut log, &pages)?;
    }
    Ok(good)
}
