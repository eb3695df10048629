#![forbid(unsafe_code)]
//! Claims about docker, containerd and podman with step 11 as their runtime: what
//! they show, and what the kernel says from outside.

mod machine;
mod rootless;

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::process::Stdio;

use machine::{
    Machine, cgroup_file, first, last_machine, limit, machine,
    machine_anywhere, needs_engines, text,
};

use rootless::{
    docker_of_an_ordinary_user_runs_what_it_is_asked_to,
    nothing_of_an_ordinary_users_engines_is_left,
    podman_of_an_ordinary_user_runs_what_it_is_asked_to,
};
use testbed::{eventually, needs, proc, skip, token};

testbed::main!(
    engines_drive_it_on_cgroup_v2,
    docker_reads_its_version,
    docker_runs_a_command_to_its_end,
    docker_keeps_a_container_in_the_background,
    docker_stops_with_grace_and_without,
    what_docker_is_asked_for_is_what_the_kernel_has,
    docker_builds_an_image,
    docker_starts_fifty_at_once,
    docker_gives_a_network_with_names_and_ports,
    a_docker_that_is_killed_finds_its_containers_again,
    containerd_has_its_tasks,
    podman_runs_a_command_to_its_end,
    podman_keeps_a_container_in_the_background,
    podman_of_an_ordinary_user_runs_what_it_is_asked_to,
    docker_of_an_ordinary_user_runs_what_it_is_asked_to,
    nothing_of_an_ordinary_users_engines_is_left,
    the_doctor_knows_these_engines,
    engines_that_are_installed_are_used_and_left_alone,
    nothing_of_the_engines_is_left,
    engines_that_are_killed_leave_nothing,
);

const RUN: [&str; 5] = ["docker", "run", "--rm", "--network", "none"];
const PODMAN: [&str; 5] = ["podman", "run", "--rm", "--network", "none"];
const ROOT: [&str; 2] = ["--rootfs", "/run/engines/box"];

/// Words of several lists.
fn all<'a>(lists: &[&[&'a str]]) -> Vec<&'a str> {
    lists.concat()
}

/// A container in the background, with a mark, and its first process.
fn background(
    machine: &Machine,
    options: &[&str],
    script: &str,
) -> (String, i32) {
    let name = token();
    let mark = format!("MARK={name}");
    let fixed = ["docker", "run", "-d", "--network", "none", "-e", &mark];
    let named = ["--name", &name, "box", "sh", "-c", script];
    machine.done(&all(&[&fixed, options, &named]));
    let pid = first(&name);
    (name, pid)
}

fn is_gone(pid: i32) {
    eventually("its end", || (!proc::runs(pid)).then_some(()));
}

/// A container of each, from its start to its end.
fn engines_drive_it_on_cgroup_v2() {
    if !needs::is_cgroup_v2() {
        skip("needs cgroup v2, as the lab has it");
    }
    let machine = machine_anywhere();
    let name = &*token();
    let mark = format!("MARK={name}");
    let runtime = machine.done(&["sh", "-c", "echo $RUNTIME"]);
    let script = "trap 'exit 7' TERM; sleep 1000 & wait";
    let shell = ["/bin/sh", "-c", script];
    let opens = "(: </dev/fuse) && exit 9";
    // One that it was not given.
    let refused = "mknod /dev/x c 10 229; (: </dev/x) || exit 9";
    let what = "--network none -m 48m --pids-limit 21 --device /dev/fuse -e";
    let what: Vec<_> =
        what.split(' ').chain([&*mark, "--name", name]).collect();
    let ctr = ["ctr", "run", "--rm", "--memory-limit", "50331648", "--env"];
    let its = [&*mark, "--runc-binary", &runtime, "--rootfs", ROOT[1], name];
    let task = ["ctr", "task", "exec", "--exec-id", "e1", name];
    let podman = ["podman", "stop", name];
    for (run, exec, stop, pids, script) in [
        (
            all(&[&["docker", "run", "--rm"], &what, &["box"], &shell]),
            &["docker", "exec", name][..],
            &["docker", "stop", name][..],
            "21",
            opens,
        ),
        (
            all(&[&ctr, &its, &shell]),
            &task,
            &["ctr", "task", "kill", name],
            "max",
            refused,
        ),
        (
            all(&[&["podman", "run", "--rm"], &what, &ROOT, &shell]),
            &["podman", "exec", name],
            &podman,
            "21",
            opens,
        ),
    ] {
        let mut runs = machine.command(&run).spawn().expect("start");
        let pid = first(name);
        let place = cgroup_file(pid, "pids", "");
        assert_eq!(limit(pid, "pids.max", "pids.max"), pids, "{run:?}");
        let bytes = limit(pid, "memory.limit_in_bytes", "memory.max");
        assert_eq!(bytes, (48 << 20).to_string(), "{run:?}");
        let (status, said) =
            machine.ends(&all(&[exec, &shell[..2], &[script]]));
        assert_eq!(status, 9, "{exec:?}: {said}");
        machine.done(stop);
        let end = runs.wait().expect("its end");
        assert_eq!(end.code(), Some(7), "{run:?}");
        is_gone(pid);
        assert!(!fs::exists(&place).unwrap_or(true), "{place}");
    }
}

