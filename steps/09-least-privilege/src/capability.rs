//! Capabilities by name, and which of them root inside keeps.

use anyhow::Result;
use runtime::Failure;
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
};

use crate::near::near;

/// Which of root's powers root inside has.
#[derive(Debug, clap::Args)]
pub struct Capabilities {
    /// Take this capability away from root inside, or ALL
    #[arg(long, value_name = "NAME", value_parser = parse)]
    cap_drop: Vec<CapabilitySet>,

    /// Leave this capability to root inside, or ALL
    #[arg(long, value_name = "NAME", value_parser = parse)]
    cap_add: Vec<CapabilitySet>,

    /// What it keeps where nothing is asked for.
    #[arg(skip = standard())]
    standard: CapabilitySet,

    /// What somebody else has chosen for the command, set by set.
    #[arg(skip)]
    pub(crate) chosen: Option<Chosen>,
}

/// All sets of a process but the bounding set.
#[derive(Debug, Clone, Copy)]
pub struct Chosen {
    /// Permitted, effective, inheritable.
    pub sets: CapabilitySets,
    /// What an ordinary program keeps over an exec.
    pub ambient: CapabilitySet,
}

/// What root inside keeps by default, and which programs need it. It is podman's
/// list; docker's has `NET_RAW`, `MKNOD` and `AUDIT_WRITE` as well.
pub const KEPT: [(CapabilitySet, &str); 11] = [
    (CapabilitySet::CHOWN, "apt, tar: give files their owners"),
    (CapabilitySet::DAC_OVERRIDE, "root reads and writes everybody's files"),
    (CapabilitySet::FOWNER, "apt, rsync: change modes of others' files"),
    (CapabilitySet::FSETID, "chmod g+s for a group that root is not in"),
    (CapabilitySet::KILL, "an init: stop other users' services"),
    (CapabilitySet::NET_BIND_SERVICE, "a web server: listen on port 80"),
    (CapabilitySet::SETFCAP, "apt: unpack programs with capabilities"),
    (CapabilitySet::SETGID, "su, a web server: become www-data"),
    (CapabilitySet::SETPCAP, "a server: drop capabilities by itself"),
    (CapabilitySet::SETUID, "the same, for the user id"),
    (CapabilitySet::SYS_CHROOT, "sshd, postfix: lock themselves up"),
];

fn standard() -> CapabilitySet {
    KEPT.iter().map(|(capability, _)| *capability).collect()
}

impl Capabilities {
    /// Another list to begin with.
    #[must_use]
    pub fn beginning_with(self, standard: CapabilitySet) -> Capabilities {
        Capabilities { standard, ..self }
    }

    /// Exactly these, whoever the command's user is.
    #[must_use]
    pub fn chosen(bounding: CapabilitySet, chosen: Chosen) -> Capabilities {
        Capabilities {
            cap_drop: vec![],
            cap_add: vec![],
            standard: bounding,
            chosen: Some(chosen),
        }
    }

    /// What root inside keeps. As with docker, ALL counts first, wherever it
    /// stands: `--cap-add CHOWN --cap-drop ALL` leaves CHOWN.
    #[must_use]
    pub fn kept(&self) -> CapabilitySet {
        let union = |sets: &[CapabilitySet]| {
            sets.iter().copied().collect::<CapabilitySet>()
        };
        let all = CapabilitySet::all();
        let (added, dropped) = (union(&self.cap_add), union(&self.cap_drop));
        match (added == all, dropped == all) {
            (_, true) if added != all => added,
            (true, false) => all - dropped,
            (true, true) => all,
            _ => (self.standard - dropped) | added,
        }
    }
}

fn parse(name: &str) -> Result<CapabilitySet, String> {
    match name.to_uppercase().as_str() {
        "ALL" => Ok(CapabilitySet::all()),
        _ => find(name),
    }
}

/// `CHOWN` or `CAP_CHOWN`, in capitals or not.
///
/// # Errors
/// What to tell whoever wrote it, when there is none of this name.
pub fn find(name: &str) -> Result<CapabilitySet, String> {
    let upper = name.to_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    CapabilitySet::from_name(short).ok_or_else(|| {
        let known = CapabilitySet::all().iter_names().map(|(name, _)| name);
        let near = near(short, &known.collect::<Vec<_>>());
        format!("no capability is called {name:?}: {near}")
    })
}

/// All that a program can still have, including those without a name here.
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

/// setpriv(1) with an option that leaves these. A list is one long word, and a
/// terminal is narrow: so the shell puts it together, from words that can stand
/// in several lines.
#[must_use]
pub fn setpriv(option: &str, set: CapabilitySet) -> String {
    let kept = set.iter_names().map(|(name, _)| format!(" {name}"));
    let kept = kept.collect::<String>().to_lowercase();
    let list = match set {
        set if set == CapabilitySet::all() => "+all".into(),
        set if set.is_empty() => "-all".into(),
        _ => format!("-all$(printf ,+%s{kept})"),
    };
    format!("exec setpriv {option} {list} bash")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_and_dropped_is_as_with_docker() {
        let all = CapabilitySet::all();
        let (chown, raw) = (CapabilitySet::CHOWN, CapabilitySet::NET_RAW);
        let kept = |cap_drop, cap_add| {
            let standard = super::standard();
            Capabilities { cap_drop, cap_add, standard, chosen: None }.kept()
        };
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
