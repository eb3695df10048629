#![forbid(unsafe_code)]
//! What a container must not let through: one file for each attack.
//!
//! Each file holds the attack as data ([`Attack`]: what it tries, from which
//! step on it is stopped, by which rule of the kernel) and the few system calls
//! that it consists of. All of them are in [`ALL`].

mod again;
mod again_in_10;
mod attack;
mod cgroup;
mod door;
mod lab;
mod outside;
mod perl;
mod procfs;
mod service;

mod abstract_socket;
mod bind_port;
mod bridge_service;
mod core_pattern;
mod drop_group;
mod enter_host;
mod escape_chroot;
mod escape_proc;
mod find_shared_memory;
mod fork_bomb;
mod forward_packets;
mod hog_cpu;
mod hog_memory;
mod host_loopback;
mod ignore_term;
mod kexec;
mod kill_host;
mod leak_mount;
mod leaked_directory;
mod leaked_workdir;
mod leave_cgroup;
mod lift_limit;
mod link_out;
mod load_module;
mod map_outer_id;
mod mount_proc;
mod mount_tmpfs;
mod nest_as_root;
mod nest_as_user;
mod old_root;
mod outgrow_limit;
mod outlive;
mod overwrite_runtime;
mod own_as_root;
mod plant_key;
mod planted_node;
mod pose_as_neighbour;
mod post_to_queue;
mod raise_limit;
mod reach_af_alg;
mod reach_io_uring;
mod reach_perf;
mod reach_vsock;
mod read_disk;
mod read_host_file;
mod read_interrupts;
mod read_kernel_log;
mod read_keyring;
mod read_vmcoreinfo;
mod remount_locked;
mod remount_volume;
mod rename_host;
mod replace_shell;
mod run_capable;
mod run_setuid;
mod see_cgroup;
mod set_clock;
mod set_personality;
mod swapon;
mod sysrq;
mod trace_host;
mod type_into_terminal;
mod uncover;
mod write_layer;
mod write_sysctl;
mod write_volume;
mod zombies;

pub use again::role;
pub use attack::{Argument, Attack, Outcome, StoppedBy};
pub use lab::LAB_BOOT;

/// Every attack, in the order of the steps that stop them.
pub const ALL: &[Attack] = &[
    leaked_directory::ATTACK,
    leaked_workdir::ATTACK,
    type_into_terminal::ATTACK,
    read_host_file::ATTACK,
    rename_host::ATTACK,
    find_shared_memory::ATTACK,
    post_to_queue::ATTACK,
    kill_host::ATTACK,
    trace_host::ATTACK,
    enter_host::ATTACK,
    escape_proc::ATTACK,
    outlive::ATTACK,
    zombies::ATTACK,
    ignore_term::ATTACK,
    escape_chroot::ATTACK,
    old_root::ATTACK,
    link_out::ATTACK,
    leak_mount::ATTACK,
    write_volume::ATTACK,
    remount_locked::ATTACK,
    remount_volume::ATTACK,
    own_as_root::ATTACK,
    read_disk::ATTACK,
    read_kernel_log::ATTACK,
    write_sysctl::ATTACK,
    core_pattern::ATTACK,
    sysrq::ATTACK,
    set_clock::ATTACK,
    swapon::ATTACK,
    kexec::ATTACK,
    load_module::ATTACK,
    drop_group::ATTACK,
    overwrite_runtime::ATTACK,
    map_outer_id::ATTACK,
    hog_memory::ATTACK,
    fork_bomb::ATTACK,
    hog_cpu::ATTACK,
    see_cgroup::ATTACK,
    replace_shell::ATTACK,
    write_layer::ATTACK,
    host_loopback::ATTACK,
    abstract_socket::ATTACK,
    bind_port::ATTACK,
    bridge_service::ATTACK,
    read_keyring::ATTACK,
    plant_key::ATTACK,
    pose_as_neighbour::ATTACK,
    forward_packets::ATTACK,
    uncover::ATTACK,
    mount_tmpfs::ATTACK,
    mount_proc::ATTACK,
    lift_limit::ATTACK,
    nest_as_root::ATTACK,
    nest_as_user::ATTACK,
    run_setuid::ATTACK,
    run_capable::ATTACK,
    set_personality::ATTACK,
    reach_io_uring::ATTACK,
    reach_perf::ATTACK,
    reach_af_alg::ATTACK,
    reach_vsock::ATTACK,
    read_interrupts::ATTACK,
    read_vmcoreinfo::ATTACK,
    raise_limit::ATTACK,
    outgrow_limit::ATTACK,
    leave_cgroup::ATTACK,
    planted_node::ATTACK,
];

/// The attack of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Attack> {
    ALL.iter().find(|attack| attack.name == name)
}
