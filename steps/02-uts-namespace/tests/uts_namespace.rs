#![forbid(unsafe_code)]
//! Claims of step 02, judged from outside.

use std::fs;

use testbed::{Step, needs, proc, token};

testbed::main!(
    the_host_keeps_its_name,
    uts_and_ipc_namespaces_are_new_and_no_others,
);

fn the_host_keeps_its_name() {
    needs::root();
    let host =
        || fs::read_to_string("/proc/sys/kernel/hostname").expect("read");
    let (before, name) = (host(), token());
    let step = Step::new("02-uts-namespace").args(["--hostname", &name]);
    let mut container = step
        .sh("hostname; read line; hostname $line; hostname; read line")
        .start();
    assert_eq!(container.line(), name);
    let renamed = token();
    container.say(&renamed);
    assert_eq!(container.line(), renamed);
    assert_eq!(host(), before);
}

fn uts_and_ipc_namespaces_are_new_and_no_others() {
    needs::root();
    let container = Step::new("02-uts-namespace").start_waiting();
    for kind in ["uts", "ipc"] {
        assert_ne!(
            proc::namespace(container.pid(), kind),
            proc::own_namespace(kind)
        );
    }
    for kind in ["pid", "mnt", "net", "user", "cgroup"] {
        assert_eq!(
            proc::namespace(container.pid(), kind),
            proc::own_namespace(kind)
        );
    }
}