fn docker_reads_its_version() {
    let machine = machine();
    let said = machine.done(&["sh", "-c", "$RUNTIME --version"]);
    let of = |key: &str| {
        let mut lines = said.lines();
        let found = lines.find_map(|line| line.split_once(key));
        found.unwrap_or_else(|| panic!("{key:?}: {said}")).1
    };
    let commit = machine.done(&["docker", "info", "-f", "{{.RuncCommit.ID}}"]);
    assert_eq!(commit, of("commit: "));
    let parts = "{{range .Server.Components}}{{.Name}} {{.Version}}\n{{end}}";
    let parts = machine.done(&["docker", "version", "-f", parts]);
    let ours = format!("workshop {}", of("version "));
    assert!(parts.lines().any(|it| it == ours), "{parts}");
    let script = "grep 'version: unknown' /run/engines/log";
    assert_eq!(machine.ends(&["sh", "-c", script]), (1, String::new()));
    let features = machine.done(&["sh", "-c", "$RUNTIME features"]);
    let newest = format!("\"ociVersionMax\": \"{}\"", of("spec: "));
    assert!(features.contains(&newest), "{features}");
}

fn docker_runs_a_command_to_its_end() {
    let machine = machine();
    let word = token();
    let script = format!("echo {word}; echo also >&2; exit 43");
    let words = all(&[&RUN, &["box", "sh", "-c", &script]]);
    let output = machine.output(&words);
    assert_eq!(output.status.code(), Some(43), "{output:?}");
    assert_eq!(text(&output.stdout), word);
    assert_eq!(text(&output.stderr), "also");
    let told = machine.told(&all(&[&RUN, &["-i", "box", "cat"]]), &word);
    assert_eq!(told, word);
    // Of its own, it has a shell.
    let shell = all(&[&RUN, &["-i", "box"]]);
    assert_eq!(machine.told(&shell, &format!("echo {word}")), word);
    // A terminal, and the container's: docker has none itself.
    let script = "tty; test -t 0 && stat -c %F /dev/console";
    let words = all(&[&RUN, &["-t", "box", "sh", "-c", script]]);
    assert_eq!(machine.done(&words), "/dev/pts/0\ncharacter special file");
    for (command, status) in [("nothere", 127), ("/etc/passwd", 126)] {
        let (ended, said) = machine.ends(&all(&[&RUN, &["box", command]]));
        assert_eq!(ended, status, "{said}");
        assert!(said.contains(command), "{said}");
    }
}

