//! What a process is: its user, its limits, its place among others.

use std::fs;
use std::io::{stderr, stdin, stdout};
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, fchown};
use oci_spec::runtime::{PosixRlimitType as Limit, Process};
use runtime::process::keep_over_exec;
use runtime::{Feature, Host, Inside, write_below_proc};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// The ids of the command, and what it inherits.
#[derive(Debug)]
pub struct Settings {
    user: (Uid, Gid),
    groups: Vec<Gid>,
    umask: Option<u32>,
    has_terminal: bool,
    label: Option<String>,
    preserve_fds: u32,
    limits: Vec<(Resource, Rlimit)>,
    oom_score_adj: Option<i32>,
}

impl Settings {
    /// # Errors
    /// When an id is none.
    pub fn new(process: &Process, preserve_fds: u32) -> Result<Settings> {
        let user = process.user();
        // setresuid(2) would take it for: stay root.
        let ids = [user.uid(), user.gid()];
        ensure!(
            !ids.contains(&u32::MAX),
            "process.user: {} is no id",
            u32::MAX
        );
        let groups = user.additional_gids().iter().flatten().copied();
        let label = process.apparmor_profile().as_ref();
        let label = label.filter(|it| !it.is_empty());
        let value = |it| (it != u64::MAX).then_some(it);
        let mut limits = vec![];
        for it in process.rlimits().iter().flatten() {
            let (kind, name) = (resource(it.typ()), it.typ());
            let is_new = limits.iter().all(|(other, _)| *other != kind);
            ensure!(is_new, "process.rlimits: {name} twice");
            let (soft, hard) = (it.soft(), it.hard());
            ensure!(soft <= hard, "process.rlimits: {name}: {soft} of {hard}");
            let (current, maximum) = (value(soft), value(hard));
            limits.push((kind, Rlimit { current, maximum }));
        }
        Ok(Settings {
            limits,
            oom_score_adj: process.oom_score_adj(),
            user: (Uid::from_raw(user.uid()), Gid::from_raw(user.gid())),
            groups: groups.map(Gid::from_raw).collect(),
            umask: user.umask(),
            has_terminal: process.terminal().unwrap_or(false),
            label: label.cloned().or(process.selinux_label().clone()),
            preserve_fds,
        })
    }
}

impl Feature for Settings {
    // To raise a limit takes the rights of the host's root.
    fn on_host(&mut self, container: &Host) -> Result<()> {
        let pid = container.pid.as_raw();
        if let Some(score) = self.oom_score_adj {
            let file = format!("/proc/{pid}/oom_score_adj");
            container.call(
                format!("write({file:?}, \"{score}\")"),
                "who is killed first when memory runs out",
                format!("echo {score} > {file}"),
                || fs::write(&file, score.to_string()),
            )?;
        }
        for (resource, new) in &self.limits {
            let ours = getrlimit(*resource);
            let is_raised = ours
                .maximum
                .is_some_and(|ours| new.maximum.is_none_or(|new| new > ours));
            if is_raised {
                let raised = Rlimit { current: ours.current, ..*new };
                container.call(
                    format!("prlimit({pid}, {resource:?}, {new:?})"),
                    "more than we have ourselves",
                    "",
                    || prlimit(Pid::from_raw(pid), *resource, raised),
                )?;
            }
        }
        Ok(())
    }

    // And to lower one could be in our own way: so that comes last.
    fn called(&self, _: &Inside) -> Result<()> {
        for (resource, new) in &self.limits {
            setrlimit(*resource, *new)
                .with_context(|| format!("setrlimit({resource:?}, {new:?})"))?;
        }
        Ok(())
    }

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
        // By our number: /proc/self is a link, and none is followed.
        let attributes = format!("{}/attr", std::process::id());
        let own = format!("{attributes}/apparmor/exec");
        let file = match Path::new("/proc").join(&own).exists() {
            true => own,
            false => format!("{attributes}/exec"),
        };
        let text = match label.contains(':') {
            true => label.clone(),
            false => format!("exec {label}"),
        };
        write_below_proc(&file, &text)
            .with_context(|| format!("security label {label:?}"))
    }
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
