//! docker and podman as an ordinary user has them: in user namespaces of their
//! own, with the ids that /etc/subuid lends.

use std::fs;

use testbed::{needs, proc, token};

use super::machine::{
    Machine, first, last_rootless_machine, rootless_machine, text,
};
use super::{all, gets, host, is_frozen, is_gone, serves};

/// The container's root is the user outside, and its joe one of the ids lent.
fn has_the_users_ids(machine: &Machine, pid: i32) {
    let map = fs::read_to_string(format!("/proc/{pid}/uid_map"));
    let map = map.expect("its map");
    let mut ids = map.split_whitespace().map(str::to_owned);
    let root: Vec<_> = ids.by_ref().take(3).collect();
    assert_eq!(root, ["0", &*machine.user, "1"], "{map}");
    let lent: Vec<_> = ids.take(3).collect();
    assert_eq!((&*lent[0], &*lent[2]), ("1", "65536"), "{map}");
    let first: u32 = lent[1].parse().expect("a number");
    let joe = (first + 1000 - 1).to_string();
    let ids = proc::status(pid, "Uid").expect("a status");
    assert_eq!(ids, [&*joe; 4].join("\t"));
}

pub fn podman_of_an_ordinary_user_runs_what_it_is_asked_to() {
    let machine = rootless_machine();
    let word = token();
    let run = ["podman", "run", "--rm", "--network", "none"];
    let script = format!("echo {word}; echo also >&2; exit 44");
    let output = machine.output(&all(&[&run, &["box", "sh", "-c", &script]]));
    assert_eq!(output.status.code(), Some(44), "{output:?}");
    assert_eq!(text(&output.stdout), word);
    assert_eq!(text(&output.stderr), "also");
    let cat = all(&[&run, &["-i", "box", "cat"]]);
    assert_eq!(machine.told(&cat, &word), word);
    let tty = machine.done(&all(&[&run, &["-t", "box", "tty"]]));
    assert_eq!(tty, "/dev/pts/0");
    for (command, status) in [("nothere", 127), ("/etc/passwd", 126)] {
        let (ended, said) = machine.ends(&all(&[&run, &["box", command]]));
        assert_eq!(ended, status, "{said}");
    }
    let cgroup = ["cat", "/proc/self/cgroup"];
    let own = machine.done(&cgroup);
    let host = ["--cgroups=disabled", "--cgroupns", "host", "box"];
    assert_eq!(machine.done(&all(&[&run, &host, &cgroup])), own);

    let mark = format!("MARK={word}");
    let options = [
        "podman",
        "run",
        "-d",
        "--name",
        &word,
        "-e",
        &mark,
        "-u",
        "joe",
        "--read-only",
        "--tmpfs",
        "/t",
        "-p",
        "127.0.0.1:8099:80",
        "--sysctl",
        "net.ipv4.ip_unprivileged_port_start=0",
        "--cap-add",
        "SYS_TIME",
        "box",
        "sh",
        "-c",
    ];
    let script = format!("touch /t/x /x; {}", serves(&word));
    machine.done(&all(&[&options, &[&script]]));
    let pid = first(&word);
    has_the_users_ids(machine, pid);
    let ask = gets("busybox nc -w 5 127.0.0.1 8099");
    assert_eq!(machine.done(&["sh", "-c", &ask]), word);
    let logs = machine.ends(&["podman", "logs", &word]).1;
    assert_eq!(logs, "touch: /x: Read-only file system");
    let script = "readlink /proc/1/ns/mnt; exit 6";
    let (status, said) =
        machine.ends(&["podman", "exec", &word, "sh", "-c", script]);
    assert_eq!((status, said), (6, proc::namespace(pid, "mnt")));
    // A user whose cgroup is delegated, as systemd does it with v2.
    if needs::is_cgroup_v2() {
        machine.done(&["podman", "pause", &word]);
        assert!(is_frozen(pid));
        machine.done(&["podman", "unpause", &word]);
        assert!(!is_frozen(pid));
    }
    machine.done(&["podman", "stop", "-t", "1", &word]);
    is_gone(pid);
    machine.done(&["podman", "rm", &word]);
    assert_eq!(machine.done(&["podman", "ps", "-aq"]), "");
}

pub fn docker_of_an_ordinary_user_runs_what_it_is_asked_to() {
    let machine = rootless_machine();
    let word = token();
    let file = format!("FROM box\nRUN echo {word} >/word\nCMD cat /word\n");
    let build = ["docker", "build", "-q", "-t", "built", "-"];
    machine.told(&all(&[&["env", "DOCKER_BUILDKIT=0"], &build]), &file);
    let run = ["docker", "run", "--rm"];
    assert_eq!(machine.done(&all(&[&run, &["built"]])), word);
    let (status, said) = machine.ends(&all(&[&run, &["box", "nothere"]]));
    assert_eq!(status, 127, "{said}");

    machine.done(&["docker", "network", "create", &word]);
    let mark = format!("MARK={word}");
    let options = [
        "docker",
        "run",
        "-d",
        "--name",
        &word,
        "-e",
        &mark,
        "-u",
        "joe",
        "--network",
        &word,
        "--sysctl",
        "net.ipv4.ip_unprivileged_port_start=0",
        "box",
        "sh",
        "-c",
    ];
    machine.done(&all(&[&options, &[&serves(&word)]]));
    let pid = first(&word);
    has_the_users_ids(machine, pid);
    let ask = gets(&format!("nc -w 5 {word} 80"));
    let other = ["--network", &word, "box", "sh", "-c", &ask];
    assert_eq!(machine.done(&all(&[&run, &other])), word);
    let script = "readlink /proc/1/ns/net; exit 9";
    let (status, said) =
        machine.ends(&["docker", "exec", &word, "sh", "-c", script]);
    assert_eq!((status, said), (9, proc::namespace(pid, "net")));
    machine.done(&["docker", "rm", "-f", &word]);
    is_gone(pid);
}

pub fn nothing_of_an_ordinary_users_engines_is_left() {
    let machine = last_rootless_machine();
    let before = host();
    let pids = ["docker", "podman"].map(|engine| {
        let word = token();
        let mark = format!("MARK={word}");
        let run = [engine, "run", "-d", "-e", &mark, "box", "sleep", "1000"];
        machine.done(&run);
        first(&word)
    });
    machine.end(false);
    pids.into_iter().for_each(is_gone);
    assert_eq!(host(), before);
    // Where podman puts what it has no better place for.
    for name in ["podman-run", "containers-user", "storage-run"] {
        let left = format!("/tmp/{name}-{}", machine.user);
        assert!(!fs::exists(&left).unwrap_or(true), "{left}");
    }
}
