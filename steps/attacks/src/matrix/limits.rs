//! Step 06: cgroups, and who may lift a limit in step 09.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use testbed::watch::cgroups_of;
use testbed::{Running, Step, eventually, needs, proc, token};

use crate::places::{
    Cache, Impossible, Place, STAY, Staying, Verdict, descendants, impossible,
    judge, judge_words, need_command, need_other_ids, stays,
};

/// The step, with its limit if that is wanted. `None`: no container.
fn limited(place: Place, limit: [&str; 2]) -> Result<Step, Impossible> {
    let step = place.step();
    if !place.with_option {
        return Ok(step);
    }
    let probe = place.step().args(limit).args(["--", "true"]).output();
    match probe.status.success() {
        true => Ok(step.args(limit)),
        false => impossible("no cgroup is ours to make here"),
    }
}

/// A file of the container's cgroup, in whichever hierarchy has it.
pub fn of_its_cgroup(container: &Running, file: &str) -> Option<String> {
    let directories = cgroups_of(container.runtime());
    directories.iter().find_map(|it| fs::read_to_string(it.join(file)).ok())
}

/// How often the kernel has refused a process. Some kernels count where the
/// limit is, and some where the process is: from step 10 on, one level below.
fn refused(container: &Running) -> u64 {
    ["pids.events", "inside/pids.events"]
        .map(|file| number(of_its_cgroup(container, file), "max"))
        .into_iter()
        .sum()
}

