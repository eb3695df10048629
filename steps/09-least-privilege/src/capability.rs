//! Capabilities by their names, and which of them root inside keeps.

use anyhow::Result;
use runtime::{Failure, shell};
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
};

use crate::near::near;

/// What of root's powers root inside has.
#[derive(Debug, clap::Args)]
pub struct Capabilities {
    /// Take this capability away from root inside, or ALL
    #[arg(long, value_name = "NAME", value_parser = parse)]
    cap_drop: Vec<CapabilitySet>,

    /// Leave this capability to root inside, or ALL
    #[arg(long, value_name = "NAME", value_parser = parse)]
    cap_add: Vec<CapabilitySet>,
}

/// What stays unless told otherwise, and for whom. It is what podman leaves;
/// docker leaves `NET_RAW`, `MKNOD` and `AUDIT_WRITE` as well.
pub const KEPT: [(CapabilitySet, &str); 11] = [
    (CapabilitySet::CHOWN, "apt, tar: files get their owners"),
    (CapabilitySet::DAC_OVERRIDE, "root reads and writes what is there"),
    (CapabilitySet::FOWNER, "apt, rsync: the mode of another user's file"),
    (CapabilitySet::FSETID, "a changed file keeps its setgid bit"),
    (CapabilitySet::KILL, "an init stops services of other users"),
    (CapabilitySet::NET_BIND_SERVICE, "a web server at port 80"),
    (CapabilitySet::SETFCAP, "apt: programs that come with capabilities"),
    (CapabilitySet::SETGID, "su, a server that becomes www-data"),
    (CapabilitySet::SETPCAP, "a server that drops capabilities itself"),
    (CapabilitySet::SETUID, "the same for users"),
    (CapabilitySet::SYS_CHROOT, "sshd, postfix: a directory as their root"),
];

impl Capabilities {
    /// What root inside keeps. As with docker, ALL comes first, whatever the
    /// order: `--cap-drop ALL --cap-add CHOWN` leaves one.
    #[must_use]
    pub fn kept(&self) -> CapabilitySet {
        let union = |sets: &[CapabilitySet]| {
            sets.iter().copied().collect::<CapabilitySet>()
        };
        let all = CapabilitySet::all();
        let (added, dropped) = (union(&self.cap_add), union(&self.cap_drop));
        let standard: CapabilitySet =
            KEPT.iter().map(|(capability, _)| *capability).collect();
        match (added == all, dropped == all) {
            (_, true) if added != all => added,
            (true, false) => all - dropped,
            (true, true) => all,
            _ => (standard - dropped) | added,
        }
    }
}

fn parse(name: &str) -> Result<CapabilitySet, String> {
    match name.to_uppercase().as_str() {
        "ALL" => Ok(CapabilitySet::all()),
        _ => find(name),
    }
}

/// `CHOWN` or `CAP_CHOWN`, in letters of any size.
///
/// # Errors
/// A text for whoever wrote it: there is none of this name.
pub fn find(name: &str) -> Result<CapabilitySet, String> {
    let upper = name.to_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    CapabilitySet::from_name(short).ok_or_else(|| {
        let known = CapabilitySet::all().iter_names().map(|(name, _)| name);
        let near = near(short, &known.collect::<Vec<_>>());
        format!("no capability is called {name:?}: {near}")
    })
}

/// All that a program can have, those that we have no name for as well.
///
/// # Errors
/// As prctl(2).
pub fn bounding_set() -> Result<CapabilitySet, Failure> {
    let mut all = CapabilitySet::empty();
    for number in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(one) {
            Ok(true) => all |= one,
            Ok(false) => {}
            Err(Errno::INVAL) => break,
            Err(errno) => {
                let call = format!("prctl(PR_CAPBSET_READ, {number})");
                return Err(Failure::of(call, errno));
            }
        }
    }
    Ok(all)
}

/// The sets of this process.
///
/// # Errors
/// As capget(2).
pub fn ours() -> Result<CapabilitySets, Failure> {
    capabilities(None).map_err(|errno| Failure::of("capget()", errno))
}

/// setpriv(1) that leaves a set as it shall be.
#[must_use]
pub fn setpriv(option: &str, set: CapabilitySet) -> String {
    let kept = set.iter_names().map(|(name, _)| format!(",+{name}"));
    let kept = kept.collect::<String>().to_lowercase();
    let all = if set == CapabilitySet::all() { "+all" } else { "-all" };
    let list = if all == "+all" { all.into() } else { format!("-all{kept}") };
    format!("exec {} bash", shell(["setpriv", option, &list]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_and_dropped_is_as_with_docker() {
        let all = CapabilitySet::all();
        let (chown, raw) = (CapabilitySet::CHOWN, CapabilitySet::NET_RAW);
        let kept =
            |cap_drop, cap_add| Capabilities { cap_drop, cap_add }.kept();
        let standard = kept(vec![], vec![]);
        assert!(standard.contains(chown) && !standard.contains(raw));
        assert_eq!(kept(vec![chown], vec![]), standard - chown);
        assert_eq!(kept(vec![], vec![raw]), standard | raw);
        assert_eq!(kept(vec![all], vec![]), CapabilitySet::empty());
        assert_eq!(kept(vec![all], vec![chown]), chown);
        assert_eq!(kept(vec![chown], vec![all]), all - chown);
        assert_eq!(kept(vec![all], vec![all]), all);
        assert_eq!(kept(vec![chown], vec![chown]), standard);
    }
}