fn docker_keeps_a_container_in_the_background() {
    let machine = machine();
    let (name, pid) =
        background(machine, &[], "echo $MARK; sleep 1000 & exec sleep 1000");
    let logs = eventually("logs", || {
        let logs = machine.done(&["docker", "logs", &name]);
        (!logs.is_empty()).then_some(logs)
    });
    assert_eq!(logs, name);
    let script = "readlink /proc/1/ns/net; exit 9";
    let (status, said) =
        machine.ends(&["docker", "exec", &name, "sh", "-c", script]);
    assert_eq!((status, said), (9, proc::namespace(pid, "net")));
    let (_, tty) = machine.ends(&["docker", "exec", "-t", &name, "tty"]);
    assert!(tty.starts_with("/dev/pts/"), "{tty}");
    let top = machine.done(&["docker", "top", &name]);
    assert_eq!(top.matches("sleep 1000").count(), 2, "{top}");

    machine.done(&["docker", "pause", &name]);
    assert!(is_frozen(pid));
    let shown = machine.done(&["docker", "ps", "-f", &format!("name={name}")]);
    assert!(shown.contains("(Paused)"), "{shown}");
    machine.done(&["docker", "unpause", &name]);
    assert!(!is_frozen(pid));

    let pids = 100 + pid % 100;
    let memory = ["-m", "47m", "--memory-swap", "47m"];
    let update = ["docker", "update", "--pids-limit", &pids.to_string(), &name];
    machine.done(&all(&[&update[..2], &memory, &update[2..]]));
    assert_eq!(limit(pid, "pids.max", "pids.max"), pids.to_string());
    let bytes = (47 << 20).to_string();
    assert_eq!(limit(pid, "memory.limit_in_bytes", "memory.max"), bytes);
    machine.done(&["docker", "rm", "-f", &name]);
    is_gone(pid);
    let left = testbed::watch::cgroups_named(&name);
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(proc::marked(&name), Vec::<i32>::new());
}

fn is_frozen(pid: i32) -> bool {
    // v1's freezer says so by a word, v2's events by a line.
    let state = limit(pid, "freezer.state", "cgroup.events");
    state == "FROZEN" || state.contains("frozen 1")
}

fn docker_stops_with_grace_and_without() {
    let machine = machine();
    let script = "trap 'echo bye; exit 7' TERM; echo on; \
                  while :; do sleep 0.1; done";
    let (name, pid) = background(machine, &[], script);
    eventually("its trap", || {
        (machine.done(&["docker", "logs", &name]) == "on").then_some(())
    });
    machine.done(&["docker", "stop", &name]);
    is_gone(pid);
    let status = ["docker", "inspect", "-f", "{{.State.ExitCode}}", &name];
    assert_eq!(machine.done(&status), "7");
    assert_eq!(machine.done(&["docker", "logs", &name]), "on\nbye");
    // Again: another process, which hears nothing of it, and is killed.
    machine.done(&["docker", "restart", "-t", "1", &name]);
    let again = first(&name);
    assert_ne!(again, pid);
    machine.done(&["docker", "kill", "-s", "KILL", &name]);
    is_gone(again);
    assert_eq!(machine.done(&status), "137");
    machine.done(&["docker", "rm", &name]);
    let (name, pid) = background(machine, &[], "trap '' TERM; sleep 1000");
    machine.done(&["docker", "stop", "-t", "1", &name]);
    is_gone(pid);
    machine.done(&["docker", "rm", &name]);
}

