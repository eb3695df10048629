#![forbid(unsafe_code)]
//! Every attack, tried below the step that stops it and from there on. It has
//! to work below: what never worked was not stopped. The verdict is what the
//! host sees, and what the attack says of itself has to agree.

mod by_hand;
mod files;
mod ipc;
mod mounts;
mod places;
mod processes;
mod program;

use by_hand::*;
use files::*;
use ipc::*;
use mounts::*;
use processes::*;
use program::*;

testbed::main!(
    every_attack_is_listed_with_what_stops_it,
    a_command_line_that_is_wrong_is_no_verdict,
    a_fact_that_only_the_host_knows_is_asked_for,
    a_leaked_directory_leads_out_by_hand_and_in_no_step,
    a_working_directory_outside_leads_out_by_hand_and_in_no_step,
    the_hosts_terminal_is_typed_into_by_hand_and_in_no_step,
    a_host_file_is_read_by_its_path,
    the_host_is_renamed,
    a_shared_memory_segment_is_found,
    a_queue_is_posted_to,
    a_host_process_is_killed,
    a_host_process_is_traced,
    a_host_process_is_entered,
    a_proc_of_ones_own_leads_out,
    the_hosts_proc_in_the_root_directory_leads_out,
    a_straggler_outlives_the_command,
    a_straggler_outlives_a_killed_runtime,
    zombies_pile_up_without_an_init,
    sigterm_is_ignored_without_an_init,
    a_chroot_is_left_by_a_second_one,
    the_old_root_is_found_by_hand_and_not_after_umount,
    a_link_in_the_root_directory_is_not_followed,
    a_mount_shows_on_the_host,
    a_volume_is_written_unless_it_is_read_only,
    a_read_only_volume_is_remounted,
);
