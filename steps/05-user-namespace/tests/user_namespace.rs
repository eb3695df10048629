#![forbid(unsafe_code)]
//! Claims of step 05, judged from outside.

use testbed::{Step, proc};

testbed::main!(a_user_namespace_is_new);

fn a_user_namespace_is_new() {
    let container = Step::new("05-user-namespace").start_waiting();
    assert_ne!(
        proc::namespace(container.pid(), "user"),
        proc::own_namespace("user")
    );
}