fn number(table: Option<String>, word: &str) -> u64 {
    let table = table.unwrap_or_default();
    let line = table
        .lines()
        .find_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// In use is what the kernel counts as resident (VmRSS), before the end.
pub fn hog_memory(place: Place) -> Verdict {
    let hog = ["--", "attack", "hog-memory", "64", "30"];
    let mut step = limited(place, ["-m", "32m"])?.args(hog);
    step.command().stderr(Stdio::null());
    let mut container = step.start();
    assert!(container.line().starts_with("hog-memory: "));
    let runtime = container.runtime();
    let resident = |pid: i32| {
        let size = proc::status(pid, "VmRSS").unwrap_or_default();
        let kib: u64 = size.trim_end_matches(" kB").trim().parse().unwrap_or(0);
        kib >= 64 << 10
    };
    let seen = eventually("64 MiB in use, or an end", || {
        if descendants(runtime).into_iter().any(resident) {
            return Some(true);
        }
        (!proc::runs(runtime)).then_some(false)
    });
    if !seen {
        // A container ends with the program that was killed; a whole machine
        // goes on, and the attack can say what became of its child.
        let status = if place.step < 10 { 137 } else { 1 };
        assert_eq!(container.finish().0, status);
    }
    Ok(seen)
}

/// The kernel counts how often it refused (pids.events).
pub fn fork_bomb(place: Place) -> Verdict {
    let bomb = "attack fork-bomb 40; echo over; read line";
    let step = limited(place, ["--pids-limit", "20"])?;
    let mut container = step.sh(bomb).start();
    let said = [container.line(), container.line()].join("\n");
    assert_eq!(container.line(), "over");
    judge_words(&said, refused(&container) == 0)
}

/// Not by how much it gets, which depends on who else is busy, but by whether
/// the kernel has counted that its share is used up (nr_throttled).
pub fn hog_cpu(place: Place) -> Verdict {
    let hog = ["--", "attack", "hog-cpu", "20"];
    let mut container = limited(place, ["--cpus", "0.05"])?.args(hog).start();
    assert!(container.line().starts_with("hog-cpu: "));
    let first = container.pid();
    // schedstat: nanoseconds on a processor (proc.rst, 3.13).
    let used = || {
        let table = fs::read_to_string(format!("/proc/{first}/schedstat"));
        let table = table.unwrap_or_default();
        let number = table.split_whitespace().next()?.parse().ok()?;
        Some(Duration::from_nanos(number))
    };
    let throttled =
        || number(of_its_cgroup(&container, "cpu.stat"), "nr_throttled");
    let enough = Duration::from_millis(150);
    let goes_on =
        || used().is_some_and(|used| used < enough) && throttled() == 0;
    let stays = stays(goes_on, Duration::from_secs(20));
    assert!(!stays, "neither a limit nor {enough:?} in 20 s");
    Ok(throttled() == 0)
}

/// The runtime is started in a cgroup whose name nobody can guess.
pub fn see_cgroup(place: Place) -> Verdict {
    let name = token();
    let made = Made::in_all_hierarchies(&name);
    if made.0.is_empty() {
        return impossible("no cgroup is ours to make here");
    }
    let attack = place.step().args(["--", "attack", "see-cgroup"]);
    let script = format!("{}exec \"$@\"", made.joins());
    let output = attack.in_shell(&script).output();
    let seen = String::from_utf8_lossy(&output.stdout).contains(&name);
    judge(&output, seen)
}

/// Somebody who has cgroups of their own, as systemd gives them to whoever logs
/// in: root inside is that user, and the limit's file is theirs. It says on the
/// host what the limit is.
pub fn lift_limit(place: Place) -> Verdict {
    const USER: u32 = 1000;
    need_other_ids()?;
    need_command("setpriv")?;
    let _nsdelegate = Nsdelegate::take_away()?;
    let cache = Cache::new();
    chown(cache.path(), Some(USER), Some(USER)).expect("chown");
    let limited = |made: &Made, command: &[&str]| {
        let script = format!(
            "{}exec setpriv --reuid {USER} --regid {USER} --clear-groups \"$@\"",
            made.joins()
        );
        let step = place.step().args(["--pids-limit", "20", "--"]);
        cache.for_step(step.args(command)).in_shell(&script)
    };
    let probe = limited(&Made::of(USER), &["true"]).output();
    if !probe.status.success() {
        return impossible("no cgroup is an ordinary user's to make here");
    }
    // Others: where controllers were passed on, nobody may join any more.
    let made = Made::of(USER);
    let attack = Staying::of(limited(&made, &["attack", "lift-limit", STAY]));
    let limit = of_its_cgroup(&attack.container, "pids.max");
    attack.judge(limit.expect("a limit").trim() == "max")
}

/// Option of a machine's cgroup2: a limit is not to be written from inside.
/// systemd sets it, and whoever has no such machine has none to try this on: so
/// in the lab, it is away until this is dropped.
struct Nsdelegate {
    place: String,
    options: String,
}

impl Nsdelegate {
    fn take_away() -> Result<Option<Nsdelegate>, Impossible> {
        let table = fs::read_to_string("/proc/self/mountinfo");
        let table = table.expect("our mounts");
        let tree = table.lines().find_map(|line| {
            let (mount, filesystem) = line.split_once(" - cgroup2 ")?;
            let (_, options) = filesystem.split_once(' ')?;
            let place = mount.split(' ').nth(4)?.to_owned();
            let options = options.strip_prefix("rw,")?.to_owned();
            Some(Nsdelegate { place, options })
        });
        let Some(tree) = tree.filter(|it| it.options.contains(NSDELEGATE))
        else {
            return Ok(None);
        };
        if !needs::in_the_lab() || !needs::in_first_user_namespace() {
            return impossible(
                "cgroup2 is mounted with nsdelegate, which refuses such a \
                 write: in the lab it can be tried",
            );
        }
        let options = tree.options.split(',');
        let others: Vec<_> = options.filter(|it| *it != NSDELEGATE).collect();
        tree.remount(&others.join(","));
        Ok(Some(tree))
    }

    fn remount(&self, options: &str) {
        let flags = MsFlags::MS_REMOUNT
            | MsFlags::MS_NOSUID
            | MsFlags::MS_NODEV
            | MsFlags::MS_NOEXEC
            | MsFlags::MS_RELATIME;
        let none = None::<&str>;
        mount(none, &*self.place, none, flags, Some(options))
            .expect("remount the lab's cgroup2");
    }
}

const NSDELEGATE: &str = "nsdelegate";

impl Drop for Nsdelegate {
    fn drop(&mut self) {
        self.remount(&self.options);
    }
}

/// Cgroups of our own, beside us, gone with this.
pub struct Made(Vec<PathBuf>);

impl Made {
    pub fn in_all_hierarchies(name: &str) -> Made {
        let mut parents = BTreeSet::new();
        let mounts = proc::mounts(std::process::id() as i32);
        for mount in mounts.iter().filter(|it| it.kind.starts_with("cgroup")) {
            parents.insert(mount.place.clone());
        }
        let made = |parent: &String| {
            let directory = Path::new(parent).join(name);
            // A cpuset without processors takes nobody.
            let usable = !parent.contains("cpuset")
                && fs::create_dir(&directory).is_ok();
            usable.then_some(directory)
        };
        Made(parents.iter().filter_map(made).collect())
    }

    /// The same, and an ordinary user's.
    fn of(user: u32) -> Made {
        let made = Made::in_all_hierarchies(&token());
        for directory in &made.0 {
            let files = fs::read_dir(directory).expect("a cgroup").flatten();
            for file in files.map(|it| it.path()).chain([directory.clone()]) {
                chown(file, Some(user), Some(user)).expect("chown");
            }
        }
        made
    }

    pub fn directories(&self) -> &[PathBuf] {
        &self.0
    }

    /// Those that somebody will make beside them, gone with what this returns.
    pub fn beside(&self, name: &str) -> Made {
        Made(self.0.iter().map(|it| it.with_file_name(name)).collect())
    }

    /// A script that puts the shell into them.
    pub fn joins(&self) -> String {
        let join = |directory: &PathBuf| {
            format!("echo $$ >{}/cgroup.procs\n", directory.display())
        };
        self.0.iter().map(join).collect()
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for directory in &self.0 {
            let left = || {
                // Those of a runtime that was killed, too.
                let below = fs::read_dir(directory).into_iter().flatten();
                for entry in below.flatten() {
                    let _ = fs::remove_dir(entry.path());
                }
                fs::remove_dir(directory).is_err() && directory.exists()
            };
            stays(left, Duration::from_secs(2));
        }
    }
}