fn what_docker_is_asked_for_is_what_the_kernel_has() {
    let machine = machine();
    let volume = tempfile::tempdir().expect("a directory");
    let word = token();
    fs::write(volume.path().join("word"), &word).expect("write");
    let volume = format!("{}:/v:ro", volume.path().display());
    let options = [
        "--init --read-only --tmpfs /t:size=1m -u 1000:1000 -m 33m",
        "--pids-limit 21 --cap-add SYS_TIME --device /dev/fuse",
        "--security-opt no-new-privileges --security-opt seccomp=unconfined",
        "--ulimit nofile=77:99 -w /tmp -h told",
    ];
    let options: Vec<_> = options.iter().flat_map(|it| it.split(' ')).collect();
    let script = "cat /v/word; echo; hostname; pwd; ulimit -n; \
                  touch /t/x && echo kept; touch /v/x /x; ls /dev/fuse; \
                  exec sleep 1000";
    let (name, pid) =
        background(machine, &all(&[&options, &["-v", &volume]]), script);
    let said = eventually("all of it", || {
        let said = text(&machine.output(&["docker", "logs", &name]).stdout);
        said.contains("/dev/fuse").then_some(said)
    });
    assert_eq!(said, format!("{word}\ntold\n/tmp\n77\nkept\n/dev/fuse"));
    let logs = machine.output(&["docker", "logs", &name]);
    let refused = text(&logs.stderr).matches("Read-only file system").count();
    assert_eq!(refused, 2, "{logs:?}");

    assert!(
        proc::exe(pid).is_some_and(|it| it.ends_with("docker-init")
            || it.ends_with("tini")
            || it.ends_with("init")),
        "{:?}",
        proc::exe(pid)
    );
    let of = |key| proc::status(pid, key).expect("a status");
    assert_eq!(of("Uid"), "1000\t1000\t1000\t1000");
    assert_eq!((of("NoNewPrivs"), of("Seccomp")), ("1".into(), "0".into()));
    let set = u64::from_str_radix(&of("CapBnd"), 16).expect("a set");
    let (sys_time, sys_admin) = (1 << 25, 1 << 21);
    assert_eq!(set & (sys_time | sys_admin), sys_time);
    assert_eq!(limit(pid, "pids.max", "pids.max"), "21");
    let bytes = (33 << 20).to_string();
    assert_eq!(limit(pid, "memory.limit_in_bytes", "memory.max"), bytes);
    let fuse = fs::metadata(format!("/proc/{pid}/root/dev/fuse"));
    assert!(fuse.expect("a node").file_type().is_char_device());
    machine.done(&["docker", "rm", "-f", &name]);

    // And without all that.
    let options = ["--network", "host"];
    let name = token();
    let mark = format!("MARK={name}");
    let run = ["docker", "run", "-d", "--name", &name, "-e", &mark];
    machine.done(&all(&[&run, &options, &["box", "sleep", "1000"]]));
    let pid = first(&name);
    let of = |key| proc::status(pid, key).expect("a status");
    assert_eq!((of("NoNewPrivs"), of("Seccomp")), ("0".into(), "2".into()));
    let set = u64::from_str_radix(&of("CapBnd"), 16).expect("a set");
    assert_eq!(set & (sys_time | sys_admin), 0);
    assert_eq!(limit(pid, "pids.max", "pids.max"), "max");
    let engines = machine.done(&["readlink", "/proc/self/ns/net"]);
    assert_eq!(proc::namespace(pid, "net"), engines);
    machine.done(&["docker", "rm", "-f", &name]);
}

fn docker_builds_an_image() {
    let machine = machine();
    let word = token();
    let file = format!(
        "FROM box\nRUN echo {word} >/word && id -u >>/word\nUSER joe\n\
         CMD cat /word && id -u\n"
    );
    let build =
        ["docker", "build", "--network", "none", "-q", "-t", "built", "-"];
    machine.told(&all(&[&["env", "DOCKER_BUILDKIT=0"], &build]), &file);
    let said = machine.done(&all(&[&RUN, &["built"]]));
    assert_eq!(said, format!("{word}\n0\n1000"));
    machine.done(&["docker", "rmi", "built"]);
}

fn docker_starts_fifty_at_once() {
    // Where each instruction is translated, a few say as much.
    let many = if needs::is_emulated() { 5 } else { 50 };
    let machine = machine();
    let word = token();
    let mark = format!("MARK={word}");
    let run = |(i, name): (usize, &String)| {
        let network = if i % 5 == 0 { "bridge" } else { "none" };
        let words = ["docker", "run", "-d", "--network", network, "-e", &mark];
        let words = all(&[&words, &["--name", name, "box", "sleep", "1000"]]);
        let mut command = machine.command(&words);
        command.stdout(Stdio::null()).spawn().expect("start")
    };
    let names: Vec<_> = (0..many).map(|i| format!("{word}-{i}")).collect();
    let started: Vec<_> = names.iter().enumerate().map(run).collect();
    for mut one in started {
        assert!(one.wait().expect("its end").success());
    }
    let namespaces: std::collections::BTreeSet<_> = proc::marked(&word)
        .into_iter()
        .map(|pid| proc::namespace(pid, "pid"))
        .collect();
    assert_eq!(namespaces.len(), many);
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    machine.done(&all(&[&["docker", "rm", "-f"], &names]));
    eventually("their end", || proc::marked(&word).is_empty().then_some(()));
    // One that is over before anybody looks.
    let (status, said) = machine.ends(&all(&[&RUN, &["box", "false"]]));
    assert_eq!((status, said.as_str()), (1, ""));
}

/// What serves one page, with a word.
fn serves(word: &str) -> String {
    format!(
        "mkdir /tmp/page; echo {word} >/tmp/page/index.html; \
         exec httpd -f -p 80 -h /tmp/page"
    )
}

/// What asks somebody for the page, until it comes.
fn gets(what: &str) -> String {
    format!(
        "for i in $(seq 300); do \
         printf 'GET / HTTP/1.0\\r\\n\\r\\n' | {what} | grep -A 99 '200 OK' && \
         break; sleep 0.1; done | tail -n 1"
    )
}

