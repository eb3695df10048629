//! Which program is an init, how it is asked to stop, and what its end means.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Result, bail};
use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, Pid, access};
use runtime::End;
use runtime::process::Exit;

/// Where an init lies, the best first.
const INITS: [&str; 5] = [
    "/usr/lib/systemd/systemd",
    "/lib/systemd/systemd",
    "/sbin/init",
    "/etc/init",
    "/bin/init",
];

/// The init that was named, or that of the root directory that we are in, or
/// the name that all of them have: if it is not there, that is told.
///
/// # Errors
/// When it would end at once: systemd must divide its cgroup.
pub fn find(named: &[OsString]) -> Result<Vec<OsString>> {
    let run = statvfs("/run").map(|it| it.flags());
    if run.is_ok_and(|flags| flags.contains(FsFlags::ST_RDONLY)) {
        bail!("/run is read-only, and no init can start so: no -v there");
    }
    let executable = |path: &&str| access(*path, AccessFlags::X_OK).is_ok();
    let found = INITS.into_iter().find(executable).unwrap_or(INITS[2]);
    // One without a directory is looked up in PATH, and is most likely this one.
    let named = named.iter().map(Path::new).next();
    let named = named.filter(|it| it.components().count() > 1);
    let found = named.unwrap_or(Path::new(found));
    let is_systemd = fs::canonicalize(found)
        .is_ok_and(|it| it.file_name().is_some_and(|name| name == "systemd"));
    if is_systemd && !CGROUPS.into_iter().any(may_divide) {
        bail!("{}: {NO_CGROUP}", found.display());
    }
    Ok(vec![found.into()])
}

/// Where systemd looks for the cgroups by which it knows its services.
const CGROUPS: [&str; 2] = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup"];

/// A directory with a file that every cgroup has, both to be written.
fn may_divide(place: &str) -> bool {
    let may = |path: &Path| access(path, AccessFlags::W_OK).is_ok();
    let place = Path::new(place);
    may(place) && may(&place.join("cgroup.procs"))
}

const NO_CGROUP: &str = "systemd ends at once where it may not divide its \
    cgroup, and none is yours to hand on. Where systemd is the host's init \
    and has cgroup v2: log in anew, or start this with `systemd-run --user \
    --scope -p Delegate=yes`. Else as root, with sudo, or in root's \
    playground. busybox's init needs none: --rootfs DIR";

/// Whether a command boots a system: none was named, or an init was. By its
/// name, as with podman.
pub fn is_one(command: &[OsString]) -> bool {
    let name = command.first().map(Path::new).and_then(Path::file_name);
    name.is_none_or(|name| name == "init" || name == "systemd")
        && !command.first().is_some_and(|it| it.is_empty())
}

/// A signal, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopSignal(pub i32);

/// What this PID 1 takes for a request to power off. SIGTERM would make systemd
/// begin anew, and busybox reboot.
pub fn stop_signal_of(first: Pid) -> StopSignal {
    let program = fs::read_link(format!("/proc/{first}/exe"));
    let program = program.unwrap_or_default();
    let name = program.file_name().unwrap_or_default();
    StopSignal(match name.to_string_lossy().as_ref() {
        "systemd" => libc::SIGRTMIN() + 3,
        "busybox" | "busybox.static" => libc::SIGUSR2,
        _ => libc::SIGTERM,
    })
}

/// `SIGRTMIN+3`, `RTMIN+3`, `SIGUSR2`, `usr2`, `12`.
///
/// # Errors
/// What to tell whoever wrote it.
pub fn parse(text: &str) -> Result<StopSignal, String> {
    let (first, last) = (libc::SIGRTMIN(), libc::SIGRTMAX());
    let upper = text.to_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number = |digits: &str| match digits {
        "" => Some(0),
        _ => digits.parse::<u8>().ok().map(i32::from),
    };
    let found = if let Some(rest) = short.strip_prefix("RTMIN") {
        number(rest.strip_prefix('+').unwrap_or(rest)).map(|more| first + more)
    } else if let Some(rest) = short.strip_prefix("RTMAX") {
        number(rest.strip_prefix('-').unwrap_or(rest)).map(|less| last - less)
    } else if let Ok(number) = short.parse() {
        Some(number)
    } else {
        format!("SIG{short}").parse::<Signal>().ok().map(|it| it as i32)
    };
    let is_one = |number: &i32| {
        Signal::try_from(*number).is_ok() || (first..=last).contains(number)
    };
    found.filter(is_one).map(StopSignal).ok_or_else(|| {
        "no such signal: SIGRTMIN+3 stops systemd, SIGUSR2 busybox's init \
         (`kill -l` names them all)"
            .into()
    })
}

/// For a person in front of a black console.
pub fn where_to_look(first: Pid) -> String {
    let kept = match nix::unistd::geteuid().is_root() {
        true => "",
        false => " --preserve-credentials",
    };
    format!(
        "10 s without a word from PID 1, which is {first} here: \
         `cat /proc/{first}/status` shows its state; `nsenter -t {first} -U -m -p\
         {kept} sh` leads inside, where `ps` and `journalctl -b` tell more; \
         `kill {}` stops it",
        std::process::id()
    )
}

/// SIGINT is how the kernel ends PID 1 when it powers off or halts, SIGHUP when
/// it reboots.
pub fn end(exit: Exit) -> End {
    match exit {
        Exit::Signal(libc::SIGINT) => End::Over(Exit::Code(0)),
        Exit::Signal(libc::SIGHUP) => End::Again,
        exit => End::Over(exit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_a_name_with_or_without_sig_or_a_number() {
        let real_time = Ok(StopSignal(libc::SIGRTMIN() + 3));
        for text in ["SIGRTMIN+3", "RTMIN+3", "rtmin+3", "37"] {
            assert_eq!(parse(text), real_time, "{text}");
        }
        for text in ["SIGUSR2", "USR2", "usr2", "12"] {
            assert_eq!(parse(text), Ok(StopSignal(12)), "{text}");
        }
        for text in ["", "0", "-1", "65", "33", "SIG", "RTMIN+99", "HELLO"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_init_is_known_by_its_name() {
        let is = |words: &[&str]| {
            is_one(&words.iter().map(Into::into).collect::<Vec<_>>())
        };
        assert!(is(&[]) && is(&["/sbin/init"]) && is(&["systemd", "--help"]));
        assert!(!is(&["sh"]) && !is(&[""]) && !is(&["/bin/sh", "init"]));
    }
}
