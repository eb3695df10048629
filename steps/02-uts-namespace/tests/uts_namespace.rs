#![forbid(unsafe_code)]
//! Claims of step 02, judged from outside.

use std::fs;
use std::process::Command;

use testbed::{Step, needs, proc, token};

testbed::main!(
    the_host_keeps_its_name,
    the_name_is_container_unless_told,
    uts_and_ipc_namespaces_are_new_and_no_others,
    message_queues_of_the_host_are_not_seen,
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

fn the_name_is_container_unless_told() {
    needs::root();
    let told = Step::new("02-uts-namespace").args(["hostname"]).stdout();
    assert_eq!(told, "container");
}

/// The host is an IPC namespace of our own, with a queue in it.
fn message_queues_of_the_host_are_not_seen() {
    needs::root();
    needs::command("ipcmk");
    let script = r#"exec unshare --ipc bash -c '
        ipcmk --queue >/dev/null && exec "$@"' bash "$@""#;
    let queues = |step| {
        let waiting = Step::new(step).sh("echo ready; read line");
        let mut container = waiting.in_shell(script).start();
        assert_eq!(container.line(), "ready");
        let namespace = format!("--ipc=/proc/{}/ns/ipc", container.pid());
        let mut list = Command::new("nsenter");
        let list = list.args([&namespace, "ipcs", "-q"]).output();
        let list = list.expect("nsenter").stdout;
        let list = String::from_utf8_lossy(&list).into_owned();
        assert!(list.contains("msqid"), "{list}");
        list.lines().filter(|line| line.starts_with("0x")).count()
    };
    assert_eq!(queues("01-chroot"), 1, "step 01 sees it");
    assert_eq!(queues("02-uts-namespace"), 0);
}
