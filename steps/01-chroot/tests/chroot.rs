#![forbid(unsafe_code)]
//! Claims of step 01, judged from outside.

use std::fs;

use testbed::{Step, copy_default_root, needs, proc, token};

testbed::main!(
    the_root_is_the_directory_that_was_named,
    a_file_of_the_host_has_no_name_inside,
    the_working_directory_is_inside,
    no_namespace_is_new,
);

const NAMESPACES: [&str; 7] =
    ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];

fn the_root_is_the_directory_that_was_named() {
    needs::root();
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join(token());
    copy_default_root(&root);
    let (name, word) = (token(), token());
    fs::write(root.join(&name), &word).expect("write");
    let step = || Step::new("01-chroot").arg("--rootfs", &root);
    assert_eq!(step().args(["cat", &format!("/{name}")]).stdout(), word);
    let container = step().start_waiting();
    let link = fs::read_link(format!("/proc/{}/root", container.pid()));
    assert_eq!(link.expect("its root"), root);
}

fn a_file_of_the_host_has_no_name_inside() {
    needs::root();
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("a name");
    let script = format!("cat {path} || cat ../../../../..{path}");
    let output = Step::new("01-chroot").sh(&script).output();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

/// From outside, `..` would lead to the host's root, step by step.
fn the_working_directory_is_inside() {
    needs::root();
    let container = Step::new("01-chroot").start_waiting();
    let link = |name| {
        let link = fs::read_link(format!("/proc/{}/{name}", container.pid()));
        link.expect("a link")
    };
    assert_eq!(link("cwd"), link("root"));
    let inside = "cd ../../../..; pwd; test . -ef /";
    assert_eq!(Step::new("01-chroot").sh(inside).stdout(), "/");
}

fn no_namespace_is_new() {
    needs::root();
    let container = Step::new("01-chroot").start_waiting();
    for kind in NAMESPACES {
        let inside = proc::namespace(container.pid(), kind);
        assert_eq!(inside, proc::own_namespace(kind));
    }
}
