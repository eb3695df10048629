//! Claims about options that engines seldom use, and people do.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::json;
use testbed::{eventually, needs, proc, skip, token};

use crate::bundle::Bundle;
use crate::{needs_root, sets};

/// Without a PID namespace, nobody dies because the first process does.
pub fn whoever_outlives_the_first_process_is_found() {
    needs_root();
    for by_all in [true, false] {
        let mut container = Bundle::new();
        container.without("pid");
        container.push("/process/env", json!(format!("MARK={}", container.id)));
        container.start("sleep 1000 & sleep 1000 & true");
        if container.done(&["ps", "--format", "json"]) == "[]" {
            skip("needs a cgroup to give");
        }
        let left = || proc::marked(&container.id).len();
        eventually("all of them", || (left() == 3).then_some(()));
        let words = if by_all { &["kill", "--all"][..] } else { &["kill"] };
        container.done_with(words, &["KILL"]);
        container.becomes("stopped");
        match by_all {
            true => {
                eventually("the end of all", || (left() == 0).then_some(()))
            }
            false => assert_eq!(left(), 2),
        }
        container.done(&["delete"]);
        eventually("the end of all", || (left() == 0).then_some(()));
        container.assert_gone();
    }
}

pub fn a_run_may_be_left_alone_or_kept() {
    needs_root();
    let mut container = Bundle::new();
    container.sh("exit 7");
    assert_eq!(container.command(&["run"]).status.code(), Some(7));
    container.assert_gone();
    assert_eq!(container.command(&["run", "--keep"]).status.code(), Some(7));
    assert_eq!(container.status(), "stopped");
    container.done(&["delete"]);
    container.sh("exec sleep 1000");
    let mut detached = container.runtime();
    detached.args(["run", "--detach", "--pid-file", "pid", &container.id]);
    detached.stdin(Stdio::null()).stdout(Stdio::null());
    assert!(detached.status().expect("run").success());
    assert_eq!(container.status(), "running");
    assert_eq!(container.state()["pid"], container.pid());
}

pub fn people_read_tables() {
    needs_root();
    needs::command("ps");
    let mut container = Bundle::new();
    let pid = container.start("true").to_string();
    let list = |words: &[&str]| {
        let output = container.runtime().arg("list").args(words).output();
        String::from_utf8(output.expect("list").stdout).expect("UTF-8")
    };
    let line = list(&[]);
    let bundle = fs::canonicalize(container.path()).expect("a bundle");
    let words: Vec<_> = line.split_whitespace().collect();
    let path = bundle.to_str().expect("UTF-8");
    assert_eq!(words, [&*container.id, &*pid, "running", path]);
    assert_eq!(list(&["--quiet"]).trim(), container.id);
    if container.done(&["ps", "--format", "json"]) == "[]" {
        skip("needs a cgroup to give");
    }
    eventually("one line with its command", || {
        let table = container.done_with(&["ps"], &["-e", "-o", "pid,args"]);
        let lines = table.lines().map(|it| it.split_whitespace().collect());
        let lines: Vec<Vec<_>> = lines.collect();
        assert_eq!(lines.len(), 2, "{table}");
        assert_eq!(lines[0][0], "PID", "{table}");
        // Before it, it is a shell that says that it is ready.
        (lines[1] == [&*pid, "sleep", "1000"]).then_some(())
    });
}

pub fn one_more_process_may_have_other_rights() {
    needs_root();
    let mut container = Bundle::new();
    container.set("/process/noNewPrivileges", json!(false));
    let own = sets(container.start("true"));
    let with = |options: &[&str]| {
        let words = [&["exec", "--detach", "--pid-file", "second"], options];
        container.done_with(&words.concat(), &["sleep", "1000"]);
        container.text("second").parse::<i32>().expect("a pid")
    };
    let plain = with(&[]);
    assert_eq!(sets(plain), own);
    assert_eq!(proc::status(plain, "NoNewPrivs").as_deref(), Some("0"));
    // To use raw sockets is bit 13.
    let more = with(&["--cap", "CAP_NET_RAW", "--no-new-privs"]);
    assert_eq!(sets(more)[2..4], [own[2] | 1 << 13, own[3] | 1 << 13]);
    assert_eq!(proc::status(more, "NoNewPrivs").as_deref(), Some("1"));
    let words = ["exec", "--cap", "CAP_OF_TOMORROW"];
    let output = container.command_with(&words, &["true"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("CAP_OF_TOMORROW"), "{told}");
}

pub fn descriptors_are_passed_on_as_many_as_asked_for() {
    needs_root();
    let mut container = Bundle::new();
    let word = token();
    fs::write(container.file("word"), &word).expect("write");
    container.sh("cat <&3; test -e /proc/self/fd/4 && echo 4");
    for (count, said) in [("1", &*word), ("0", "")] {
        let runtime = container.runtime();
        let mut shell = Command::new("sh");
        let script = "exec 3<word 4<word \"$@\" 2>/dev/null";
        shell.args(["-c", script, "sh"]).arg(runtime.get_program());
        shell.args(runtime.get_args());
        shell.args(["run", "--preserve-fds", count, &container.id]);
        let output = shell.current_dir(container.path()).output();
        let output = output.expect("run").stdout;
        assert_eq!(String::from_utf8_lossy(&output), said, "{count}");
    }
}

pub fn a_volume_may_be_read_only_with_all_in_it() {
    needs_root();
    let mut container = Bundle::new();
    fs::create_dir_all(container.file("v/sub")).expect("mkdir");
    let script = "mount -t tmpfs below v/sub && exec \"$@\"";
    for (option, said) in [("ro", "below"), ("rro", "")] {
        let mount = json!({ "destination": "/v", "type": "bind", "source": "v", "options": ["rbind", option] });
        container.push("/mounts", mount);
        container.sh("touch /v/x 2>/dev/null && echo top; \
             touch /v/sub/x 2>/dev/null && echo below");
        let runtime = container.runtime();
        let mut unshare = Command::new("unshare");
        unshare.args(["-m", "sh", "-c", script, "sh"]);
        unshare.arg(runtime.get_program()).args(runtime.get_args());
        unshare.args(["run", &container.id]).current_dir(container.path());
        let output = unshare.output().expect("run");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text.trim(), said, "{option}: {output:?}");
    }
}
