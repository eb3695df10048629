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

/// A call; what it opens; why a program in a container does without it.
#[derive(Debug)]
pub struct Refused(
    pub &'static str,
    pub When,
    pub &'static str,
    pub &'static str,
);

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
pub const REFUSED: [Group; 15] = [
    Group {
        capability: None,
        calls: &[
            Refused("add_key", Always, "keys", "no namespace divides them"),
            Refused(
                "keyctl",
                Always,
                "keys",
                "reads those of the host's session",
            ),
            Refused(
                "request_key",
                Always,
                "keys",
                "starts a program of the host for it",
            ),
            Refused(
                "io_uring_setup",
                Always,
                "calls by a queue",
                "a filter sees none of them",
            ),
            Refused(
                "io_uring_enter",
                Always,
                "the same",
                "and the queue has had many holes",
            ),
            Refused("io_uring_register", Always, "the same", "the same"),
            Refused(
                "userfaultfd",
                Always,
                "page faults of one's own",
                "holds the kernel still in the middle of a race",
            ),
            Refused(
                "socket",
                If(0, u32::MAX, &[AF_ALG, AF_VSOCK]),
                "the kernel's ciphers; the hypervisor",
                "CVE-2026-31431; a network that no namespace divides",
            ),
            Refused(
                "personality",
                Unless(0, u32::MAX, PERSONALITIES),
                "old ways of memory",
                "switches off what makes an attack hard",
            ),
            Refused(
                "move_pages",
                Always,
                "where memory lies",
                "tells and moves that of others",
            ),
            Refused("migrate_pages", Always, "the same", "the same"),
            Refused(
                "kexec_load",
                Always,
                "another kernel",
                "for the machine, not for a program in it",
            ),
            Refused("kexec_file_load", Always, "the same", "the same"),
            Refused(
                "swapon",
                Always,
                "swap",
                "writes memory of all to a file of one",
            ),
            Refused("swapoff", Always, "the same", "the same"),
            Refused(
                "pivot_root",
                Always,
                "another root",
                "that is for the runtime, once",
            ),
            Refused(
                "listmount",
                Always,
                "mounts",
                "an easier /proc/self/mountinfo, little used",
            ),
            Refused("statmount", Always, "the same", "the same"),
            Refused(
                "nfsservctl",
                Always,
                "an NFS server",
                "gone from the kernel",
            ),
            Refused(
                "uselib",
                Always,
                "libraries of a.out",
                "old, and without a reader",
            ),
            Refused("ustat", Always, "old statfs", "the same"),
            Refused("sysfs", Always, "numbers of filesystems", "the same"),
            Refused(
                "_sysctl",
                Always,
                "settings",
                "gone; they are files in /proc/sys",
            ),
            Refused(
                "create_module",
                Always,
                "modules of Linux 2.4",
                "gone from the kernel",
            ),
            Refused("get_kernel_syms", Always, "the same", "the same"),
            Refused("query_module", Always, "the same", "the same"),
        ],
    },
    Group {
        capability: Some(CapabilitySet::SYS_ADMIN),
        calls: &[
            Refused(
                "unshare",
                Always,
                "new namespaces",
                "a new user namespace has every capability again",
            ),
            Refused(
                "clone",
                Unless(0, NAMESPACES, &[0]),
                "the same",
                "the same; fork and threads need none",
            ),
            Refused(
                "clone3",
                Unknown,
                "the same",
                "its flags lie behind a pointer: ENOSYS, and the C library takes clone",
            ),
            Refused(
                "setns",
                Always,
                "namespaces of others",
                "that is `docker exec`, from outside",
            ),
            Refused(
                "mount",
                Always,
                "mounts",
                "what is read-only or covered must stay so",
            ),
            Refused("umount2", Always, "the same", "takes a cover away"),
            Refused(
                "mount_setattr",
                Always,
                "the same",
                "read-only becomes writable",
            ),
            Refused(
                "move_mount",
                Always,
                "the same",
                "the new words for mount",
            ),
            Refused("open_tree", Always, "the same", "the same"),
            Refused("open_tree_attr", Always, "the same", "the same"),
            Refused(
                "fsopen",
                Always,
                "filesystems",
                "code for 50 kinds of disks, each a door",
            ),
            Refused("fsconfig", Always, "the same", "CVE-2022-0185 was here"),
            Refused("fsmount", Always, "the same", "the same"),
            Refused("fspick", Always, "the same", "the same"),
            Refused(
                "fanotify_init",
                Always,
                "who opens which file",
                "sees whole filesystems",
            ),
            Refused(
                "quotactl",
                Always,
                "quotas of a disk",
                "the disk is the host's",
            ),
            Refused("quotactl_fd", Always, "the same", "the same"),
            Refused(
                "lookup_dcookie",
                Always,
                "paths by number",
                "for a profiler of the whole machine",
            ),
            Refused(
                "lsm_get_self_attr",
                Always,
                "labels of AppArmor, SELinux",
                "they are the host's to set",
            ),
            Refused("lsm_set_self_attr", Always, "the same", "the same"),
            Refused("lsm_list_modules", Always, "the same", "the same"),
            Refused(
                "sethostname",
                Always,
                "the hostname",
                "the runtime has set it",
            ),
            Refused("setdomainname", Always, "the NIS domain", "the same"),
        ],
    },
    Group {
        capability: Some(CapabilitySet::BPF),
        calls: &[Refused(
            "bpf",
            Always,
            "programs in the kernel",
            "the kernel proves each one harmless, and has erred",
        )],
    },
    Group {
        capability: Some(CapabilitySet::PERFMON),
        calls: &[Refused(
            "perf_event_open",
            Always,
            "counters of the processor",
            "a large door, and a clock for side channels",
        )],
    },
    Group {
        capability: Some(CapabilitySet::SYSLOG),
        calls: &[Refused(
            "syslog",
            Always,
            "the kernel's log",
            "one for all, with addresses in it",
        )],
    },
    Group {
        capability: Some(CapabilitySet::DAC_READ_SEARCH),
        calls: &[Refused(
            "open_by_handle_at",
            Always,
            "files by number",
            "no root directory holds it: \"shocker\" left docker by it",
        )],
    },
    Group {
        capability: Some(CapabilitySet::SYS_PTRACE),
        calls: &[
            Refused(
                "kcmp",
                Always,
                "what two processes share",
                "for a debugger",
            ),
            Refused("pidfd_getfd", Always, "open files of others", "the same"),
            Refused("process_madvise", Always, "memory of others", "the same"),
        ],
    },
    Group {
        capability: Some(CapabilitySet::SYS_NICE),
        calls: &[
            Refused(
                "mbind",
                Always,
                "memory of which node",
                "databases ask for it; a hint, no need",
            ),
            Refused("get_mempolicy", Always, "the same", "the same"),
            Refused("set_mempolicy", Always, "the same", "the same"),
            Refused("set_mempolicy_home_node", Always, "the same", "the same"),
        ],
    },
    Group {
        capability: Some(CapabilitySet::SYS_TIME),
        calls: &[
            Refused("clock_settime", Always, "the clock", "one for all"),
            Refused("settimeofday", Always, "the same", "the same"),
        ],
    },
    Group {
        capability: Some(CapabilitySet::SYS_MODULE),
        calls: &[
            Refused(
                "init_module",
                Always,
                "code for the kernel",
                "whoever loads a module has the machine",
            ),
            Refused("finit_module", Always, "the same", "the same"),
            Refused("delete_module", Always, "the same", "the same"),
        ],
    },
    Group {
        capability: Some(CapabilitySet::SYS_BOOT),
        calls: &[Refused(
            "reboot",
            Always,
            "reboot",
            "the machine's; the container has exit",
        )],
    },
    Group {
        capability: Some(CapabilitySet::SYS_CHROOT),
        calls: &[Refused(
            "chroot",
            Always,
            "another root",
            "step 01 got out by a second one",
        )],
    },
    Group {
        capability: Some(CapabilitySet::SYS_PACCT),
        calls: &[Refused(
            "acct",
            Always,
            "a record of all programs",
            "the machine's",
        )],
    },
    Group {
        capability: Some(CapabilitySet::SYS_RAWIO),
        calls: &[
            Refused("iopl", Always, "devices by port", "past every driver"),
            Refused("ioperm", Always, "the same", "the same"),
        ],
    },
    Group {
        capability: Some(CapabilitySet::SYS_TTY_CONFIG),
        calls: &[Refused(
            "vhangup",
            Always,
            "hangs a terminal up",
            "for getty on a real one",
        )],
    },
];

/// What becomes of each call, for a root that keeps these capabilities.
#[must_use]
pub fn filter(kept: CapabilitySet) -> Filter {
    let always = |action| vec![Rule { conditions: vec![], action }];
    let mut calls: BTreeMap<u32, Vec<Rule>> = Sysno::iter()
        .map(|call| (call.id() as u32, always(Action::Allow)))
        .collect();
    let unknown = Action::Errno(libc::ENOSYS as u16);
    for Group { capability, calls: refused } in &REFUSED {
        if capability.is_some_and(|it| kept.contains(it)) {
            continue;
        }
        for Refused(name, when, ..) in *refused {
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
