#![forbid(unsafe_code)]
//! Each exercise keeps its word: the start fails, the solution passes, and each
//! wrong answer gets the hint that is meant for it.
//!
//! The programs come from `exercise compile`, which ./scripts/test.sh runs once
//! for all environments. The first two of an exercise compile without a
//! warning.

mod hostile;
mod programs;
mod session;

use hostile::*;
use programs::*;
use session::*;

testbed::main!(
    every_exercise_is_proven,
    every_exercise_is_whole,
    every_hint_is_told_to_somebody,
    chroot,
    chroot_hole,
    break_out,
    hostname,
    two_namespaces,
    first_process,
    reaper,
    init,
    private_mounts,
    fresh_proc,
    pivot_root,
    one_id,
    denied_groups,
    id_range,
    pids_limit,
    too_late,
    clean_end,
    upper_layer,
    layer_order,
    whiteout,
    loopback,
    veth,
    nat,
    container,
    bounding_set,
    second_door,
    allow_list,
    first_boot,
    nested_ids,
    halt,
    config_json,
    create,
    three_tars,
    a_verdict_that_is_kept_names_no_mount_of_the_machine,
    // others
    a_program_that_hangs_is_stopped,
    a_fork_bomb_is_stopped,
    what_a_program_leaves_is_told,
    a_file_without_end_is_not_read,
    a_liar_passes_nowhere,
    a_learner_goes_from_start_to_pass,
    hints_and_solutions_are_counted,
    reset_keeps_what_was_there,
    a_copy_is_never_overwritten,
    what_is_wrong_is_no_verdict,
    one_wrong_solution_makes_all_of_them_fail,
    what_cannot_be_checked_here_is_told_with_a_way_out,
    a_task_is_shown_as_text,
    without_utf8_there_is_ascii_alone,
    each_save_is_checked,
    a_check_that_takes_long_moves,
);
