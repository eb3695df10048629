//! Where a demo plays: a directory of its own, of which nothing is left.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio, id};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::other_process::{environment, status};

pub struct Stage {
    pub directory: PathBuf,
    /// Commands that undo what the demo changes elsewhere.
    undo: Vec<String>,
}

/// In the environment of everything that is started here, except of what runs in
/// a container.
pub const MARK: &str = "DEMO_STAGE";

impl Stage {
    pub fn new(undo: Vec<String>) -> Result<Stage> {
        let directory = tempfile::Builder::new()
            .prefix("demo.")
            .rand_bytes(4)
            .tempdir()
            .context("make a directory")?
            .keep();
        fs::set_permissions(&directory, Permissions::from_mode(0o755))?;
        Ok(Stage { directory, undo })
    }

    /// As PID 1, a container may ignore the signals that its runtime passes on:
    /// then it is killed, and not the runtime, which has to clean up. Only if
    /// that does not help is the runtime killed, and the container dies with it.
    fn end_stragglers(&self) {
        for attempt in 0..100 {
            let stragglers = self.stragglers();
            let (signal, whom) = match attempt {
                _ if stragglers.is_empty() => return,
                0..20 => (Signal::SIGTERM, stragglers),
                20 => (Signal::SIGKILL, containers(&stragglers)),
                21..=90 => (Signal::SIGTERM, Vec::new()),
                _ => (Signal::SIGKILL, stragglers),
            };
            for pid in whom {
                let _ = kill(Pid::from_raw(pid), signal);
            }
            sleep(Duration::from_millis(50));
        }
    }

    fn stragglers(&self) -> Vec<i32> {
        let mark = (MARK.into(), self.directory.clone().into());
        let is_ours = |pid: &i32| environment(*pid).contains(&mark);
        processes().filter(is_ours).collect()
    }
}

/// The children of the runtimes. Their helpers are not among them.
fn containers(runtimes: &[i32]) -> Vec<i32> {
    let is_one = |pid: &i32| {
        let parent = status(pid, "PPid").and_then(|it| it.parse().ok());
        let parent = parent.is_some_and(|it| runtimes.contains(&it));
        parent && !runtimes.contains(pid)
    };
    processes().filter(is_one).collect()
}

fn processes() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != id() as i32)
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.end_stragglers();
        for command in &self.undo {
            let mut bash = Command::new("bash");
            bash.args(["-c", command]).stdin(Stdio::null());
            let _ = bash.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo");
        for mount in mounts.unwrap_or_default().lines() {
            let point = mount.split(' ').nth(4).unwrap_or_default();
            if PathBuf::from(point).starts_with(&self.directory) {
                let _ = umount2(point, MntFlags::MNT_DETACH);
            }
        }
        // Never what a mount that is still there shows.
        let _ = Command::new("rm")
            .args(["-rf", "--one-file-system"])
            .arg(&self.directory)
            .status();
    }
}
