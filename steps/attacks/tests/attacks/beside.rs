//! Variants of attacks that have no place in the matrix.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use testbed::{Step, needs, token};

/// A PID namespace does not help against a /proc that shows another one. Step
/// 04 covers it by its own.
pub fn the_hosts_proc_in_the_root_directory_leads_out() {
    needs::disposable_host();
    needs::root();
    let steps = ["01-chroot", "03-pid-namespace", "04-mount-namespace"];
    let secret = format!("/etc/{}", token());
    let content = token();
    fs::write(&secret, &content).expect("write a secret");
    let root = tempfile::tempdir().expect("a directory");
    testbed::copy_default_root(root.path());
    let proc = root.path().join("proc");
    let mount = |program: &str, arguments: &[&str]| {
        let done = Command::new(program).args(arguments).arg(&proc).status();
        assert!(done.expect("mount").success());
    };
    mount("mount", &["--bind", "/proc"]);
    let told = steps.map(|step| {
        let step = Step::new(step).arg("--rootfs", root.path());
        let output = step.args(["--", "attack", "escape-proc", &secret]);
        String::from_utf8_lossy(&output.output().stdout).contains(&content)
    });
    mount("umount", &["-l"]);
    let _ = fs::remove_file(secret);
    assert_eq!(told, [true, true, false]);
}

/// The same container reaches the service once the chain is empty.
pub fn one_rule_and_nothing_else_closes_the_bridge() {
    needs::disposable_host();
    needs::root();
    needs::command("nft");
    let listener =
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("listen");
    let port = listener.local_addr().expect("an address").port();
    let word = token();
    let answer = word.clone();
    std::thread::spawn(move || {
        for mut visitor in listener.incoming().flatten() {
            let _ = writeln!(visitor, "{answer}");
        }
    });
    let attack = format!("attack bridge-service {port}");
    let script = format!("{attack}; read line; {attack}");
    let mut container = Step::new("08-networking").sh(&script).start();
    assert!(container.line().starts_with("bridge-service: "));
    assert!(container.line().starts_with("STOPPED: "));
    let rules = ["flush", "chain", "inet", "workshop", "input"];
    let flushed = Command::new("nft").args(rules).status();
    assert!(flushed.expect("nft").success());
    container.say("again");
    assert!(container.line().starts_with("bridge-service: "));
    let said = container.line();
    assert!(said.starts_with("WORKED: ") && said.ends_with(&word), "{said}");
}

/// `/` itself can be as closed as a volume.
pub fn a_read_only_root_is_written_nowhere() {
    needs::disposable_host();
    needs::root();
    let root = tempfile::tempdir().expect("a directory");
    testbed::copy_default_root(root.path());
    for (option, works) in [(None, true), (Some("--read-only"), false)] {
        let step = Step::new("04-mount-namespace");
        let step = step.arg("--rootfs", root.path()).args(option);
        let output = step.args(["--", "attack", "write-volume", "/attack"]);
        let output = output.output();
        assert_eq!(output.status.code(), Some((!works).into()), "{output:?}");
        let file = fs::metadata(root.path().join("attack"));
        assert_eq!(file.as_ref().is_ok_and(|it| it.size() > 0), works);
        let _ = fs::remove_file(root.path().join("attack"));
    }
}
