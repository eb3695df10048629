#![forbid(unsafe_code)]
//! Claims of step 06, judged from outside.

use testbed::{Step, needs, proc};

testbed::main!(a_cgroup_namespace_is_new);

fn a_cgroup_namespace_is_new() {
    needs::root();
    let container = Step::new("06-cgroups").start_waiting();
    assert_ne!(
        proc::namespace(container.pid(), "cgroup"),
        proc::own_namespace("cgroup")
    );
}
