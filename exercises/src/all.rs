//! The list of exercises. A new one is a directory, three lines here, and
//! nothing else.

use crate::Exercise;

#[path = "../01-chroot/chroot/check.rs"]
mod chroot;

#[path = "../01-chroot/chroot-hole/check.rs"]
mod chroot_hole;

#[path = "../01-chroot/break-out/check.rs"]
mod break_out;

#[path = "../02-uts-namespace/hostname/check.rs"]
mod hostname;

#[path = "../02-uts-namespace/two-namespaces/check.rs"]
mod two_namespaces;

#[path = "../03-pid-namespace/first-process/check.rs"]
mod first_process;

#[path = "../03-pid-namespace/reaper/check.rs"]
mod reaper;

#[path = "../03-pid-namespace/init/check.rs"]
mod init;

#[path = "../04-mount-namespace/private-mounts/check.rs"]
mod private_mounts;

#[path = "../04-mount-namespace/fresh-proc/check.rs"]
mod fresh_proc;

#[path = "../04-mount-namespace/pivot-root/check.rs"]
mod pivot_root;

#[path = "../05-user-namespace/one-id/check.rs"]
mod one_id;

#[path = "../05-user-namespace/denied-groups/check.rs"]
mod denied_groups;

#[path = "../05-user-namespace/id-range/check.rs"]
mod id_range;

#[path = "../06-cgroups/pids-limit/check.rs"]
mod pids_limit;

#[path = "../06-cgroups/too-late/check.rs"]
mod too_late;

#[path = "../06-cgroups/clean-end/check.rs"]
mod clean_end;

#[path = "../07-overlayfs/upper-layer/check.rs"]
mod upper_layer;

#[path = "../07-overlayfs/layer-order/check.rs"]
mod layer_order;

#[path = "../07-overlayfs/whiteout/check.rs"]
mod whiteout;

#[path = "../08-networking/loopback/check.rs"]
mod loopback;

#[path = "../08-networking/veth/check.rs"]
mod veth;

#[path = "../08-networking/nat/check.rs"]
mod nat;

#[path = "../08-networking/container/check.rs"]
mod container;

#[path = "../09-least-privilege/bounding-set/check.rs"]
mod bounding_set;

#[path = "../09-least-privilege/second-door/check.rs"]
mod second_door;

#[path = "../09-least-privilege/allow-list/check.rs"]
mod allow_list;

#[path = "../10-system-container/first-boot/check.rs"]
mod first_boot;

#[path = "../10-system-container/nested-ids/check.rs"]
mod nested_ids;

#[path = "../10-system-container/halt/check.rs"]
mod halt;

#[path = "../11-oci-runtime/config-json/check.rs"]
mod config_json;

#[path = "../11-oci-runtime/create/check.rs"]
mod create;

#[path = "../11-oci-runtime/three-tars/check.rs"]
mod three_tars;

/// Every exercise, in the order in which they are offered.
pub const ALL: &[&Exercise] = &[
    &chroot::EXERCISE,
    &chroot_hole::EXERCISE,
    &break_out::EXERCISE,
    &hostname::EXERCISE,
    &two_namespaces::EXERCISE,
    &first_process::EXERCISE,
    &reaper::EXERCISE,
    &init::EXERCISE,
    &private_mounts::EXERCISE,
    &fresh_proc::EXERCISE,
    &pivot_root::EXERCISE,
    &one_id::EXERCISE,
    &denied_groups::EXERCISE,
    &id_range::EXERCISE,
    &pids_limit::EXERCISE,
    &too_late::EXERCISE,
    &clean_end::EXERCISE,
    &upper_layer::EXERCISE,
    &layer_order::EXERCISE,
    &whiteout::EXERCISE,
    &loopback::EXERCISE,
    &veth::EXERCISE,
    &nat::EXERCISE,
    &container::EXERCISE,
    &bounding_set::EXERCISE,
    &second_door::EXERCISE,
    &allow_list::EXERCISE,
    &first_boot::EXERCISE,
    &nested_ids::EXERCISE,
    &halt::EXERCISE,
    &config_json::EXERCISE,
    &create::EXERCISE,
    &three_tars::EXERCISE,
];

/// The exercise of this name, or that had it once.
#[must_use]
pub fn find(name: &str) -> Option<&'static Exercise> {
    let is = |it: &&&Exercise| it.name == name || it.formerly.contains(&name);
    ALL.iter().find(is).copied()
}
