//! What a check looks at, beyond [`testbed::proc`].

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::fcntl::{OFlag, openat};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::Mode;
use testbed::proc::{self, MountInfo};

use super::verdict::Failure;

/// The arguments of a process.
#[must_use]
pub fn arguments(pid: i32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.split_terminator('\0').map(str::to_owned).collect()
}

/// The process that executes exactly this.
#[must_use]
pub fn who_executes(command: &[String]) -> Option<i32> {
    proc::all().into_iter().find(|&pid| arguments(pid) == command)
}

/// A link below /proc/PID, such as `root`, `cwd`, `fd/3`.
#[must_use]
pub fn link(pid: i32, name: &str) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/{name}")).unwrap_or_default()
}

/// A file below /proc/PID, with single spaces.
#[must_use]
pub fn words(pid: i32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/{name}"));
    let text = text.unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a program of the host prints on stdout. Empty when it fails.
pub fn output<S: AsRef<OsStr>>(program: &str, args: &[S]) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim_end().to_owned()
}

/// What a program of the host prints when it runs in one namespace of a
/// process. The process itself has no part in that.
#[must_use]
pub fn within(pid: i32, kind: &str, program: &[&str]) -> String {
    let namespace = format!("--{kind}=/proc/{pid}/ns/{kind}");
    let mut args = vec![&*namespace, "--"];
    args.extend(program);
    output("nsenter", &args)
}

/// Fails unless `is`.
///
/// # Errors
/// With what was seen, what was expected, and this hint.
pub fn ensure(
    is: bool,
    observed: impl Into<String>,
    expected: impl Into<String>,
    hint: &str,
) -> Result<(), Failure> {
    match is {
        true => Ok(()),
        false => Err(Failure::new(observed, expected, hint)),
    }
}

/// All mounts of a process's mount namespace. /proc/PID/mountinfo lists only
/// those that the process can reach from its root: a chroot hides the rest.
///
/// # Panics
/// When it can't be entered, or can't be left.
#[must_use]
pub fn all_mounts(pid: i32) -> Vec<MountInfo> {
    let table = || -> std::io::Result<String> {
        let proc = File::open("/proc")?;
        let ours = File::open("/proc/self/ns/mnt")?;
        let its = File::open(format!("/proc/{pid}/ns/mnt"))?;
        setns(its, CloneFlags::CLONE_NEWNS)?;
        // The namespace's root is our root now, and may have no /proc.
        let file = openat(
            &proc,
            "self/mountinfo",
            OFlag::O_RDONLY | OFlag::O_CLOEXEC,
            Mode::empty(),
        );
        let mut table = String::new();
        let read =
            file.map(File::from).map(|mut it| it.read_to_string(&mut table));
        setns(ours, CloneFlags::CLONE_NEWNS)?;
        read??;
        Ok(table)
    };
    proc::mounts_of(&table().expect("look into a mount namespace"))
}

/// Whether it becomes so in a moment: a long one, on a busy machine.
pub fn soon(mut so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_millis(1500);
    while !so() {
        if Instant::now() > end {
            return false;
        }
        sleep(Duration::from_millis(5));
    }
    true
}

/// Whether two names lead to one file.
#[must_use]
pub fn same_file(one: impl AsRef<Path>, other: impl AsRef<Path>) -> bool {
    let file = |path: &Path| fs::metadata(path).map(|it| (it.dev(), it.ino()));
    match (file(one.as_ref()), file(other.as_ref())) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// The name of a file, for people.
#[must_use]
pub fn show(path: &Path) -> String {
    path.display().to_string()
}
