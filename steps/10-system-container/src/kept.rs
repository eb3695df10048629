//! What root of a whole machine keeps, and what it has no use for.

use rustix::thread::CapabilitySet;

/// What it does without: all of these are about the one kernel, and count for
/// nothing in a user namespace. Without them, the code behind is out of reach.
pub const DROPPED: [(CapabilitySet, &str); 11] = [
    (CapabilitySet::SYS_MODULE, "load code into the kernel"),
    (CapabilitySet::SYS_RAWIO, "reach ports and memory of devices"),
    (CapabilitySet::SYS_TIME, "set the one clock of the machine"),
    (CapabilitySet::SYSLOG, "read the kernel's log"),
    (CapabilitySet::AUDIT_CONTROL, "steer the kernel's audit"),
    (CapabilitySet::AUDIT_READ, "read the kernel's audit"),
    (CapabilitySet::AUDIT_WRITE, "write into the kernel's audit"),
    (CapabilitySet::MAC_ADMIN, "change the policy of a security module"),
    (CapabilitySet::MAC_OVERRIDE, "pass by a security module"),
    (CapabilitySet::WAKE_ALARM, "wake the machine up"),
    (CapabilitySet::BLOCK_SUSPEND, "keep the machine awake"),
];

/// All but those.
#[must_use]
pub fn kept() -> CapabilitySet {
    let dropped: CapabilitySet =
        DROPPED.iter().map(|(capability, _)| *capability).collect();
    CapabilitySet::all() - dropped
}