fn docker_gives_a_network_with_names_and_ports() {
    let machine = machine();
    let word = token();
    let bridge = format!("b{}", &word[word.len() - 8..]);
    let named = format!("com.docker.network.bridge.name={bridge}");
    machine.done(&["docker", "network", "create", "-o", &named, &word]);
    // A bridge that nobody sees but docker.
    let is_there = format!("/sys/class/net/{bridge}");
    machine.done(&["ip", "link", "show", &bridge]);
    assert!(!std::path::Path::new(&is_there).exists(), "{bridge}");
    let name = format!("web-{word}");
    let of = ["--network", &word];
    let run = ["docker", "run", "-d", "--name", &name, "-p", "127.0.0.1::80"];
    machine.done(&all(&[&run, &of, &["box", "sh", "-c", &serves(&word)]]));
    // By its name, from another one.
    let ask = gets(&format!("nc -w 5 {name} 80"));
    let run = ["docker", "run", "--rm"];
    let said = machine.done(&all(&[&run, &of, &["box", "sh", "-c", &ask]]));
    assert_eq!(said, word);
    // By a port, from the machine.
    let port = machine.done(&["docker", "port", &name, "80"]);
    let port = port.rsplit(':').next().expect("a number");
    let ask = gets(&format!("busybox nc -w 5 127.0.0.1 {port}"));
    assert_eq!(machine.done(&["sh", "-c", &ask]), word);
    // And what is in no network hears of none.
    let ask = format!("! nc -w 5 {name} 80");
    machine.done(&all(&[&RUN, &["box", "sh", "-c", &ask]]));
    // Whoever joins it shares it.
    let of = format!("container:{name}");
    let run = ["docker", "run", "--rm", "--network", &of, "box"];
    let ask = gets("nc -w 5 127.0.0.1 80");
    assert_eq!(machine.done(&all(&[&run, &["sh", "-c", &ask]])), word);
    machine.done(&["docker", "rm", "-f", &name]);
    machine.done(&["docker", "network", "rm", &word]);
}

fn a_docker_that_is_killed_finds_its_containers_again() {
    let machine = machine();
    let (name, pid) = background(machine, &[], "exec sleep 1000");
    // A new one does not start as long as the number is somebody's.
    let script = "old=$(cat /run/docker.pid); kill -9 $old; \
                  while [[ -e /proc/$old ]]; do sleep 0.05; done; \
                  setsid dockerd >>/run/engines/log 2>&1 & \
                  until docker version; do sleep 0.05; done";
    machine.done(&["bash", "-c", script]);
    assert!(proc::runs(pid));
    let (status, _) =
        machine.ends(&["docker", "exec", &name, "sh", "-c", "exit 4"]);
    assert_eq!(status, 4);
    machine.done(&["docker", "stop", "-t", "0", &name]);
    is_gone(pid);
    let status = ["docker", "inspect", "-f", "{{.State.ExitCode}}", &name];
    assert_eq!(machine.done(&status), "137");
    machine.done(&["docker", "rm", &name]);
}

fn containerd_has_its_tasks() {
    let machine = machine();
    let runtime = machine.done(&["sh", "-c", "echo $RUNTIME"]);
    let with = ["--runc-binary", &runtime, "--rootfs"];
    let name = token();
    let what = ["/run/engines/box", &name];
    let run = all(&[&["ctr", "run", "--rm"], &with, &what]);
    let script = format!("echo {name}; exit 5");
    let (status, said) =
        machine.ends(&all(&[&run, &["/bin/sh", "-c", &script]]));
    assert_eq!((status, said), (5, name.clone()));
    let mark = format!("MARK={name}");
    let limits = ["--memory-limit", "50331648", "--env", &mark];
    let run = all(&[&["ctr", "run", "-d"], &limits, &with, &what]);
    machine.done(&all(&[&run, &["/bin/sleep", "1000"]]));
    let pid = first(&name);
    let bytes = (48 << 20).to_string();
    assert_eq!(limit(pid, "memory.limit_in_bytes", "memory.max"), bytes);
    let task = ["ctr", "task"];
    let script = "readlink /proc/1/ns/pid; exit 6";
    let exec = ["exec", "--exec-id", "e1", &name, "/bin/sh", "-c", script];
    let (status, said) = machine.ends(&all(&[&task, &exec]));
    assert_eq!((status, said), (6, proc::namespace(pid, "pid")));
    machine.done(&all(&[&task, &["pause", &name]]));
    assert!(is_frozen(pid));
    let list = machine.done(&all(&[&task, &["ls"]]));
    assert!(list.contains("PAUSED"), "{list}");
    machine.done(&all(&[&task, &["resume", &name]]));
    assert!(!is_frozen(pid));
    machine.done(&all(&[&task, &["kill", "-s", "9", &name]]));
    is_gone(pid);
    let deleted = machine.ends(&all(&[&task, &["rm", &name]]));
    assert!(deleted.1.contains("exit code 137"), "{deleted:?}");
    machine.done(&["ctr", "container", "rm", &name]);
}

