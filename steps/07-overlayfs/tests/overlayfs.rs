#![forbid(unsafe_code)]
//! Claims of step 07, judged from outside.

use testbed::{Step, needs, proc};

testbed::main!(the_root_is_an_overlay);

fn the_root_is_an_overlay() {
    needs::root();
    let container = Step::new("07-overlayfs").start_waiting();
    assert_ne!(
        proc::namespace(container.pid(), "cgroup"),
        proc::own_namespace("cgroup")
    );
}
