#![forbid(unsafe_code)]
//! Every attack, tried below the step that stops it and from there on. It has
//! to work below: what never worked was not stopped. `attack-matrix` tries them
//! and looks from outside; here it has to find everything as expected.

mod beside;
mod matrix;
mod program;

use beside::*;
use matrix::*;
use program::*;

testbed::main!(
    every_attack_is_listed_with_what_stops_it,
    a_command_line_that_is_wrong_is_no_verdict,
    a_fact_that_only_the_host_knows_is_asked_for,
    every_attack_has_a_proof,
    the_matrix_for_slides_is_that_of_today,
    a_wall_that_lacks_is_told,
    a_wall_that_comes_too_early_is_told,
    a_leaked_directory_leads_out,
    a_leaked_working_directory_leads_out,
    the_hosts_terminal_is_typed_into,
    a_host_file_is_read_by_its_path,
    the_host_is_renamed,
    a_shared_memory_segment_is_found,
    a_queue_is_posted_to,
    a_host_process_is_killed,
    a_host_process_is_traced,
    a_host_process_is_entered,
    a_proc_of_ones_own_leads_out,
    a_straggler_outlives_its_container,
    zombies_pile_up,
    sigterm_is_ignored,
    a_chroot_is_left_by_a_second_one,
    the_old_root_is_found,
    a_link_in_the_root_directory_is_followed,
    a_mount_shows_on_the_host,
    a_read_only_volume_is_written,
    a_mount_that_the_host_made_read_only_is_remounted,
    a_read_only_volume_is_remounted,
    a_file_belongs_to_the_hosts_root,
    the_hosts_disk_is_read,
    the_hosts_kernel_log_is_read,
    a_kernel_parameter_is_opened,
    what_a_crash_does_is_said,
    the_kernels_keyboard_is_pressed,
    the_clock_is_put_forward,
    memory_is_swapped_to_a_file_of_the_containers,
    another_kernel_is_laid_ready,
    a_module_is_loaded,
    a_group_is_left_to_gain_access,
    the_runtime_is_overwritten,
    memory_is_hogged,
    a_fork_bomb_goes_off,
    a_processor_is_hogged,
    the_hosts_cgroup_tree_is_seen,
    the_next_containers_shell_is_replaced,
    a_shared_layer_is_written,
    a_service_on_the_hosts_loopback_answers,
    an_abstract_socket_of_the_host_answers,
    a_port_of_the_host_is_taken,
    a_service_answers_on_the_bridge,
    the_hosts_proc_in_the_root_directory_leads_out,
    one_rule_and_nothing_else_closes_the_bridge,
    a_read_only_root_is_written_nowhere,
    a_fork_bomb_without_an_end_ends_at_the_limit,
);
