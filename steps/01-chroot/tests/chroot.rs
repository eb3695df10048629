#![forbid(unsafe_code)]
//! Claims of step 01, judged from outside.

use testbed::{Step, needs};

testbed::main!(the_exit_status_is_the_commands);

fn the_exit_status_is_the_commands() {
    needs::root();
    assert_eq!(
        Step::new("01-chroot").sh("exit 7").output().status.code(),
        Some(7)
    );
}
