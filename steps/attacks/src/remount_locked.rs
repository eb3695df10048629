//! Makes a volume writable that is mounted read-only *on the host*. The mount
//! came here from there: with a user namespace in between, the kernel has
//! locked its flags.

use crate::attack::{Attack, StoppedBy};
use crate::remount_volume;

pub const ATTACK: Attack = Attack {
    name: "remount-locked",
    tries: "remount a volume that is read-only on the host, and write",
    stopped: StoppedBy::Step(5),
    rule: "a mount from a more privileged namespace has its flags locked",
    source: "mount_namespaces(7), Restrictions on mount namespaces",
    arguments: remount_volume::ATTACK.arguments,
    run: remount_volume::run,
};