fn podman_runs_a_command_to_its_end() {
    let machine = machine();
    let word = token();
    let script = format!("echo {word}; echo also >&2; exit 44");
    let output =
        machine.output(&all(&[&PODMAN, &ROOT, &["sh", "-c", &script]]));
    assert_eq!(output.status.code(), Some(44), "{output:?}");
    assert_eq!(text(&output.stdout), word);
    assert_eq!(text(&output.stderr), "also");
    let cat = all(&[&PODMAN, &["-i"], &ROOT, &["cat"]]);
    assert_eq!(machine.told(&cat, &word), word);
    // On a bridge, unless it is told otherwise.
    let run = ["podman", "run", "--rm"];
    let interfaces = machine.done(&all(&[&run, &ROOT, &["ip", "link"]]));
    assert!(interfaces.contains(" eth0@"), "{interfaces}");
    // A cgroup of its own would be longer than podman's.
    let cgroup = ["cat", "/proc/self/cgroup"];
    let own = machine.done(&cgroup);
    let none = ["--cgroups=disabled", "--cgroupns", "host"];
    assert_eq!(machine.done(&all(&[&PODMAN, &none, &ROOT, &cgroup])), own);
    let tty = machine.done(&all(&[&PODMAN, &["-t"], &ROOT, &["tty"]]));
    assert_eq!(tty, "/dev/pts/0");
    for (command, status) in [("nothere", 127), ("/etc/passwd", 126)] {
        let words = all(&[&PODMAN, &ROOT, &[command]]);
        let (ended, said) = machine.ends(&words);
        assert_eq!(ended, status, "{said}");
    }
}

fn podman_keeps_a_container_in_the_background() {
    let machine = machine();
    let name = token();
    let mark = format!("MARK={name}");
    let options = [
        "-d",
        "--name",
        &name,
        "-e",
        &mark,
        "-u",
        "1000:1000",
        "-m",
        "33m",
        "--pids-limit",
        "19",
        "--read-only",
        "--tmpfs",
        "/t",
    ];
    let script = "touch /t/x /x; exec sleep 1000";
    let words = all(&[&PODMAN, &options, &ROOT, &["sh", "-c", script]]);
    machine.done(&words);
    let pid = first(&name);
    assert_eq!(
        proc::status(pid, "Uid").as_deref(),
        Some("1000\t1000\t1000\t1000")
    );
    assert_eq!(limit(pid, "pids.max", "pids.max"), "19");
    let bytes = (33 << 20).to_string();
    assert_eq!(limit(pid, "memory.limit_in_bytes", "memory.max"), bytes);
    let logs = eventually("a refusal", || {
        let (_, logs) = machine.ends(&["podman", "logs", &name]);
        (!logs.is_empty()).then_some(logs)
    });
    assert_eq!(logs, "touch: /x: Read-only file system");
    let script = "readlink /proc/1/ns/mnt; exit 6";
    let (status, said) =
        machine.ends(&["podman", "exec", &name, "sh", "-c", script]);
    assert_eq!((status, said), (6, proc::namespace(pid, "mnt")));
    let top = machine.done(&["podman", "top", &name, "hpid", "comm"]);
    assert!(top.contains("sleep"), "{top}");
    machine.done(&["podman", "pause", &name]);
    assert!(is_frozen(pid));
    machine.done(&["podman", "unpause", &name]);
    assert!(!is_frozen(pid));
    machine.ends(&["podman", "stop", "-t", "1", &name]);
    is_gone(pid);
    eventually("no container", || {
        machine.done(&["podman", "ps", "-aq"]).is_empty().then_some(())
    });
}

