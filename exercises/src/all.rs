//! The list of exercises. A new one is a directory, two lines here, and
//! nothing else.

use crate::Exercise;

#[path = "../01-chroot/chroot/check.rs"]
mod chroot;
#[path = "../01-chroot/chroot-hole/check.rs"]
mod chroot_hole;
#[path = "../04-mount-namespace/pivot-root/check.rs"]
mod pivot_root;

/// Every exercise, in the order in which they are offered.
pub const ALL: &[&Exercise] =
    &[&chroot::EXERCISE, &chroot_hole::EXERCISE, &pivot_root::EXERCISE];

/// The exercise of this name, or that had it once.
#[must_use]
pub fn find(name: &str) -> Option<&'static Exercise> {
    let is = |it: &&&Exercise| it.name == name || it.formerly.contains(&name);
    ALL.iter().find(is).copied()
}
