//! Whatever ends a container, and whenever: what is left of it?

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::patience::patience;
use crate::proc::token;
use crate::step::Step;
use crate::terminal::Terminal;
use crate::{needs, proc};

/// A mark by which a container's processes are found, and a place of its own
/// for temporary files: what others do on this machine does not matter.
#[derive(Debug)]
pub struct Watch {
    mark: String,
    directory: tempfile::TempDir,
    before: BTreeSet<String>,
}

impl Watch {
    /// Remembers how it is now.
    ///
    /// # Panics
    /// Without a place for temporary files.
    #[must_use]
    pub fn begin() -> Watch {
        let directory = tempfile::tempdir().expect("a directory");
        let mut watch =
            Watch { mark: token(), directory, before: BTreeSet::new() };
        watch.before = watch.look();
        watch
    }

    /// A step whose processes carry the mark before their exec and after.
    #[must_use]
    pub fn over(&self, step: Step) -> Step {
        self.over_script(step).args(["-e", "MARK"])
    }

    /// A script, whose processes inherit the mark by themselves.
    #[must_use]
    pub fn over_script(&self, mut script: Step) -> Step {
        let directory = self.directory.path();
        script.command().env("TMPDIR", directory).env("MARK", &self.mark);
        script
    }

    /// The processes that carry it.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        proc::marked(&self.mark)
    }

    /// Fails unless all is, within a moment, as it was.
    ///
    /// # Panics
    /// When something is new, or gone.
    pub fn assert_nothing_left(&self, of: &str) {
        let end = Instant::now() + patience();
        loop {
            let after = self.look();
            let changed: Vec<_> =
                after.symmetric_difference(&self.before).collect();
            if changed.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "{of}: {changed:#?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn look(&self) -> BTreeSet<String> {
        let name = fs::read_to_string("/proc/sys/kernel/hostname");
        // Root's test has mounts of its own. In what an ordinary user sees, the
        // machine mounts something now and then, and what they start can't.
        let mounts = match needs::is_root() {
            true => proc::mounts(std::process::id() as i32),
            false => vec![],
        };
        let files = fs::read_dir(&self.directory).into_iter().flatten();
        let mut left = BTreeSet::from([format!("hostname {name:?}")]);
        left.extend(self.processes().iter().map(|p| format!("process {p}")));
        left.extend(mounts.iter().map(|mount| format!("{mount:?}")));
        left.extend(files.flatten().map(|file| format!("{:?}", file.path())));
        left
    }
}

/// Steps through a container's story call by call, and strikes at each: says
/// how many calls there were. `step` is to have `--pause` and a command that
/// succeeds; `after` is told the runtime's pid, its exit status and what was
/// on the screen. Where the processor is emulated, only at some of them.
///
/// # Panics
/// When a container that was not struck does not succeed.
pub fn strike_before_any_call(
    step: impl Fn() -> Step,
    strike: impl Fn(&mut Terminal),
    after: impl Fn(i32, i32, String),
) -> usize {
    let mut point = 0;
    loop {
        let mut terminal = step().on_terminal();
        let mut waits = terminal.shows_or_ends("⏎").is_some();
        for _ in 0..point {
            if waits {
                terminal.types("\n");
                waits = terminal.shows_or_ends("⏎").is_some();
            }
        }
        if !waits {
            assert_eq!(terminal.finish().0, 0, "without a strike");
            return point;
        }
        strike(&mut terminal);
        let pid = terminal.pid();
        let (status, screen) = terminal.finish();
        after(pid, status, screen);
        point += needs::stride();
    }
}

/// The cgroups of the container that a runtime made: one a hierarchy.
#[must_use]
pub fn cgroups_of(runtime: i32) -> Vec<PathBuf> {
    cgroups_named(&format!("container-{runtime}"))
}

/// The cgroups of that name, in all hierarchies. Those in a playground are its
/// own: there, others have our numbers.
#[must_use]
pub fn cgroups_named(name: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut to_look_at: Vec<PathBuf> = vec!["/sys/fs/cgroup".into()];
    while let Some(directory) = to_look_at.pop() {
        if directory.ends_with(name) {
            found.push(directory);
            continue;
        }
        let last = directory.file_name().unwrap_or_default();
        if last.to_string_lossy().starts_with("playground-") {
            continue;
        }
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let below =
            entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir()));
        to_look_at.extend(below.map(|entry| entry.path()));
    }
    found.sort();
    found
}
