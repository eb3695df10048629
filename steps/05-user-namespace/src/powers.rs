//! What a process may do here, and why a machine lets it do nothing.

use std::fs;
use std::path::Path;

use runtime::other_process::{is_confined, status};

/// Whether we have `CAP_SYS_ADMIN`, which is bit 21: to mount, say.
#[must_use]
pub fn may_administer() -> bool {
    let mask = status("self", "CapEff").unwrap_or_default();
    u64::from_str_radix(&mask, 16).is_ok_and(|mask| mask >> 21 & 1 == 1)
}

/// Whether we are where every id there is exists.
#[must_use]
pub fn is_the_first() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Why there is no user namespace to be had, or none in which root may do
/// anything; and, in further lines, what to do.
#[must_use]
pub fn why_there_is_none() -> &'static str {
    let is = |(file, value, _): &&(&str, &str, &str)| {
        let now = fs::read_to_string(Path::new("/proc/sys").join(file));
        now.is_ok_and(|now| now.trim() == *value)
    };
    let switch = SWITCHES.iter().find(is).map(|(.., why)| *why);
    match switch {
        _ if is_in_a_container() => CONTAINER,
        Some(why) => why,
        None if is_confined() => CONFINED,
        None => KERNEL,
    }
}

/// A switch of the machine, how it stands, and what that means.
const SWITCHES: [(&str, &str, &str); 3] = [
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor takes all rights away in an ordinary user's user namespace.
(Ubuntu since 23.10: kernel.apparmor_restrict_unprivileged_userns = 1)
Until the next boot: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0
Or start it as root, with sudo.",
    ),
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "ordinary users may not make user namespaces here.
(Debian's switch: kernel.unprivileged_userns_clone = 0)
Until the next boot: sudo sysctl kernel.unprivileged_userns_clone=1
Or start it as root, with sudo.",
    ),
    (
        "user/max_user_namespaces",
        "0",
        "the number of user namespaces is limited to zero.
Until the next boot: sudo sysctl user.max_user_namespaces=10000",
    ),
];

const CONTAINER: &str = "refused, since this is a container.
Its seccomp filter and its masked /proc forbid new namespaces.
Start it with: docker run --privileged ...";

const CONFINED: &str =
    "AppArmor's profile for this program grants no user namespace with rights.
Its name: cat /proc/self/attr/current. To turn it off: sudo aa-disable NAME";

const KERNEL: &str = "the kernel refused.
Are user namespaces built in? ls /proc/self/ns/user
Does a sandbox around this shell filter system calls? grep Seccomp: /proc/self/status";

fn is_in_a_container() -> bool {
    let marks = ["/.dockerenv", "/run/.containerenv"];
    marks.iter().any(|mark| Path::new(mark).exists())
        && status("self", "Seccomp").is_some_and(|mode| mode != "0")
}
