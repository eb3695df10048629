//! What `attack-matrix` measures is what is expected.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use attacks::ALL;
use testbed::{binary, checkout, needs, skip};

fn matrix(programs: Option<&Path>, arguments: &[&str]) -> Output {
    let program = binary("attack-matrix");
    let beside = program.parent().expect("a directory");
    Command::new(&program)
        .args(arguments)
        .env("WORKSHOP_BIN", programs.unwrap_or(beside))
        .stdin(Stdio::null())
        .output()
        .expect("start attack-matrix")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An attack on a whole machine is not, nor is one on what few kernels have.
fn can_be_tried_on_a_host(attack: &str) -> bool {
    let all = text(&matrix(None, &["--expected", "--json"]).stdout);
    let (_, its) = all
        .split_once(&format!("{{\"attack\": \"{attack}\""))
        .expect("this attack");
    let its = its.split("{\"attack\"").next().unwrap_or_default();
    attack != "reach-af-alg" && its.contains("\"lab_only\": false")
}

/// Skipped where no cell could be measured. An emulated processor measures the
/// two cells that another kernel could change: where it stops working.
fn proven(attack: &str) {
    if can_be_tried_on_a_host(attack) {
        needs::time();
    }
    let edge = needs::is_emulated().then_some("--edge");
    let arguments = ["--attack", attack].into_iter().chain(edge);
    let output = matrix(None, &arguments.collect::<Vec<_>>());
    let said = text(&output.stdout);
    match output.status.code() {
        Some(0) => {}
        Some(3) => {
            let reasons: Vec<_> = said
                .lines()
                .filter_map(|line| line.split_once(" not possible here: "))
                .map(|(_, reason)| reason)
                .collect();
            skip(reasons.join("; "));
        }
        _ => panic!("{said}{}", text(&output.stderr)),
    }
}

macro_rules! proven {
    ($($claim:ident: $attack:literal,)+) => {
        $(pub fn $claim() { proven($attack) })+

        const PROVEN: &[&str] = &[$($attack),+];
    };
}

// Below the step that stops it, and from there on no longer.
proven! {
    a_leaked_directory_leads_out: "leaked-directory",
    a_leaked_working_directory_leads_out: "leaked-workdir",
    the_hosts_terminal_is_typed_into: "type-into-terminal",
    a_host_file_is_read_by_its_path: "read-host-file",
    the_host_is_renamed: "rename-host",
    a_shared_memory_segment_is_found: "find-shared-memory",
    a_queue_is_posted_to: "post-to-queue",
    a_host_process_is_killed: "kill-host",
    a_host_process_is_traced: "trace-host",
    a_host_process_is_entered: "enter-host",
    a_proc_of_ones_own_leads_out: "escape-proc",
    a_straggler_outlives_its_container: "outlive",
    zombies_pile_up: "zombies",
    sigterm_is_ignored: "ignore-term",
    a_chroot_is_left_by_a_second_one: "escape-chroot",
    the_old_root_is_found: "old-root",
    a_link_in_the_root_directory_is_followed: "link-out",
    a_mount_shows_on_the_host: "leak-mount",
    a_read_only_volume_is_written: "write-volume",
    a_mount_that_the_host_made_read_only_is_remounted: "remount-locked",
    a_read_only_volume_is_remounted: "remount-volume",
    a_file_belongs_to_the_hosts_root: "own-as-root",
    the_hosts_disk_is_read: "read-disk",
    the_hosts_kernel_log_is_read: "read-kernel-log",
    a_kernel_parameter_is_opened: "write-sysctl",
    what_a_crash_does_is_said: "core-pattern",
    the_kernels_keyboard_is_pressed: "sysrq",
    the_clock_is_put_forward: "set-clock",
    memory_is_swapped_to_a_file_of_the_containers: "swapon",
    another_kernel_is_laid_ready: "kexec",
    a_module_is_loaded: "load-module",
    a_group_is_left_to_gain_access: "drop-group",
    the_runtime_is_overwritten: "overwrite-runtime",
    an_id_of_the_host_is_mapped_inside: "map-outer-id",
    memory_is_hogged: "hog-memory",
    a_fork_bomb_goes_off: "fork-bomb",
    a_processor_is_hogged: "hog-cpu",
    the_hosts_cgroup_tree_is_seen: "see-cgroup",
    the_next_containers_shell_is_replaced: "replace-shell",
    a_shared_layer_is_written: "write-layer",
    a_service_on_the_hosts_loopback_answers: "host-loopback",
    an_abstract_socket_of_the_host_answers: "abstract-socket",
    a_port_of_the_host_is_taken: "bind-port",
    a_service_answers_on_the_bridge: "bridge-service",
    a_secret_is_read_in_the_hosts_session_keyring: "read-keyring",
    a_key_is_planted_in_the_hosts_session_keyring: "plant-key",
    the_neighbours_packets_are_read: "pose-as-neighbour",
    a_container_forwards_packets: "forward-packets",
    what_lies_over_a_secret_is_unmounted: "uncover",
    a_filesystem_is_mounted_inside: "mount-tmpfs",
    a_proc_without_covers_is_mounted: "mount-proc",
    a_limit_is_lifted_from_inside: "lift-limit",
    root_inside_makes_a_user_namespace: "nest-as-root",
    an_ordinary_user_inside_makes_a_user_namespace: "nest-as-user",
    a_setuid_program_makes_root: "run-setuid",
    a_file_gives_capabilities: "run-capable",
    programs_start_at_known_addresses: "set-personality",
    an_io_uring_is_set_up: "reach-io-uring",
    a_performance_counter_is_opened: "reach-perf",
    a_program_handles_its_own_page_faults: "reach-userfaultfd",
    a_socket_of_the_kernels_cryptography_is_opened: "reach-af-alg",
    a_socket_to_the_hypervisor_is_opened: "reach-vsock",
    proc_tells_of_the_machine: "read-interrupts",
    sys_tells_where_the_kernel_lies: "read-vmcoreinfo",
    the_limit_of_a_cgroup_to_divide_is_raised: "raise-limit",
    a_cgroup_inside_outgrows_the_limit: "outgrow-limit",
    the_containers_cgroup_is_left: "leave-cgroup",
    a_device_is_opened_by_a_node_in_a_volume: "planted-node",
}

/// So it is that wall which stops it, and nothing beside it: with the wall taken
/// away by its option, the attack works in step 09 as in the steps below.
pub fn a_wall_of_step_09_that_is_given_up_lets_its_attacks_through() {
    needs::time();
    let output = matrix(None, &["--given-back"]);
    match output.status.code() {
        Some(0) => {}
        Some(3) => skip(text(&output.stdout)),
        _ => panic!("{output:?}"),
    }
}

pub fn every_attack_has_a_proof() {
    let output = matrix(None, &["--expected"]);
    let said = text(&output.stdout);
    let all: Vec<_> = ALL.iter().map(|attack| attack.name).collect();
    let rows = said.lines().skip(1).take(all.len());
    let rows: Vec<_> =
        rows.filter_map(|row| row.split_whitespace().next()).collect();
    assert_eq!(rows, all);
    assert_eq!(PROVEN, all);
}

/// `LESSONS=overwrite` writes it.
pub fn the_matrix_for_slides_is_that_of_today() {
    let today = text(&matrix(None, &["--expected", "--json"]).stdout);
    let file = checkout().join("steps/attacks/matrix.json");
    if std::env::var_os("LESSONS").is_some_and(|value| value == "overwrite") {
        fs::write(&file, &today).expect("write matrix.json");
    }
    let there = fs::read_to_string(file).unwrap_or_default();
    assert!(
        there == today,
        "steps/attacks/matrix.json is stale: \
         LESSONS=overwrite cargo test -p attacks matrix_for_slides"
    );
}

/// A set of programs in which one step is really another one.
fn with_step_replaced(step: &str, by: &str, column: &str) -> Output {
    needs::disposable_host();
    needs::root();
    if std::env::var("PLAYGROUND_IDS").is_ok_and(|ids| ids == "1") {
        skip("there is one user id only: no /etc/subuid range");
    }
    let programs = tempfile::tempdir().expect("a directory");
    for program in ["01-chroot", "attack"] {
        symlink(binary(program), programs.path().join(program)).expect("link");
    }
    symlink(binary(by), programs.path().join(step)).expect("link");
    let only = ["--attack", "own-as-root", "--step", column];
    matrix(Some(programs.path()), &only)
}

pub fn a_wall_that_lacks_is_told() {
    let output =
        with_step_replaced("05-user-namespace", "04-mount-namespace", "05");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = "! own-as-root at 05: works, expected: stopped";
    assert!(text(&output.stdout).contains(told), "{output:?}");
}

pub fn a_wall_that_comes_too_early_is_told() {
    let output =
        with_step_replaced("04-mount-namespace", "05-user-namespace", "04");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = "! own-as-root at 04: stopped, expected: works";
    assert!(text(&output.stdout).contains(told), "{output:?}");
}
