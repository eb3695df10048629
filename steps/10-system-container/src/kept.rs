//! What root of a whole machine keeps, what it has no use for, and what of step
//! 09 it gets back.

use least_privilege::KEPT;
use rustix::thread::CapabilitySet as Set;

/// What it does without: all of these are about the one kernel, and count for
/// nothing in a user namespace. Without them, the code behind is out of reach.
pub const DROPPED: [(Set, &str); 11] = [
    (Set::SYS_MODULE, "load code into the kernel"),
    (Set::SYS_RAWIO, "reach ports and memory of devices"),
    (Set::SYS_TIME, "set the one clock of the machine"),
    (Set::SYSLOG, "read the kernel's log"),
    (Set::AUDIT_CONTROL, "steer the kernel's audit"),
    (Set::AUDIT_READ, "read the kernel's audit"),
    (Set::AUDIT_WRITE, "write into the kernel's audit"),
    (Set::MAC_ADMIN, "change the policy of a security module"),
    (Set::MAC_OVERRIDE, "pass by a security module"),
    (Set::WAKE_ALARM, "wake the machine up"),
    (Set::BLOCK_SUSPEND, "keep the machine awake"),
];

/// A wall that stands instead.
const USERS: &str = "the user namespace: it counts for what is its own";
const KERNEL: &str = "the user namespace: the kernel asks for it outside";

/// What it gets back of step 09, what for, and which wall holds instead.
pub const GIVEN_BACK: [(Set, &str, &str); 19] = [
    (Set::SYS_ADMIN, "mounts, and namespaces for services", USERS),
    (
        Set::NET_ADMIN,
        "addresses, routes and rules",
        "the network namespace; on a bridge, a neighbour can be deceived",
    ),
    (
        Set::NET_RAW,
        "DHCP, ping",
        "the network namespace; the false bank of step 09 is back",
    ),
    (Set::NET_BROADCAST, "nothing uses it today", USERS),
    (
        Set::SYS_BOOT,
        "poweroff, reboot",
        "the PID namespace: reboot(2) ends its PID 1, and no machine",
    ),
    (
        Set::SYS_PTRACE,
        "debug services, read their /proc",
        "the PID namespace: nobody else's process has a number",
    ),
    (Set::MKNOD, "an init tries", "the user namespace: EPERM all the same"),
    (
        Set::SYS_RESOURCE,
        "limits of services",
        "the cgroup above, and hard limits of the user outside",
    ),
    (Set::SYS_NICE, "priorities of services", KERNEL),
    (Set::IPC_LOCK, "keep secrets out of swap", KERNEL),
    (
        Set::IPC_OWNER,
        "clear up shared memory",
        "the IPC namespace: there is none but its own",
    ),
    (Set::DAC_READ_SEARCH, "backups; find files", USERS),
    (Set::LINUX_IMMUTABLE, "chattr +i", KERNEL),
    (Set::LEASE, "file servers", USERS),
    (Set::SYS_PACCT, "accounting of processes", KERNEL),
    (Set::SYS_TTY_CONFIG, "hang up a terminal for a login", KERNEL),
    (Set::PERFMON, "measure", KERNEL),
    (Set::BPF, "filters for services", KERNEL),
    (Set::CHECKPOINT_RESTORE, "choose process ids", USERS),
];

/// What is no capability: what 09 does, what 10 does, and which wall holds.
const OTHERS: [(&str, &str, &str, &str); 5] = [
    (
        "no_new_privs",
        "set",
        "not set: `su` and `ping` have rights of their own",
        "whatever a program gets, it gets inside",
    ),
    (
        "seccomp",
        "a filter",
        "none: an init mounts and makes namespaces",
        "no other: the whole kernel can be reached",
    ),
    (
        "covers over /proc",
        "masked, read-only",
        "none: a container in it could have no fresh /proc",
        "permissions: on the host, root inside is nobody",
    ),
    (
        "the cgroup",
        "read-only",
        "to be written, from the part below the limits on",
        "the limits are those of the cgroup above, which it can't see",
    ),
    ("session keyring", "its own", "its own", "the same"),
];

/// All but those that it does without.
#[must_use]
pub fn kept() -> Set {
    let dropped = DROPPED.iter().map(|(capability, _)| *capability);
    Set::all() - dropped.collect::<Set>()
}

/// The table of the lesson: what 09 takes, and 10 gives back.
#[must_use]
pub fn beside_09() -> String {
    let name = |set: &Set| {
        let name = set.iter_names().next().map_or("", |(name, _)| name);
        format!("`{name}`")
    };
    let mut table = "| | step 09 | step 10 | what holds instead |\n\
                     |---|---|---|---|\n"
        .to_owned();
    for (what, before, now, wall) in OTHERS {
        table += &format!("| {what} | {before} | {now} | {wall} |\n");
    }
    for (set, what, wall) in GIVEN_BACK {
        table +=
            &format!("| {} | dropped | kept: {what} | {wall} |\n", name(&set));
    }
    let both = KEPT.iter().map(|(set, _)| name(set)).collect::<Vec<_>>();
    table += &format!("| {} | kept | kept | the same |\n", both.join(" "));
    let gone = DROPPED.iter().map(|(set, _)| name(set)).collect::<Vec<_>>();
    table
        + &format!(
            "| {} | dropped | dropped | the kernel asks for them outside |\n",
            gone.join(" ")
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_capability_stands_in_one_list() {
        let lists = KEPT.iter().map(|(set, _)| set);
        let lists = lists.chain(DROPPED.iter().map(|(set, _)| set));
        let lists = lists.chain(GIVEN_BACK.iter().map(|(set, ..)| set));
        let mut seen = Set::empty();
        for set in lists {
            assert!(!seen.intersects(*set), "{set:?} twice");
            seen |= *set;
        }
        let all = Set::all().iter_names().map(|(_, set)| set);
        assert_eq!(seen, all.collect());
    }
}
