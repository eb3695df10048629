//! Step 01, and the holes that it leaves.

use testbed::needs;

use crate::places::{Mount, Place, Root, STEPS, Secret, judge_output, steps};

pub fn a_host_file_is_read_by_its_path() {
    needs::playground();
    let secret = Secret::new();
    for place in [Place::Host].into_iter().chain(steps()) {
        let output = place.attack("read-host-file", &[&secret.file]);
        let seen = secret.is_told_by(&output);
        judge_output("read-host-file", place, &output, seen);
    }
}

pub fn a_chroot_is_left_by_a_second_one() {
    needs::playground();
    let secret = Secret::new();
    for place in steps() {
        let output = place.attack("escape-chroot", &[&secret.file]);
        let seen = secret.is_told_by(&output);
        judge_output("escape-chroot", place, &output, seen);
    }
}

pub fn a_proc_of_ones_own_leads_out() {
    needs::playground();
    let secret = Secret::new();
    for place in steps() {
        let output = place.attack("escape-proc", &[&secret.file]);
        let seen = secret.is_told_by(&output);
        judge_output("escape-proc", place, &output, seen);
    }
}

/// A PID namespace does not help against a /proc that shows another one. Step
/// 04 covers it by its own.
pub fn the_hosts_proc_in_the_root_directory_leads_out() {
    needs::playground();
    let (secret, root) = (Secret::new(), Root::new());
    let _proc = Mount::bind("/proc", root.path().join("proc"));
    for number in 1..=STEPS.len() {
        let step = root.step(number, "escape-proc", &[&secret.file]);
        let output = step.output();
        assert_eq!(secret.is_told_by(&output), number < 4, "{output:?}");
        let status = i32::from(number >= 4);
        assert_eq!(output.status.code(), Some(status), "{output:?}");
    }
}
