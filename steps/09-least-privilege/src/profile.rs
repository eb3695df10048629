//! The system calls that are refused, one by one, and why.
//!
//! Every system call that we know by name is allowed, except these. A call that
//! is newer than our list answers ENOSYS, as on a kernel that does not have it:
//! what nobody has looked at yet is not allowed.
//!
//! A group with a capability is refused to whoever lacks that capability. The
//! kernel would refuse most of these calls as well, but only after some of its
//! code for them has run, and not in a new user namespace, where everybody has
//! every capability. The filter stays the same there.

use std::collections::BTreeMap;

use nix::libc;
use rustix::thread::CapabilitySet;
use syscalls::Sysno;

use crate::filter::{Action, Condition, Filter, Rule, Test};

/// Calls that one capability brings back, or none does.
#[derive(Debug)]
pub struct Group {
    /// Whoever keeps it may make them (`--cap-add`); without one, nobody may.
    pub capability: Option<CapabilitySet>,
    /// What they are.
    pub calls: &'static [Refused],
}

/// A call; when it is refused; what it is for; and why a program in a container
/// has to do without it.
pub type Refused = (&'static str, When, &'static str, &'static str);

/// An argument that makes the difference: its number, which bits of it count,
/// and their values. The kernel looks at the lower 32 bits of each of these. So
/// do we, or a bit set above them would be a way around the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Whatever its arguments are.
    Always,
    /// Where it is one of the values.
    If(u8, u32, &'static [u32]),
    /// Where it is none of them.
    Unless(u8, u32, &'static [u32]),
    /// Always, and as if the kernel did not know it.
    Unknown,
}

use When::{Always, If, Unknown, Unless};

/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET.
const NAMESPACES: u32 = 0x7E02_0000;
const AF_ALG: u32 = libc::AF_ALG as u32;
const AF_VSOCK: u32 = libc::AF_VSOCK as u32;

/// PER_LINUX and PER_LINUX32, each with UNAME26 or without, and the question.
const PERSONALITIES: &[u32] = &[0, 8, 0x2_0000, 0x2_0008, u32::MAX];

/// What is refused.
#[rustfmt::skip]
pub const REFUSED: [Group; 15] = [
    Group { capability: None, calls: &[
        ("add_key",           Always,                               "keys",                            "no namespace divides them"),
        ("keyctl",            Always,                               "keys",                            "reads those of the host's session"),
        ("request_key",       Always,                               "keys",                            "makes the host start a program"),
        ("io_uring_setup",    Always,                               "system calls through a queue",    "a filter sees none of them"),
        ("io_uring_enter",    Always,                               "the same",                        "the queue has had many holes"),
        ("io_uring_register", Always,                               "the same",                        "the same"),
        ("userfaultfd",       Always,                               "page faults, by a program",       "stops the kernel halfway: every race can be won"),
        ("socket",            If(0, u32::MAX, &[AF_ALG, AF_VSOCK]), "kernel's ciphers; hypervisor",    "CVE-2026-31431; no namespace divides VSOCK"),
        ("personality",       Unless(0, u32::MAX, PERSONALITIES),   "behaviour of old systems",        "switches address randomization off"),
        ("move_pages",        Always,                               "memory from node to node",        "shows and moves other processes' pages"),
        ("migrate_pages",     Always,                               "the same",                        "the same"),
        ("kexec_load",        Always,                               "another kernel",                  "replaces the machine's kernel"),
        ("kexec_file_load",   Always,                               "the same",                        "the same"),
        ("swapon",            Always,                               "swap",                            "everybody's memory would go to that file"),
        ("swapoff",           Always,                               "the same",                        "takes swap away from everybody"),
        ("pivot_root",        Always,                               "another root",                    "the runtime has done it, once and for all"),
        ("nfsservctl",        Always,                               "an NFS server",                   "gone since Linux 3.1"),
        ("uselib",            Always,                               "shared libraries in a.out",       "old, and nothing needs it"),
        ("ustat",             Always,                               "free space, before statfs",       "the same"),
        ("sysfs",             Always,                               "filesystem types by number",      "the same"),
        ("_sysctl",           Always,                               "settings of the kernel",          "gone since Linux 5.5: /proc/sys has them"),
        ("create_module",     Always,                               "modules of Linux 2.4",            "gone since Linux 2.6"),
        ("get_kernel_syms",   Always,                               "the same",                        "the same"),
        ("query_module",      Always,                               "the same",                        "the same"),
    ] },
    Group { capability: Some(CapabilitySet::SYS_ADMIN), calls: &[
        ("unshare",           Always,                      "new namespaces",              "in a user namespace, every capability is back"),
        ("clone",             Unless(0, NAMESPACES, &[0]), "the same",                    "the same; fork and threads ask for none"),
        ("clone3",            Unknown,                     "the same",                    "flags behind a pointer; at ENOSYS libc tries clone"),
        ("setns",             Always,                      "joining a namespace",         "that is `docker exec`, and comes from outside"),
        ("mount",             Always,                      "mounts",                      "what is read-only or covered has to stay so"),
        ("umount2",           Always,                      "the same",                    "takes covers away"),
        ("mount_setattr",     Always,                      "the same",                    "makes read-only mounts writable"),
        ("move_mount",        Always,                      "the same",                    "the newer way to mount"),
        ("open_tree",         Always,                      "the same",                    "the same"),
        ("open_tree_attr",    Always,                      "the same",                    "the same"),
        ("fsopen",            Always,                      "filesystems",                 "each driver parses what the caller wrote"),
        ("fsconfig",          Always,                      "the same",                    "CVE-2022-0185 was here"),
        ("fsmount",           Always,                      "the same",                    "the same"),
        ("fspick",            Always,                      "the same",                    "the same"),
        ("fanotify_init",     Always,                      "who opens which file",        "watches whole filesystems"),
        ("quotactl",          Always,                      "disk quotas",                 "the disk is the host's"),
        ("quotactl_fd",       Always,                      "the same",                    "the same"),
        ("lookup_dcookie",    Always,                      "paths by number",             "for a profiler of the whole machine"),
        ("lsm_get_self_attr", Always,                      "labels of AppArmor, SELinux", "the host sets them, and nobody else"),
        ("lsm_set_self_attr", Always,                      "the same",                    "the same"),
        ("lsm_list_modules",  Always,                      "the same",                    "the same"),
        ("sethostname",       Always,                      "the hostname",                "the runtime has set it"),
        ("setdomainname",     Always,                      "the NIS domain",              "the same"),
    ] },
    Group { capability: Some(CapabilitySet::BPF), calls: &[
        ("bpf", Always, "programs in the kernel", "the kernel's proof that they are safe was wrong before"),
    ] },
    Group { capability: Some(CapabilitySet::PERFMON), calls: &[
        ("perf_event_open", Always, "the processor's counters", "much code, and a clock for side channels"),
    ] },
    Group { capability: Some(CapabilitySet::SYSLOG), calls: &[
        ("syslog", Always, "the kernel's log", "one for all, with the kernel's addresses in it"),
    ] },
    Group { capability: Some(CapabilitySet::DAC_READ_SEARCH), calls: &[
        ("open_by_handle_at", Always, "files by number", "no root directory confines it: so \"shocker\" left docker"),
    ] },
    Group { capability: Some(CapabilitySet::SYS_PTRACE), calls: &[
        ("kcmp",            Always, "what two processes share",     "for a debugger"),
        ("pidfd_getfd",     Always, "another process's open files", "the same"),
        ("process_madvise", Always, "another process's memory",     "the same"),
    ] },
    Group { capability: Some(CapabilitySet::SYS_NICE), calls: &[
        ("mbind",                   Always, "memory near a processor", "shows the machine; faster, but never needed"),
        ("get_mempolicy",           Always, "the same",                "the same"),
        ("set_mempolicy",           Always, "the same",                "the same"),
        ("set_mempolicy_home_node", Always, "the same",                "the same"),
    ] },
    Group { capability: Some(CapabilitySet::SYS_TIME), calls: &[
        ("clock_settime", Always, "the clock", "one for all"),
        ("settimeofday",  Always, "the same",  "the same"),
    ] },
    Group { capability: Some(CapabilitySet::SYS_MODULE), calls: &[
        ("init_module",   Always, "code for the kernel", "whoever loads a module owns the machine"),
        ("finit_module",  Always, "the same",            "the same"),
        ("delete_module", Always, "the same",            "takes a driver away from everybody"),
    ] },
    Group { capability: Some(CapabilitySet::SYS_BOOT), calls: &[
        ("reboot", Always, "a reboot", "that of the machine; a container ends with exit"),
    ] },
    Group { capability: Some(CapabilitySet::SYS_CHROOT), calls: &[
        ("chroot", Always, "another root", "in step 01, the second one led out"),
    ] },
    Group { capability: Some(CapabilitySet::SYS_PACCT), calls: &[
        ("acct", Always, "a log of all that ran", "it is the machine's"),
    ] },
    Group { capability: Some(CapabilitySet::SYS_RAWIO), calls: &[
        ("iopl",   Always, "a device's ports", "goes around every driver"),
        ("ioperm", Always, "the same",         "the same"),
    ] },
    Group { capability: Some(CapabilitySet::SYS_TTY_CONFIG), calls: &[
        ("vhangup", Always, "hanging up a terminal", "for getty, on a real one"),
    ] },
];

/// Calls that are newer than the tables of the library, of which the newest need
/// a newer Rust than Debian has. By now all architectures number them alike.
const NEWER: [(&str, u32); 8] = [
    ("mseal", 462),
    ("setxattrat", 463),
    ("getxattrat", 464),
    ("listxattrat", 465),
    ("removexattrat", 466),
    ("open_tree_attr", 467),
    ("file_getattr", 468),
    ("file_setattr", 469),
];

/// Every call of this architecture that we know: its name, and its number. (The
/// library's own iterator leaves the last one out.)
pub fn all_calls() -> impl Iterator<Item = (&'static str, u32)> {
    let calls = (0..=Sysno::last().id() as usize).filter_map(Sysno::new);
    calls.map(|call| (call.name(), call.id() as u32)).chain(NEWER)
}

/// The number of a call, if this architecture has it, and we know it.
#[must_use]
pub fn number(name: &str) -> Option<u32> {
    let newer = || NEWER.into_iter().find(|(newer, _)| *newer == name);
    match name.parse::<Sysno>() {
        Ok(call) => Some(call.id() as u32),
        Err(_) => newer().map(|(_, number)| number),
    }
}

/// What becomes of each call, if root inside keeps these capabilities.
#[must_use]
pub fn filter(kept: CapabilitySet) -> Filter {
    let always = |action| vec![Rule { conditions: vec![], action }];
    let mut calls: BTreeMap<u32, Vec<Rule>> = all_calls()
        .map(|(_, number)| (number, always(Action::Allow)))
        .collect();
    let unknown = Action::Errno(libc::ENOSYS as u16);
    for Group { capability, calls: refused } in &REFUSED {
        if capability.is_some_and(|it| kept.contains(it)) {
            continue;
        }
        for (name, when, ..) in *refused {
            // No architecture has all of them.
            if let Some(number) = number(name) {
                calls.insert(number, rules(*when));
            }
        }
    }
    Filter { calls, otherwise: unknown }
}

fn rules(when: When) -> Vec<Rule> {
    let refuse = Action::Errno(libc::EPERM as u16);
    let always = |action| Rule { conditions: vec![], action };
    let (argument, mask, values, then, action) = match when {
        Always => return vec![always(refuse)],
        Unknown => return vec![always(Action::Errno(libc::ENOSYS as u16))],
        If(argument, mask, values) => {
            (argument, mask, values, refuse, Action::Allow)
        }
        Unless(argument, mask, values) => {
            (argument, mask, values, Action::Allow, refuse)
        }
    };
    let one = |value: &u32| Rule {
        conditions: vec![Condition {
            argument,
            test: Test::Masked(mask.into()),
            value: (*value).into(),
        }],
        action: then,
    };
    values.iter().map(one).chain([always(action)]).collect()
}
