//! Makes a read-only volume (`:ro`) writable again. That flag was set in the
//! container's own mount namespace: it is not locked, and root inside may take
//! it away. What stops this is to have no CAP_SYS_ADMIN, and no step does that
//! yet.

use crate::attack::{Attack, StoppedBy};
use crate::remount_volume;

pub const ATTACK: Attack = Attack {
    name: "remount-ro-volume",
    tries: "remount a read-only volume read-write (-v DIR:/mnt:ro)",
    stopped: StoppedBy::Later,
    rule: "mount(2) needs CAP_SYS_ADMIN, which root inside still has",
    source: "mount(2), capabilities(7)",
    arguments: remount_volume::ATTACK.arguments,
    run: remount_volume::run,
};