/// docker says itself that it has the runtime; podman's file does. Without a
/// docker that answers, the doctor reads docker's file.
fn the_doctor_knows_these_engines() {
    let machine = machine();
    let doctor = testbed::checkout().join("scripts/doctor.sh");
    let doctor = doctor.to_str().expect("a path");
    let asked = |before: &str| {
        // Without steps that it could try: those are for others to judge.
        let nowhere = "export WORKSHOP_BIN=/nowhere CARGO_TARGET_DIR=/nowhere";
        let script = format!("{nowhere}; {before}; exec {doctor}");
        let words = ["unshare", "--mount", "sh", "-c", &script];
        let said = machine.ends(&words).1;
        let engines = said.split_once("Engines that can drive step 11:\n");
        let (_, engines) = engines.expect("a list of engines");
        engines.split("\n\n").next().unwrap_or_default().to_owned()
    };
    let knows = "  docker: it has a runtime workshop (it says so)\n    \
                 docker run --rm -it --runtime workshop IMAGE\n";
    let engines = asked(":");
    assert!(engines.contains(knows), "{engines}");
    let podman = "  podman: it has a runtime workshop \
                  (/etc/containers/containers.conf)\n";
    assert!(engines.contains(podman), "{engines}");
    assert!(engines.contains("ctr run --rm -t --runc-binary /"), "{engines}");
    let engines = asked("mount --bind /dev/null /run/docker.pid");
    let read = "workshop (/etc/docker/daemon.json)\n";
    assert!(engines.contains(read), "{engines}");

    // What it says of a docker that does not know ours: a reload is all it takes.
    let (name, pid) = background(machine, &[], "exec sleep 1000");
    let call_it = |old: &str, new: &str| {
        let script = format!(
            "sed -i 's/\"{old}\"/\"{new}\"/' /etc/docker/daemon.json
             kill -HUP $(cat /run/docker.pid)
             until docker info -f '{{{{.Runtimes}}}}' | grep {new}: ; do
                 sleep 0.05
             done"
        );
        machine.done(&["sh", "-c", &script]);
    };
    call_it("workshop", "another");
    let engines = asked(":");
    assert!(engines.contains("sudoedit /etc/docker/daemon.json"), "{engines}");
    call_it("another", "workshop");
    assert!(asked(":").contains(knows));
    assert!(proc::runs(pid));
    machine.done(&["docker", "rm", "-f", &name]);
}

/// In a machine where they are installed: this one.
fn engines_that_are_installed_are_used_and_left_alone() {
    let machine = machine();
    let script = testbed::checkout().join("scripts/engines.sh");
    let script = script.to_str().expect("a path");
    assert_eq!(machine.done(&[script, "--check"]), "/");
    let (name, pid) = background(machine, &[], "exec sleep 1000");
    let inside = format!("docker ps -aq; docker run --rm box echo {name}");
    let said = machine.done(&[script, "--", "sh", "-c", &inside]);
    assert_eq!(said, name);
    assert!(proc::runs(pid));
    machine.done(&["docker", "rm", "-f", &name]);
}

fn nothing_of_the_engines_is_left() {
    let machine = last_machine();
    let (_, pid) = background(machine, &[], "exec sleep 1000");
    let before = host();
    machine.end(false);
    is_gone(pid);
    assert_eq!(host(), before);
}

fn engines_that_are_killed_leave_nothing() {
    needs_engines();
    let before = host();
    let machine = Machine::start(&[]);
    let (_, pid) = background(&machine, &[], "exec sleep 1000");
    machine.end(true);
    is_gone(pid);
    assert_eq!(host(), before);
}

/// What an engine could have left in a machine: mounts, and files.
fn host() -> Vec<String> {
    let mounts = proc::mounts(std::process::id() as i32);
    let mut found: Vec<_> = mounts.iter().map(|it| format!("{it:?}")).collect();
    for place in ["/run", "/etc/docker", "/etc/containers", "/var/lib"] {
        let entries = fs::read_dir(place).into_iter().flatten().flatten();
        found.extend(entries.map(|it| it.path().display().to_string()));
    }
    found.sort();
    found
}
