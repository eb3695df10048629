#![forbid(unsafe_code)]
//! What can't work is told in one line: what was tried, the errno by its name,
//! and the way out. And nothing is left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use testbed::{STEPS, Step, copy_default_root, needs, proc, token};

testbed::main!(
    a_bad_root_directory_is_told,
    a_bad_command_is_told,
    a_root_directory_that_is_mounted_noexec_is_told,
    a_bad_option_is_told,
    a_bad_hostname_is_told,
    a_bad_volume_is_told,
    pause_without_a_terminal_is_told,
    without_privilege_each_step_says_so,
    a_directory_that_may_not_be_entered_is_told,
);

/// An argument list, the exit status, and what the line must say.
type Case<'a> = (&'a [&'a str], i32, &'a [&'a str]);

/// Runs a case in each of the steps, and judges the line.
fn told(steps: &[&str], case: Case) {
    let (arguments, status, parts) = case;
    for name in steps {
        judge(name, Step::new(name).args(arguments), status, parts);
    }
}

fn judge(name: &str, step: Step, status: i32, parts: &[&str]) {
    let mark = token();
    let mut step = step;
    step.command().env("MARK", &mark);
    let mounts = proc::mounts(std::process::id() as i32);
    let output = step.output();
    let line = String::from_utf8_lossy(&output.stderr).into_owned();
    let what = format!("{name}: {line}{:?}", output.status);
    assert_eq!(output.status.code(), Some(status), "{what}");
    assert_eq!(line.matches('\n').count(), 1, "one line: {what}");
    assert!(line.starts_with(&format!("{name}: ")), "{what}");
    for part in parts {
        assert!(line.contains(part), "no {part:?} in {what}");
    }
    assert!(!line.contains("os error"), "an errno has a name: {what}");
    assert!(output.stdout.is_empty(), "{what}");
    assert_eq!(proc::marked(&mark), [] as [i32; 0], "{what}");
    assert_eq!(proc::mounts(std::process::id() as i32), mounts, "{what}");
}

fn a_bad_root_directory_is_told() {
    needs::root();
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| {
        directory.path().join(name).to_str().expect("a name").to_owned()
    };
    fs::create_dir(at("empty")).expect("mkdir");
    fs::write(at("file"), "").expect("write");
    std::os::unix::fs::symlink("loop", at("loop")).expect("symlink");
    let cases: &[Case] = &[
        (&["--rootfs", &at("missing")], 125, &["ENOENT", "leave out --rootfs"]),
        (&["--rootfs", &at("file")], 125, &["ENOTDIR", "file", "directory"]),
        (&["--rootfs", &at("file/x")], 125, &["ENOTDIR"]),
        (&["--rootfs", &at("loop")], 125, &["ELOOP"]),
        (&["--rootfs", ""], 125, &["--rootfs", "--help"]),
        (&["--rootfs"], 125, &["--rootfs", "--help"]),
    ];
    for case in cases {
        told(&STEPS, *case);
    }
    for name in STEPS {
        let no_shell = Step::new(name).args(["--rootfs", &at("empty")]);
        judge(name, no_shell, 127, &["/bin/sh", "--rootfs"]);
    }
}

fn a_bad_command_is_told() {
    needs::root();
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path();
    copy_default_root(root);
    let put = |name: &str, mode: u32, content: &[u8]| {
        fs::write(root.join(name), content).expect("write");
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(root.join(name), mode).expect("chmod");
    };
    put("plain", 0o644, b"#!/bin/sh\n");
    put("lost", 0o755, b"#!/no/such/interpreter\n");
    put("noise", 0o755, b"\x00\x01\x02 nothing that a kernel knows");
    // An ELF header for a machine that nobody has (EM_M32).
    put(
        "foreign",
        0o755,
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x01\0\x01\0\0\0",
    );
    let root = root.to_str().expect("a name");
    let long = "x".repeat(300);
    let cases: &[Case] = &[
        (&["no-such"], 127, &["\"no-such\"", "not found", "PATH"]),
        (&["/no/such"], 127, &["\"/no/such\"", "not found"]),
        (&["./no-such"], 127, &["not found"]),
        (&[""], 127, &["\"\"", "not found"]),
        (&[&long], 127, &["not found"]),
        (&["/tmp"], 126, &["\"/tmp\"", "EACCES", "directory"]),
        (&["/plain"], 126, &["EACCES", "chmod +x"]),
        (&["/plain/x"], 127, &["not found"]),
        (&["/lost"], 127, &["ENOENT", "interpreter", "root directory"]),
        (&["/noise"], 126, &["ENOEXEC", "#!"]),
        (&["/foreign"], 126, &["ENOEXEC", "this machine"]),
        (&["--", "--version"], 127, &["not found"]),
        (&["-e", "PATH=/nowhere", "ls"], 127, &["\"/nowhere\""]),
    ];
    for (arguments, status, parts) in cases {
        let arguments = [&["--rootfs", root], *arguments].concat();
        told(&STEPS, (&arguments, *status, parts));
    }
    // With an init, the command fails in a process of its own.
    for (arguments, status, parts) in cases {
        let arguments = [&["--init", "--rootfs", root], *arguments].concat();
        told(&STEPS[2..], (&arguments, *status, parts));
    }
}

fn a_root_directory_that_is_mounted_noexec_is_told() {
    needs::root();
    let cache = tempfile::tempdir().expect("a directory");
    let mount = format!(
        r#"exec unshare --mount bash -c \
            'mount -t tmpfs -o noexec,mode=755 x {} && exec "$@"' bash "$@""#,
        cache.path().display()
    );
    for name in STEPS.iter().chain(&["05-user-namespace"]) {
        let mut step = Step::new(name).args(["true"]);
        step.command().env("XDG_CACHE_HOME", cache.path());
        let parts = ["EACCES", "noexec", "XDG_CACHE_HOME=DIR", "--rootfs DIR"];
        judge(name, step.in_shell(&mount), 126, &parts);
    }
}

fn a_bad_option_is_told() {
    needs::root();
    let cases: &[Case] = &[
        (&["--no-such"], 125, &["'--no-such'", "another step", "--help"]),
        (&["-e", "=x"], 125, &["NAME=VALUE"]),
        (&["-e", ""], 125, &["NAME=VALUE"]),
        (&["-e"], 125, &["--env", "--help"]),
        (
            &["-w", "/etc/passwd/new", "true"],
            125,
            &["chdir(\"/etc/passwd/new\")", "ENOTDIR", "not a directory"],
        ),
        (&["-w", "/etc/passwd", "true"], 125, &["ENOTDIR", "not a directory"]),
        (&["-w", "", "true"], 125, &["--workdir", "--help"]),
        (
            &["--rootfs", "/", "--rootfs", "/", "true"],
            125,
            &["--rootfs", "--help"],
        ),
    ];
    for case in cases {
        told(&STEPS, *case);
    }
    told(
        &STEPS[3..],
        (
            &["--read-only", "-w", "/no/such", "true"],
            125,
            &["mkdir(\"/no/such\")", "EROFS", "make it before"],
        ),
    );
    for name in STEPS {
        let both = Step::telling(name).args(["--pause", "--quiet", "true"]);
        judge(name, both, 125, &["--pause", "--quiet"]);
    }
    // A flag of a later step is unknown in an earlier one.
    told(&STEPS[..1], (&["--hostname", "x"], 125, &["--hostname"]));
    told(&STEPS[..2], (&["--init"], 125, &["--init"]));
    told(&STEPS[..3], (&["-v", "/a:/b"], 125, &["-v"]));
}

fn a_bad_hostname_is_told() {
    needs::root();
    let (longest, too_long) = ("x".repeat(64), "x".repeat(65));
    told(&STEPS[1..], (&["--hostname", ""], 125, &["1 to 64", "has 0"]));
    told(&STEPS[1..], (&["--hostname", &too_long], 125, &["1 to 64", "65"]));
    for step in &STEPS[1..] {
        let named = Step::new(step).args(["--hostname", &longest]);
        assert_eq!(named.args(["hostname"]).stdout(), longest);
    }
}

fn a_bad_volume_is_told() {
    needs::root();
    let volume = |spec: &str, parts: &[&str]| {
        told(&STEPS[3..], (&["-v", spec, "true"], 125, parts));
    };
    volume("/etc", &["SRC:DST"]);
    volume("", &["SRC:DST"]);
    volume("/etc:relative", &["\"relative\"", "absolute"]);
    volume("/etc:", &["absolute"]);
    volume("/etc:/", &["below /"]);
    volume("/etc:/mnt/..", &["absolute"]);
    volume("/etc:/mnt:rx", &["\"rx\"", "ro"]);
    volume("/etc:/mnt:", &["ro"]);
    volume("/a:/b:ro:d", &["SRC:DST"]);
    volume("/no/such:/mnt", &["\"/no/such\"", "ENOENT", "on the host"]);
    volume(":/mnt", &["ENOENT"]);
    volume("/etc:/etc/passwd", &["ENOTDIR", "and a directory a directory"]);
    volume("/etc/passwd:/mnt", &["ENOTDIR", "a file can only cover a file"]);
    volume("/etc:/etc/passwd/x", &["ENOTDIR", "choose another place"]);
}

fn pause_without_a_terminal_is_told() {
    needs::root();
    let setsid = needs::command("setsid");
    for name in STEPS {
        let script = format!("exec {} --wait \"$@\"", setsid.display());
        let pausing = Step::telling(name).args(["--pause", "true"]);
        judge(
            name,
            pausing.in_shell(&script),
            125,
            &["--pause", "terminal", "ENXIO"],
        );
    }
}

fn without_privilege_each_step_says_so() {
    let home = tempfile::tempdir().expect("a directory");
    for name in STEPS {
        let step = Step::new(name).as_somebody(home.path()).args(["true"]);
        judge(name, step, 125, &["EPERM", "root", "./scripts/playground.sh"]);
    }
}

fn a_directory_that_may_not_be_entered_is_told() {
    let home = tempfile::tempdir().expect("a directory");
    let closed = tempfile::tempdir().expect("a directory");
    let inner = closed.path().join("root");
    fs::create_dir(&inner).expect("mkdir");
    let allow = |mode| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(closed.path(), mode).expect("chmod");
    };
    allow(0o000);
    for name in STEPS {
        let step = Step::new(name).as_somebody(home.path());
        let step = step.arg("--rootfs", &inner);
        judge(name, step, 125, &["EACCES", "you may not enter"]);
    }
    allow(0o700);
}
