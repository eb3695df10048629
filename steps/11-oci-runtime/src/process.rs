//! What a process is: its user, its limits, its place among others.

use std::fs;
use std::io::{stderr, stdin, stdout};
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, fchown};
use oci_spec::runtime::{PosixRlimitType as Limit, Process};
use runtime::process::keep_over_exec;
use runtime::{Feature, Inside};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// The ids of the command, and what it inherits.
#[derive(Debug)]
pub struct Settings {
    user: (Uid, Gid),
    groups: Vec<Gid>,
    umask: Option<u32>,
    has_terminal: bool,
    label: Option<String>,
    preserve_fds: u32,
}

impl Settings {
    pub fn new(process: &Process, preserve_fds: u32) -> Settings {
        let user = process.user();
        let groups = user.additional_gids().iter().flatten().copied();
        let label = process.apparmor_profile().as_ref();
        let label = label.filter(|it| !it.is_empty());
        Settings {
            user: (Uid::from_raw(user.uid()), Gid::from_raw(user.gid())),
            groups: groups.map(Gid::from_raw).collect(),
            umask: user.umask(),
            has_terminal: process.terminal().unwrap_or(false),
            label: label.cloned().or(process.selinux_label().clone()),
            preserve_fds,
        }
    }
}

impl Feature for Settings {
    fn inside(&self, container: &mut Inside) -> Result<()> {
        container.user = Some(self.user);
        let denied = fs::read_to_string("/proc/self/setgroups");
        if !self.groups.is_empty()
            || !denied.is_ok_and(|it| it.trim() == "deny")
        {
            container.groups = Some(self.groups.clone());
        }
        if let Some(umask) = self.umask {
            container.umask = Mode::from_bits_truncate(umask);
        }
        // Pipes of an engine are root's: `echo > /dev/stderr` opens them anew.
        let (uid, gid) = self.user;
        if !self.has_terminal && !uid.is_root() {
            let (stdin, stdout, stderr) = (stdin(), stdout(), stderr());
            for own in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
                let kind =
                    rustix::fs::fstat(own).map(|it| it.st_mode & 0o170_000);
                // Never a device: /dev/null is everybody's.
                if kind.is_ok_and(|it| it != 0o020_000) {
                    let _ = fchown(own, Some(uid), Some(gid));
                }
            }
        }
        keep_over_exec(self.preserve_fds).context("--preserve-fds")
    }

    fn last(&self, _: &mut Inside) -> Result<()> {
        let Some(label) = &self.label else { return Ok(()) };
        let own = Path::new("/proc/self/attr/apparmor/exec");
        let file =
            if own.exists() { own } else { Path::new("/proc/self/attr/exec") };
        let text = match label.contains(':') {
            true => label.clone(),
            false => format!("exec {label}"),
        };
        fs::write(file, text)
            .with_context(|| format!("security label {label:?}"))
    }
}

/// From outside, when all else is done: to raise a limit takes the rights of the
/// host's root, and to lower it could be in our own way.
///
/// # Errors
/// As prlimit(2) and write(2).
pub fn limit(pid: i32, process: &Process) -> Result<()> {
    if let Some(score) = process.oom_score_adj() {
        let file = format!("/proc/{pid}/oom_score_adj");
        fs::write(&file, score.to_string())
            .with_context(|| format!("write({file:?}, {score})"))?;
    }
    for limit in process.rlimits().iter().flatten() {
        let value = |it| (it != u64::MAX).then_some(it);
        let new = Rlimit {
            current: value(limit.soft()),
            maximum: value(limit.hard()),
        };
        prlimit(Pid::from_raw(pid), resource(limit.typ()), new).with_context(
            || format!("prlimit({pid}, {}, {new:?})", limit.typ()),
        )?;
    }
    Ok(())
}

fn resource(limit: Limit) -> Resource {
    match limit {
        Limit::RlimitCpu => Resource::Cpu,
        Limit::RlimitFsize => Resource::Fsize,
        Limit::RlimitData => Resource::Data,
        Limit::RlimitStack => Resource::Stack,
        Limit::RlimitCore => Resource::Core,
        Limit::RlimitRss => Resource::Rss,
        Limit::RlimitNproc => Resource::Nproc,
        Limit::RlimitNofile => Resource::Nofile,
        Limit::RlimitMemlock => Resource::Memlock,
        Limit::RlimitAs => Resource::As,
        Limit::RlimitLocks => Resource::Locks,
        Limit::RlimitSigpending => Resource::Sigpending,
        Limit::RlimitMsgqueue => Resource::Msgqueue,
        Limit::RlimitNice => Resource::Nice,
        Limit::RlimitRtprio => Resource::Rtprio,
        Limit::RlimitRttime => Resource::Rttime,
    }
}
