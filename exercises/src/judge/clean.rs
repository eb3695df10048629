//! What a program leaves behind: stopped, removed, and reported.

use std::collections::BTreeSet;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use testbed::proc;

use super::look;

/// The host before the program ran.
pub struct Before {
    /// Who has the host's mounts.
    host: i32,
    mounts: BTreeSet<String>,
    links: BTreeSet<String>,
    tables: BTreeSet<String>,
    forwards: String,
    hostname: String,
}

const FORWARDS: &str = "/proc/sys/net/ipv4/ip_forward";

impl Before {
    pub fn look(host: i32) -> Before {
        Before {
            host,
            mounts: places(host),
            links: links(),
            tables: tables(),
            forwards: fs::read_to_string(FORWARDS).unwrap_or_default(),
            hostname: hostname(),
        }
    }

    /// Namespaces and mounts go with the judge. Processes, and what is in the
    /// playground's network, go now. Each kind is reported once.
    pub fn clean_up(&self) -> Vec<String> {
        let mut told = Vec::new();
        let left = places(self.host)
            .difference(&self.mounts)
            .cloned()
            .collect::<Vec<_>>();
        if !left.is_empty() {
            told.push(some("mounts of the host", &left));
        }
        if hostname() != self.hostname {
            told.push("the host's name, which it had changed".into());
        }
        let count = end_all_processes();
        if count > 50 {
            told.push(format!("{count} processes"));
        }
        // A namespace that is gone takes its devices along in its own time.
        let new =
            || -> Vec<_> { links().difference(&self.links).cloned().collect() };
        let end = Instant::now() + Duration::from_secs(1);
        while !new().is_empty() && Instant::now() < end {
            sleep(Duration::from_millis(10));
        }
        let new = new();
        // The end of a cable into another namespace is on its way out with it,
        // or gone by now.
        let stays = |link: &&String| {
            let told = look::output("ip", &["-o", "link", "show", link]);
            !told.is_empty() && !told.contains("link-netnsid")
        };
        let left: Vec<_> = new.iter().filter(stays).cloned().collect();
        for link in &new {
            // The second end of a pair goes with the first.
            look::output("ip", &["link", "delete", link]);
        }
        if !left.is_empty() {
            told.push(some("network devices of the host", &left));
        }
        for table in tables().difference(&self.tables) {
            let words = table.split(' ').collect::<Vec<_>>();
            look::output("nft", &[&["delete"], &words[..]].concat());
        }
        let _ = fs::write(FORWARDS, &self.forwards);
        told
    }
}

fn some(what: &str, names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(3).cloned().collect();
    let more = if names.len() > 3 { ", …" } else { "" };
    format!("{what}: {}{more}", shown.join(", "))
}

/// None when the program has ended even that process: then that shows
/// elsewhere.
fn places(host: i32) -> BTreeSet<String> {
    if !proc::runs(host) {
        return BTreeSet::new();
    }
    look::all_mounts(host).into_iter().map(|mount| mount.place).collect()
}

fn links() -> BTreeSet<String> {
    let entries = fs::read_dir("/proc/sys/net/ipv4/conf").into_iter().flatten();
    let names = entries.flatten().map(|entry| entry.file_name());
    names.map(|name| name.to_string_lossy().into_owned()).collect()
}

/// `table inet mine` and the like.
fn tables() -> BTreeSet<String> {
    look::output("nft", &["list", "tables"])
        .lines()
        .map(str::to_owned)
        .collect()
}

fn hostname() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default()
}

/// We are PID 1: all but ourselves are the program's. How many there were.
fn end_all_processes() -> usize {
    let end = Instant::now() + Duration::from_secs(5);
    let mut most = 0;
    loop {
        let others: Vec<_> =
            proc::all().into_iter().filter(|&pid| pid != 1).collect();
        let alive = others.iter().filter(|&&pid| proc::runs(pid)).count();
        most = most.max(alive);
        // One call for all of them: a bomb can't fork in between.
        let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            if status == WaitStatus::StillAlive {
                break;
            }
        }
        if others.is_empty() || Instant::now() > end {
            return most;
        }
        sleep(Duration::from_millis(2));
    }
}
