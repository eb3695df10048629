//! The system calls that are refused, one by one, and why.
//!
//! All that the table of this kernel's calls has is allowed, but for these. A
//! call that is newer than the table answers as on a kernel that does not have
//! it: what nobody has looked at yet is not allowed.
//!
//! A group with a capability is refused to whoever lacks it, which the kernel
//! does as well. It is refused here before any of the kernel's code for it
//! runs; and a new user namespace does not bring it back.

use std::collections::BTreeMap;

use nix::libc;
use rustix::thread::CapabilitySet;
use syscalls::Sysno;

use crate::filter::{Action, Condition, Filter, Rule, Test};

/// Calls that one capability brings back, or none does.
#[derive(Debug)]
pub struct Group {
    /// Whoever keeps it may make them: `--cap-add`.
    pub capability: Option<CapabilitySet>,
    /// What they are.
    pub calls: &'static [Refused],
}

/// A call; with which arguments it is refused; what it opens; and why a program
/// in a container does without it.
pub type Refused = (&'static str, When, &'static str, &'static str);

/// An argument that makes the difference: its number, which bits of it count,
/// and their values. The kernel looks at 32 bits of each of these: so do we,
/// or whoever sets one above them would go around the rule.
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
        ("add_key",           Always,                               "keys",                                 "no namespace divides them"),
        ("keyctl",            Always,                               "keys",                                 "reads those of the host's session"),
        ("request_key",       Always,                               "keys",                                 "starts a program of the host for it"),
        ("io_uring_setup",    Always,                               "calls by a queue",                     "a filter sees none of them"),
        ("io_uring_enter",    Always,                               "the same",                             "and the queue has had many holes"),
        ("io_uring_register", Always,                               "the same",                             "the same"),
        ("userfaultfd",       Always,                               "page faults of one's own",             "holds the kernel still in the middle of a race"),
        ("socket",            If(0, u32::MAX, &[AF_ALG, AF_VSOCK]), "the kernel's ciphers; the hypervisor", "CVE-2026-31431; a network that no namespace divides"),
        ("personality",       Unless(0, u32::MAX, PERSONALITIES),   "old ways of memory",                   "switches off what makes an attack hard"),
        ("move_pages",        Always,                               "where memory lies",                    "tells and moves that of others"),
        ("migrate_pages",     Always,                               "the same",                             "the same"),
        ("kexec_load",        Always,                               "another kernel",                       "for the machine, not for a program in it"),
        ("kexec_file_load",   Always,                               "the same",                             "the same"),
        ("swapon",            Always,                               "swap",                                 "writes memory of all to a file of one"),
        ("swapoff",           Always,                               "the same",                             "the same"),
        ("pivot_root",        Always,                               "another root",                         "that is for the runtime, once"),
        ("nfsservctl",        Always,                               "an NFS server",                        "gone from the kernel"),
        ("uselib",            Always,                               "libraries of a.out",                   "old, and without a reader"),
        ("ustat",             Always,                               "old statfs",                           "the same"),
        ("sysfs",             Always,                               "numbers of filesystems",               "the same"),
        ("_sysctl",           Always,                               "settings",                             "gone; they are files in /proc/sys"),
        ("create_module",     Always,                               "modules of Linux 2.4",                 "gone from the kernel"),
        ("get_kernel_syms",   Always,                               "the same",                             "the same"),
        ("query_module",      Always,                               "the same",                             "the same"),
    ] },
    Group { capability: Some(CapabilitySet::SYS_ADMIN), calls: &[
        ("unshare",           Always,                      "new namespaces",              "a new user namespace has every capability again"),
        ("clone",             Unless(0, NAMESPACES, &[0]), "the same",                    "the same; fork and threads need none"),
        ("clone3",            Unknown,                     "the same",                    "its flags lie behind a pointer: ENOSYS, and the C library takes clone"),
        ("setns",             Always,                      "namespaces of others",        "that is `docker exec`, from outside"),
        ("mount",             Always,                      "mounts",                      "what is read-only or covered must stay so"),
        ("umount2",           Always,                      "the same",                    "takes a cover away"),
        ("mount_setattr",     Always,                      "the same",                    "read-only becomes writable"),
        ("move_mount",        Always,                      "the same",                    "the new words for mount"),
        ("open_tree",         Always,                      "the same",                    "the same"),
        ("open_tree_attr",    Always,                      "the same",                    "the same"),
        ("fsopen",            Always,                      "filesystems",                 "code for 50 kinds of disks, each a door"),
        ("fsconfig",          Always,                      "the same",                    "CVE-2022-0185 was here"),
        ("fsmount",           Always,                      "the same",                    "the same"),
        ("fspick",            Always,                      "the same",                    "the same"),
        ("fanotify_init",     Always,                      "who opens which file",        "sees whole filesystems"),
        ("quotactl",          Always,                      "quotas of a disk",            "the disk is the host's"),
        ("quotactl_fd",       Always,                      "the same",                    "the same"),
        ("lookup_dcookie",    Always,                      "paths by number",             "for a profiler of the whole machine"),
        ("lsm_get_self_attr", Always,                      "labels of AppArmor, SELinux", "they are the host's to set"),
        ("lsm_set_self_attr", Always,                      "the same",                    "the same"),
        ("lsm_list_modules",  Always,                      "the same",                    "the same"),
        ("sethostname",       Always,                      "the hostname",                "the runtime has set it"),
        ("setdomainname",     Always,                      "the NIS domain",              "the same"),
    ] },
    Group { capability: Some(CapabilitySet::BPF), calls: &[
        ("bpf", Always, "programs in the kernel", "the kernel proves each one harmless, and has erred"),
    ] },
    Group { capability: Some(CapabilitySet::PERFMON), calls: &[
        ("perf_event_open", Always, "counters of the processor", "a large door, and a clock for side channels"),
    ] },
    Group { capability: Some(CapabilitySet::SYSLOG), calls: &[
        ("syslog", Always, "the kernel's log", "one for all, with addresses in it"),
    ] },
    Group { capability: Some(CapabilitySet::DAC_READ_SEARCH), calls: &[
        ("open_by_handle_at", Always, "files by number", "no root directory holds it: \"shocker\" left docker by it"),
    ] },
    Group { capability: Some(CapabilitySet::SYS_PTRACE), calls: &[
        ("kcmp",            Always, "what two processes share", "for a debugger"),
        ("pidfd_getfd",     Always, "open files of others",     "the same"),
        ("process_madvise", Always, "memory of others",         "the same"),
    ] },
    Group { capability: Some(CapabilitySet::SYS_NICE), calls: &[
        ("mbind",                   Always, "memory of which node", "databases ask for it; a hint, no need"),
        ("get_mempolicy",           Always, "the same",             "the same"),
        ("set_mempolicy",           Always, "the same",             "the same"),
        ("set_mempolicy_home_node", Always, "the same",             "the same"),
    ] },
    Group { capability: Some(CapabilitySet::SYS_TIME), calls: &[
        ("clock_settime", Always, "the clock", "one for all"),
        ("settimeofday",  Always, "the same",  "the same"),
    ] },
    Group { capability: Some(CapabilitySet::SYS_MODULE), calls: &[
        ("init_module",   Always, "code for the kernel", "whoever loads a module has the machine"),
        ("finit_module",  Always, "the same",            "the same"),
        ("delete_module", Always, "the same",            "the same"),
    ] },
    Group { capability: Some(CapabilitySet::SYS_BOOT), calls: &[
        ("reboot", Always, "reboot", "the machine's; the container has exit"),
    ] },
    Group { capability: Some(CapabilitySet::SYS_CHROOT), calls: &[
        ("chroot", Always, "another root", "step 01 got out by a second one"),
    ] },
    Group { capability: Some(CapabilitySet::SYS_PACCT), calls: &[
        ("acct", Always, "a record of all programs", "the machine's"),
    ] },
    Group { capability: Some(CapabilitySet::SYS_RAWIO), calls: &[
        ("iopl",   Always, "devices by port", "past every driver"),
        ("ioperm", Always, "the same",        "the same"),
    ] },
    Group { capability: Some(CapabilitySet::SYS_TTY_CONFIG), calls: &[
        ("vhangup", Always, "hangs a terminal up", "for getty on a real one"),
    ] },
];

/// Every call of this architecture that the table knows. (Its own iterator
/// leaves the last one out.)
pub fn all_calls() -> impl Iterator<Item = Sysno> {
    (0..=Sysno::last().id() as usize).filter_map(Sysno::new)
}

/// What becomes of each call, for a root that keeps these capabilities.
#[must_use]
pub fn filter(kept: CapabilitySet) -> Filter {
    let always = |action| vec![Rule { conditions: vec![], action }];
    let mut calls: BTreeMap<u32, Vec<Rule>> = all_calls()
        .map(|call| (call.id() as u32, always(Action::Allow)))
        .collect();
    let unknown = Action::Errno(libc::ENOSYS as u16);
    for Group { capability, calls: refused } in &REFUSED {
        if capability.is_some_and(|it| kept.contains(it)) {
            continue;
        }
        for (name, when, ..) in *refused {
            // An architecture has not all of them.
            if let Ok(call) = name.parse::<Sysno>() {
                calls.insert(call.id() as u32, rules(*when));
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
