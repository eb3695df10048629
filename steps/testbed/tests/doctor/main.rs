#![forbid(unsafe_code)]
//! What the doctor says is true: of machines that are made up, file by file,
//! and of this one.

mod odd_hosts;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use odd_hosts::*;
use serde_json::Value;
use tempfile::TempDir;
use testbed::{Step, needs, skip, slowness};

testbed::main!(
    it_knows_what_ails_a_made_up_machine,
    its_json_and_its_table_say_the_same,
    it_answers_within_a_second,
    it_leaves_nothing,
    before_anything_is_built_it_reads_and_says_so,
    what_a_step_does_counts_more_than_what_is_read,
    what_runs_and_does_less_than_it_could_is_told,
    what_it_says_of_the_host_is_so,
    what_it_says_of_the_playground_is_so,
    what_it_says_of_rootless_is_so,
    what_it_says_where_no_program_gains_rights_is_so,
    newuidmap_without_rights_is_told,
    a_try_that_fails_unexpectedly_keeps_its_reason,
    user_namespaces_for_root_alone_are_told_with_a_way_out_that_works,
    where_processes_of_others_are_hidden_it_is_right,
    where_nothing_in_tmp_can_be_executed_it_is_right,
    without_ipv6_it_is_right,
    where_docker_has_its_rules_it_is_right,
    where_a_vpn_takes_all_packets_it_is_right,
    where_apparmor_takes_all_capabilities_it_is_right,
    where_docker_runs_it_is_right,
    where_podman_runs_a_container_it_is_right,
    where_selinux_enforces_it_is_right,
    where_ufw_is_on_it_is_right,
    where_firewalld_runs_it_is_right,
    where_coreutils_are_rusts_it_is_right,
);

// ── machines that are made up ───────────────────────────────────────────────

/// The files that stand for / in everything that the doctor reads.
struct Machine {
    root: TempDir,
    variables: Vec<(&'static str, &'static str)>,
}

const KERNEL: &str = "6.8.0-31-generic";
const SERVICE: &str =
    "sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service";

impl Machine {
    /// A laptop on which all is well: systemd, cgroup v2, and user 1000, who
    /// asks.
    fn good() -> Machine {
        let root = tempfile::tempdir().expect("a directory");
        let machine = Machine { root, variables: vec![] };
        let modules = ["net/veth", "net/bridge/bridge", "net/nf_tables"];
        let modules = modules.map(|m| format!("kernel/{m}.ko:\n")).concat();
        for (file, text) in [
            ("proc/sys/kernel/osrelease", KERNEL),
            ("proc/sys/kernel/arch", "x86_64"),
            ("proc/sys/user/max_user_namespaces", "60000"),
            (
                "proc/self/status",
                "Name:\tbash\nUid:\t1000\t1000\t1000\t1000\n\
                 Gid:\t1000\t1000\t1000\t1000\nCapBnd:\t000001ffffffffff\n\
                 NoNewPrivs:\t0\nSeccomp:\t0\n",
            ),
            ("proc/self/uid_map", "0 0 4294967295"),
            ("proc/self/ns/user", ""),
            (
                "proc/self/mountinfo",
                "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
                 23 22 0:21 / /proc rw shared:5 - proc proc rw\n\
                 30 22 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw\n\
                 33 23 0:30 / /proc/sys/fs/binfmt_misc rw - autofs x rw\n",
            ),
            (
                "proc/self/cgroup",
                "0::/user.slice/user-1000.slice/session-2.scope",
            ),
            ("proc/filesystems", "nodev\tproc\nnodev\toverlay\n"),
            ("proc/sys/kernel/seccomp/actions_avail", "kill errno log allow"),
            ("proc/modules", "overlay 1 0 - Live 0x0\n"),
            ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids"),
            ("run/user/1000/bus", ""),
            ("dev/net/tun", ""),
            ("etc/subuid", "1000:100000:65536"),
            ("etc/subgid", "1000:100000:65536"),
        ] {
            machine.write(file, text);
        }
        let delegated = format!("{SERVICE}/cgroup.controllers");
        machine.write(&delegated, "cpu memory pids");
        let built = format!("lib/modules/{KERNEL}/modules");
        let modules = modules + "kernel/net/nft_masq.ko:\n";
        machine.write(&format!("{built}.dep"), &modules);
        machine.write(&format!("{built}.builtin"), "");
        for program in [
            "usr/bin/newuidmap",
            "usr/bin/newgidmap",
            "usr/bin/pasta",
            "usr/bin/sudo",
            "usr/sbin/nft",
            "usr/lib/systemd/systemd",
        ] {
            machine.has(program);
        }
        machine
    }

    /// A program.
    fn has(&self, program: &str) {
        self.write(program, "");
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.path(program), executable).expect("chmod");
    }

    fn path(&self, file: &str) -> PathBuf {
        self.root.path().join(file)
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        let directory = path.parent().expect("a directory");
        fs::create_dir_all(directory).expect("make directories");
        let end =
            if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        fs::write(path, format!("{text}{end}")).expect("write");
    }

    fn lacks(&self, file: &str) {
        fs::remove_file(self.path(file)).expect("remove");
    }

    fn change(&self, file: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(file)).expect("read");
        assert!(text.contains(from), "{file} has no {from}");
        fs::write(self.path(file), text.replace(from, to)).expect("write");
    }

    fn add(&self, file: &str, line: &str) {
        let text = fs::read_to_string(self.path(file)).unwrap_or_default();
        self.write(file, &(text + line + "\n"));
    }

    fn asked_by_root(&self) {
        self.change("proc/self/status", "Uid:\t1000\t1000", "Uid:\t0\t0");
    }

    fn in_docker(&self) {
        self.write(".dockerenv", "");
        let status = "proc/self/status";
        self.change(status, "000001ffffffffff", "00000000a80425fb");
        self.change(status, "Seccomp:\t0", "Seccomp:\t2");
        let mounts = "proc/self/mountinfo";
        self.change(mounts, "ext4", "overlay");
        self.change(mounts, "cgroup rw", "cgroup ro");
        self.mask_proc();
    }

    fn mask_proc(&self) {
        let mask = "40 23 0:40 / /proc/kcore rw - tmpfs tmpfs rw";
        self.add("proc/self/mountinfo", mask);
    }

    fn no_v2(&self) {
        let v2 = "30 22 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw";
        self.change("proc/self/mountinfo", v2, "");
        self.change("proc/self/mountinfo", "\n\n", "\n");
    }

    fn cgroup_v1(&self) {
        self.no_v2();
        for c in ["memory", "pids", "cpu,cpuacct"] {
            let mount = format!(
                "4 22 0:1 / /sys/fs/cgroup/{c} rw shared:1 - cgroup cgroup rw,{c}"
            );
            self.add("proc/self/mountinfo", &mount);
        }
    }

    fn asked(&self, arguments: &[&str]) -> Output {
        let mut doctor = Step::script("doctor.sh").args(arguments);
        let command = doctor.command();
        for variable in ["HOME", "PLAYGROUND", "SUDO_UID", "SUDO_GID"] {
            command.env_remove(variable);
        }
        command.env("DOCTOR_ROOT", self.root.path());
        command.envs(self.variables.iter().copied());
        doctor.output()
    }
}

/// What ails the machine, and what makes it so; the verdicts for the ten
/// steps in the playground and on the host, and for the last six, rootless
/// (works, partly, no); a part of what the doctor prints.
type Case = (&'static str, fn(&mut Machine), &'static str, &'static str);

const ALL_WELL: &str = "wwwwwwwwww/wwwwwwwwww/wwwwww";

#[rustfmt::skip] // a table is read by its columns
const CASES: &[Case] = &[
    ("nothing", |_| {}, ALL_WELL, r#""every_step_works":true"#),
    ("no user namespaces at all", |m| m.write("proc/sys/user/max_user_namespaces", "0"),
        "nnnnnnnnnn/wwwwnnnnnn/nnnnnn", "sysctl -w user.max_user_namespaces=15000"),
    ("no user namespaces for users", |m| m.write("proc/sys/kernel/unprivileged_userns_clone", "0"),
        "nnnnnnnnnn/wwwwwwwwww/nnnnnn", "sysctl -w kernel.unprivileged_userns_clone=1"),
    ("a chroot", |m| m.change("proc/self/mountinfo", "8:1 / / rw", "8:1 / /srv rw"),
        "nnnnnnnnnn/wwwwnnnnnn/nnnnnn", "this is a chroot"),
    ("a range with oneself in it, then another", |m| {
        m.write("etc/subuid", "1000:900:500\n1000:100000:65536");
    }, ALL_WELL, r#""every_step_works":true"#),
    ("no range but one with one's own group in it", |m| m.write("etc/subgid", "1000:900:500"),
        "wwwwpwwwww/wwwwwwwwww/pwwwww", "usermod --add-subuids"),
    ("AppArmor", |m| m.write("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
        "nnnnnnnnnn/wwwwwwwwww/nnnnnn", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
    ("no subordinate ids", |m| m.lacks("etc/subuid"),
        "wwwwpwwwww/wwwwwwwwww/pwwwww", "usermod --add-subuids"),
    ("no newuidmap", |m| m.lacks("usr/bin/newuidmap"),
        "wwwwpwwwww/wwwwwwwwww/pwwwww", "newuidmap is missing"),
    ("no nft", |m| m.lacks("usr/sbin/nft"),
        "wwwwwwwpww/wwwwwwwpww/wwwwww", "nft is missing"),
    ("no pasta", |m| m.lacks("usr/bin/pasta"),
        "wwwwwwwwww/wwwwwwwwww/wwwpww", "package passt"),
    ("no tun", |m| m.lacks("dev/net/tun"),
        "wwwwwwwwww/wwwwwwwwww/wwwpww", "modprobe tun"),
    ("no sudo", |m| m.lacks("usr/bin/sudo"),
        "wwwwwwwwww/nnnnnnnnnn/wwwwww", "there is no sudo"),
    ("no_new_privs", |m| m.change("proc/self/status", "NoNewPrivs:\t0", "NoNewPrivs:\t1"),
        "wwwwpwwwww/nnnnnnnnnn/pwwwww", "no_new_privs is set"),
    ("cpu is not delegated", |m| m.write(&format!("{SERVICE}/cgroup.controllers"), "memory pids"),
        "wwwwwpwwww/wwwwwwwwww/wpwwww", "does not delegate cpu"),
    ("nothing is delegated", |m| m.write(&format!("{SERVICE}/cgroup.controllers"), ""),
        "wwwwwnwwwp/wwwwwwwwww/wnwwwp", "delegate.conf"),
    ("no user session", |m| m.lacks("run/user/1000/bus"),
        "wwwwwnwwwp/wwwwwwwwww/wnwwwp", "enable-linger"),
    ("no session, an own cgroup", |m| {
        m.lacks("run/user/1000/bus");
        let own = "sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope";
        m.write(&format!("{own}/cgroup.controllers"), "cpu memory pids");
        m.write(&format!("{own}/cgroup.procs"), "");
    }, ALL_WELL, r#""every_step_works":true"#),
    ("cgroup v1", |m| m.cgroup_v1(),
        "wwwwwnwwwp/wwwwwwwwww/wnwwwp", "unified_cgroup_hierarchy=1"),
    ("WSL 2 with cgroup v1", |m| {
        m.cgroup_v1();
        m.write("proc/sys/kernel/osrelease", "5.15.90.1-microsoft-standard-WSL2");
    }, "wwwwwnwwwp/wwwwwwwwww/wnwwwp", ".wslconfig"),
    ("no cgroups", |m| m.no_v2(),
        "wwwwwnwwwp/wwwwwnwwwp/wnwwwp", "no cgroup filesystem"),
    ("no memory controller", |m| m.write("sys/fs/cgroup/cgroup.controllers", "cpu pids"),
        "wwwwwwwwww/wwwwwnwwwp/wwwwww", "the controller memory"),
    ("an old kernel", |m| {
        m.write("proc/sys/kernel/osrelease", "5.10.0-28-amd64");
        let modules = m.path("lib/modules");
        fs::rename(modules.join(KERNEL), modules.join("5.10.0-28-amd64")).expect("rename");
    }, "wwwwwwnnnn/wwwwwwwwww/wwnnnn", "lets only the host's root mount an overlay"),
    ("another architecture", |m| m.write("proc/sys/kernel/arch", "riscv64"),
        ALL_WELL, "tested on x86_64 and aarch64, not on riscv64"),
    ("no systemd", |m| m.lacks("usr/lib/systemd/systemd"),
        "wwwwwwwwwp/wwwwwwwwwp/wwwwwp", "debian-root.sh"),
    ("no filters for system calls", |m| m.lacks("proc/sys/kernel/seccomp/actions_avail"),
        "wwwwwwwwpw/wwwwwwwwpw/wwwwpw", "seccomp=unconfined"),
    ("no veth", |m| m.change(&format!("lib/modules/{KERNEL}/modules.dep"), "net/veth", "net/x"),
        "wwwwwwwnnn/wwwwwwwnnn/wwwwww", "no veth module"),
    ("an upgraded kernel", |m| {
        let modules = m.path("lib/modules");
        fs::rename(modules.join(KERNEL), modules.join("6.9.0")).expect("rename");
    }, "wwwwwwwnnn/wwwwwwwnnn/wwwwww", "upgraded on disk"),
    ("no overlay", |m| m.write("proc/filesystems", "nodev\tproc\n"),
        "wwwwwwnnnn/wwwwwwnnnn/wwnnnn", "no overlay module"),
    ("no user namespaces in the kernel", |m| m.lacks("proc/self/ns/user"),
        "nnnnnnnnnn/wwwwnnnnnn/nnnnnn", "built without user namespaces"),
    ("WSL 1", |m| m.write("proc/sys/kernel/osrelease", "4.4.0-19041-Microsoft"),
        "nnnnnnnnnn/wwwwnnnnnn/nnnnnn", "--set-version"),
    ("docker", |m| { m.in_docker(); m.asked_by_root(); },
        "nnnnnnnnnn/wnnnnnnnnn/nnnnnn", "--privileged"),
    ("docker, a user", |m| m.in_docker(),
        "nnnnnnnnnn/wnnnnnnnnn/nnnnnn", "seccomp filter refuses"),
    ("a privileged container", |m| { m.write(".dockerenv", ""); m.lacks("run/user/1000/bus"); },
        "wwwwwnwwwp/wwwwwwwwww/wnwwwp", "this container has no systemd"),
    ("a masked /proc", |m| { m.write("run/.containerenv", ""); m.mask_proc(); },
        "wwwnnnnnnn/wwwwwwwwww/nnnnnn", "hides /proc/kcore"),
    ("/ is an overlay", |m| m.change("proc/self/mountinfo", "ext4", "overlay"),
        ALL_WELL, "step 07 needs --upper"),
    ("a checkout that a virtual machine sees by 9p", |m| m.change("proc/self/mountinfo", "ext4", "9p"),
        ALL_WELL, "another system's files (9p)"),
    ("a checkout by 9p that something covers", |m| {
        m.change("proc/self/mountinfo", "ext4", "9p");
        m.add("proc/self/mountinfo", "50 22 8:2 / / rw - ext4 /dev/sda2 rw");
    }, ALL_WELL, r#""notes":[]"#),
    ("ChromeOS", |m| m.write("dev/.cros_milestone", ""),
        ALL_WELL, "the Linux of ChromeOS"),
    ("the playground of a user of one id", |m| {
        m.asked_by_root();
        m.write("proc/self/uid_map", "0 1000 1");
        m.variables = vec![("PLAYGROUND", "1")];
    }, "wwwwpwwwww/wwwwpwwwww/nnnnnn", "its pretend host"),
    ("root asks, by sudo", |m| {
        m.asked_by_root();
        m.variables = vec![("SUDO_UID", "1000"), ("SUDO_GID", "1000")];
        m.lacks("etc/subgid");
    }, "wwwwwwwwww/wwwwwwwwww/pwwwww", "no range for 1000"),
    ("no engine", |_| {}, ALL_WELL, "sudo ./scripts/engines.sh"),
    ("docker", |m| m.has("usr/sbin/dockerd"), ALL_WELL, "| sudo tee /etc/docker/daemon.json && sudo systemctl reload docker"),
    ("docker with a runtime", |m| {
        m.has("usr/sbin/dockerd");
        m.write(DAEMON, r#"{ "runtimes": { "crun": { "path": "/usr/bin/crun" } } }"#);
    }, ALL_WELL, "sudoedit /etc/docker/daemon.json (add "),
    ("docker with ours", |m| {
        m.has("usr/sbin/dockerd");
        m.has("opt/runtime");
        m.write(DAEMON, "{ \"runtimes\": { \"workshop\": {\n\"path\": \"/opt/runtime\" } } }");
    }, ALL_WELL, "docker run --rm -it --runtime workshop IMAGE"),
    ("docker with ours, which is gone", |m| {
        m.has("usr/sbin/dockerd");
        m.write(DAEMON, r#"{ "runtimes": { "workshop": { "path": "/opt/runtime" } } }"#);
    }, ALL_WELL, "not there: /opt/runtime"),
    ("docker that is podman", |m| {
        m.has("usr/bin/docker");
        m.has("usr/bin/podman");
    }, ALL_WELL, r#""engines":[
 {"engine":"podman","verdict":"takes""#),
    ("podman with ours", |m| {
        m.has("usr/bin/podman");
        m.write("etc/containers/containers.conf", "[engine.runtimes]\nworkshop = [\"/opt/runtime\"]");
    }, ALL_WELL, "podman --runtime workshop run"),
    ("containerd", |m| m.has("usr/bin/ctr"), ALL_WELL, "sudo ctr run --rm -t --runc-binary /"),
    ("rootless docker lacks its kit", |m| m.has("usr/sbin/dockerd"), ALL_WELL, "sudo apt install rootlesskit slirp4netns"),
    ("rootless docker without ids", |m| {
        for program in ["sbin/dockerd", "bin/rootlesskit", "bin/slirp4netns"] {
            m.has(&format!("usr/{program}"));
        }
        m.lacks("etc/subuid");
    }, "wwwwpwwwww/wwwwwwwwww/pwwwww", "it needs a range of ids (no range for 1000"),
    ("rootless podman without ids", |m| {
        m.has("usr/bin/podman");
        m.lacks("usr/bin/newuidmap");
    }, "wwwwpwwwww/wwwwwwwwww/pwwwww", "it works with one id only"),
    ("rootless podman with cgroup v1", |m| {
        m.has("usr/bin/podman");
        m.cgroup_v1();
    }, "wwwwwnwwwp/wwwwwwwwww/wnwwwp", "it works, but without limits and without pause"),
    ("rootless podman without a network", |m| {
        m.has("usr/bin/podman");
        m.lacks("usr/bin/pasta");
    }, "wwwwwwwwww/wwwwwwwwww/wwwpww", "it needs slirp4netns, or pasta"),
];

const DAEMON: &str = "etc/docker/daemon.json";

/// Among them AppArmor's restriction, which no kernel here has.
fn it_knows_what_ails_a_made_up_machine() {
    if needs::in_the_lab() || std::env::var_os("PLAYGROUND").is_some() {
        skip("a made-up machine is the same everywhere: judged on the host");
    }
    let mut wrong = vec![];
    for (ailment, make, expected, part) in CASES {
        let mut machine = Machine::good();
        make(&mut machine);
        let output = machine.asked(&["--json"]);
        let report = Report::of(&output);
        let verdicts = report.verdicts();
        let status = output.status.code();
        if verdicts != *expected
            || !text(&output.stdout).contains(part)
            || !report.bare().is_empty()
            || status != Some(i32::from(!report.works()))
        {
            wrong.push(format!(
                "{ailment}: {verdicts}, not {expected} with {part:?}, \
                 status {status:?}\n{}",
                text(&output.stderr)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What `doctor.sh --json` says.
struct Report(Value);

impl Report {
    fn of(output: &Output) -> Report {
        let json = serde_json::from_slice(&output.stdout);
        Report(json.unwrap_or_else(|e| panic!("{e}: {output:?}")))
    }

    fn works(&self) -> bool {
        self.0["every_step_works"] == true
    }

    fn steps(&self) -> &[Value] {
        self.0["steps"].as_array().expect("steps")
    }

    /// `verdict`, `why` or `mend` of a step in one way to run it.
    fn says(&self, step: usize, way: &str, field: &str) -> &str {
        word(&self.steps()[step - 1][way][field])
    }

    /// The first letter of each verdict: playground, host, rootless from step
    /// 05.
    fn verdicts(&self) -> String {
        let of = |way: &str, first: usize| -> String {
            (first..=self.steps().len())
                .map(|step| &self.says(step, way, "verdict")[..1])
                .collect()
        };
        [of("playground", 1), of("host", 1), of("rootless", 5)].join("/")
    }

    /// What fails without a word on why, or on what to do.
    fn bare(&self) -> Vec<&Value> {
        let cells = self.steps().iter().flat_map(|step| {
            ["playground", "host", "rootless"].map(|way| &step[way])
        });
        let fails =
            |cell: &&Value| ["no", "partly"].contains(&word(&cell["verdict"]));
        let bare = |cell: &&Value| cell["why"] == "" || cell["mend"] == "";
        cells.filter(fails).filter(bare).collect()
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn its_json_and_its_table_say_the_same() {
    needs::time();
    let machine = Machine::good();
    machine.in_docker();
    machine.has("usr/sbin/dockerd");
    machine.has("usr/bin/ctr");
    let table = machine.asked(&[]);
    let (status, table) = (table.status.code(), text(&table.stdout));
    assert_eq!(status, Some(1));
    let report = Report::of(&machine.asked(&["--json"]));
    for step in 1..=report.steps().len() {
        let why = report.says(step, "host", "why");
        assert!(table.contains(why), "{why}: {table}");
    }
    assert!(table.contains("not work here in any way: 02 03"), "{table}");
    let engines = report.0["engines"].as_array().expect("engines");
    assert_eq!(engines.len(), 3, "{engines:?}");
    for engine in engines {
        let said = |field| word(&engine[field]);
        let told = format!(
            "  {}: {}\n    {}\n",
            said("engine"),
            said("why"),
            said("mend")
        );
        assert!(table.contains(&told), "{told}: {table}");
    }
    assert!(!table.contains('\x1b'), "colours in a pipe: {table}");
}

// ── this machine ────────────────────────────────────────────────────────────

fn it_answers_within_a_second() {
    needs::real_processor();
    // Others come and go on this machine: each try has a limit of its own.
    let tries: Vec<_> = (0..5)
        .map(|_| (Step::script("doctor.sh").cpu_seconds(), slowness() / 2.0))
        .collect();
    let is_quick = tries.iter().any(|(seconds, limit)| seconds < limit);
    assert!(is_quick, "seconds, and how many it has: {tries:?}");
}

fn it_leaves_nothing() {
    needs::real_processor();
    let watch = testbed::watch::Watch::begin();
    let doctor = Step::script("doctor.sh").args(["--json"]);
    let _ = watch.over_script(doctor).output();
    watch.assert_nothing_left("doctor.sh");
}

fn before_anything_is_built_it_reads_and_says_so() {
    needs::time();
    let asked = |variables: &[(&str, &str)]| {
        let mut doctor = Step::script("doctor.sh").args(["--json"]);
        doctor.command().envs(variables.iter().copied());
        doctor.output()
    };
    let nowhere = "/nowhere";
    let unbuilt = [("WORKSHOP_BIN", nowhere), ("CARGO_TARGET_DIR", nowhere)];
    let note = "To build them: cargo build --workspace";
    let (unbuilt, built) = (asked(&unbuilt), asked(&[]));
    assert!(text(&unbuilt.stdout).contains(note), "{unbuilt:?}");
    assert!(!text(&built.stdout).contains(note), "{built:?}");
    let how = |output, step| {
        Report::of(output).says(step, "playground", "how").to_owned()
    };
    for step in 1..=10 {
        assert_eq!(how(&unbuilt, step), "read", "step {step}: {unbuilt:?}");
        assert_eq!(how(&built, step), "tried", "step {step}: {built:?}");
    }
}

/// One that fails in spite of all that is read, and one that works.
fn what_a_step_does_counts_more_than_what_is_read() {
    if needs::in_the_lab() {
        skip("a script says the same everywhere: judged outside");
    }
    let programs = testbed::binary("01-chroot").with_file_name("");
    let made = tempfile::tempdir().expect("a directory");
    let all = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&made, all.clone()).expect("chmod");
    for name in ["playground", "01-chroot"] {
        symlink(programs.join(name), made.path().join(name)).expect("link");
    }
    for (name, script) in [
        ("02-uts-namespace", "echo 02: its own words >&2; exit 125"),
        // As timeout(1) says it of what it has ended.
        ("03-pid-namespace", "exit 124"),
        ("06-cgroups", "true"),
    ] {
        let program = made.path().join(name);
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("write");
        fs::set_permissions(program, all.clone()).expect("chmod");
    }
    let mut doctor = Step::script("doctor.sh").args(["--json"]);
    doctor.command().env("WORKSHOP_BIN", made.path());
    let output = doctor.output();
    let report = Report::of(&output);
    assert_eq!(report.says(2, "playground", "verdict"), "no", "{output:?}");
    assert_eq!(report.says(2, "playground", "why"), "02: its own words");
    let why = report.says(3, "playground", "why");
    assert_eq!(why, "03-pid-namespace does not end within 30 s");
    assert_eq!(report.says(6, "playground", "verdict"), "works", "{output:?}");
}

/// Step 10 without an init: a command runs in it.
fn what_runs_and_does_less_than_it_could_is_told() {
    needs::time();
    needs::root();
    let without = "exec unshare --mount sh -c '
        init=/usr/lib/systemd/systemd
        [ ! -e $init ] || mount --bind /dev/null $init
        exec \"$@\"' sh \"$@\"";
    let doctor = Step::script("doctor.sh").args(["--json"]);
    let output = doctor.in_shell(without).output();
    let report = Report::of(&output);
    let says = |field| report.says(10, "host", field);
    let verdict = [says("verdict"), says("how")];
    assert_eq!(verdict, ["partly", "tried"], "{output:?}");
    assert!(says("why").contains("this host has no systemd"), "{output:?}");
}

/// What came of a step: its exit status, and everything else about it.
type Outcome = (Option<i32>, String);

fn outcome(output: &Output) -> Outcome {
    (output.status.code(), format!("{output:?}"))
}

/// Compares each step's verdict in one way with what happens: `run` starts all
/// of them, with arguments that need what is new in each.
fn compare(
    way: &str,
    steps: &[usize],
    run: impl Fn(&[Vec<&str>]) -> Vec<Outcome>,
) {
    let asked = Step::script("doctor.sh").args(["--json"]).output();
    compare_with(&asked, way, steps, run);
}

/// The same, with what the doctor has already said.
fn compare_with(
    asked: &Output,
    way: &str,
    steps: &[usize],
    run: impl Fn(&[Vec<&str>]) -> Vec<Outcome>,
) {
    let report = Report::of(asked);
    let extra: [&[&str]; 10] = [
        &[],
        &["--hostname", "box"],
        &["--init"],
        &["--read-only"],
        &[],
        &["--memory", "64M", "--pids-limit", "20", "--cpus", "0.5"],
        &[],
        &[],
        &["--cap-drop", "ALL"],
        &[],
    ];
    let name = |step: &Value| {
        format!("{}-{}", word(&step["step"]), word(&step["name"]))
    };
    let names: Vec<_> = report.steps().iter().map(name).collect();
    let command = |&step: &usize| {
        let mut words = vec![&*names[step - 1]];
        words.extend(extra[step - 1]);
        words.extend(["--quiet", "--", "/bin/sh", "-c", "exit 7"]);
        words
    };
    let outcomes = run(&steps.iter().map(command).collect::<Vec<_>>());
    assert_eq!(outcomes.len(), steps.len(), "{outcomes:?}");
    for (step, (status, told)) in steps.iter().zip(outcomes) {
        let name = &names[step - 1];
        let runs = status == Some(7);
        match report.says(*step, way, "verdict") {
            "works" => assert!(runs, "{name} {way}: {told}\n{asked:?}"),
            "no" => {
                assert!(!runs, "{name} {way} runs all the same\n{asked:?}");
            }
            // It runs, with less; and with the limits that are there.
            "partly" => assert!(runs || *step == 6, "{name} {way}: {told}"),
            other => panic!("{name} {way}: {other}"),
        }
    }
}

/// Runs them on this machine, one after the other.
fn here(commands: &[Vec<&str>]) -> Vec<Outcome> {
    let run =
        |words: &Vec<&str>| Step::telling(words[0]).args(&words[1..]).output();
    commands.iter().map(|words| outcome(&run(words))).collect()
}

/// Runs them in one playground. If there is none, nothing runs.
fn in_a_playground(commands: &[Vec<&str>]) -> Vec<Outcome> {
    let run = |words: &Vec<&str>| {
        format!("{}; echo \"status $?\"\n", shell_words::join(words))
    };
    let script: String = commands.iter().map(run).collect();
    let output =
        Step::script("playground.sh").args(["bash", "-c", &script]).output();
    let said = text(&output.stdout);
    let mut statuses = said
        .lines()
        .filter_map(|line| line.strip_prefix("status ")?.parse().ok());
    let (_, told) = outcome(&output);
    commands.iter().map(|_| (statuses.next(), told.clone())).collect()
}

fn what_it_says_of_the_host_is_so() {
    needs::time();
    needs::root();
    // Step 08 builds a bridge, and the real host's network is not ours to
    // change.
    let own = std::env::var_os("PLAYGROUND").is_some() || needs::in_the_lab();
    let last = if own { 10 } else { 7 };
    let steps: Vec<_> = (1..=last).collect();
    compare("host", &steps, here);
}

fn what_it_says_of_the_playground_is_so() {
    if Path::new("/proc/self/ns/user").exists()
        && std::env::var_os("PLAYGROUND").is_some()
    {
        skip("in the playground, the host is what counts");
    }
    if needs::is_root() && needs::in_the_lab() {
        needs::time();
    }
    compare("playground", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], in_a_playground);
}

fn what_it_says_of_rootless_is_so() {
    needs::ordinary_user();
    compare("rootless", &[5, 6, 7, 8, 9, 10], here);
}

/// newuidmap has no power there. For the doctor, the steps and the playground
/// that means one id and no more.
fn what_it_says_where_no_program_gains_rights_is_so() {
    needs::ordinary_user();
    let without = |step: Step| {
        step.in_shell("exec setpriv --no-new-privs -- \"$@\"").output()
    };
    let doctor = || Step::script("doctor.sh").args(["--json"]);
    let run = |words: &Vec<&str>| {
        let step = Step::telling(words[0]).args(&words[1..]);
        outcome(&without(step))
    };
    let all = |commands: &[Vec<&str>]| commands.iter().map(run).collect();
    let asked = without(doctor());
    compare_with(&asked, "rootless", &[5, 6, 7, 8], all);
    let verdict = Report::of(&asked);
    assert_eq!(verdict.says(5, "rootless", "verdict"), "partly");
    let verdict = verdict.says(1, "playground", "verdict").to_owned();
    let ids = ["bash", "-c", "echo $PLAYGROUND_IDS; exit 7"];
    let playground = without(Step::script("playground.sh").args(ids));
    let runs = playground.status.code() == Some(7);
    assert_eq!(runs, verdict == "works", "{playground:?}");
    assert!(!runs || playground.stdout == b"1\n", "{playground:?}");
}

fn newuidmap_without_rights_is_told() {
    needs::playground();
    let learner = Step::script("as-learner.sh").args(["true"]).output();
    if !learner.status.success() {
        skip("needs a learner with subordinate ids");
    }
    let spoilt = Step::script("as-learner.sh")
        .args(["./scripts/doctor.sh", "--json"])
        .in_shell(
            "programs=$(type -P newuidmap newgidmap) && chmod u-s $programs
             trap 'chmod u+s $programs' EXIT
             \"$@\"",
        )
        .output();
    let report = Report::of(&spoilt);
    assert_eq!(report.says(5, "rootless", "verdict"), "partly");
    let why = report.says(5, "rootless", "why");
    assert!(why.contains("newuidmap"), "{why}");
    assert!(why.contains("one id only"), "{why}");
    let mend = report.says(5, "rootless", "mend");
    assert!(mend.contains("chmod u+s"), "{mend}");
}

fn a_try_that_fails_unexpectedly_keeps_its_reason() {
    needs::time();
    let none = "exec unshare --user --map-root-user bash -c '
        echo 0 >/proc/sys/user/max_uts_namespaces && exec \"$@\"' bash \"$@\"";
    let doctor = Step::script("doctor.sh").args(["--json"]);
    let output = doctor.in_shell(none).output();
    let report = Report::of(&output);
    for (step, way) in [(1, "playground"), (2, "host")] {
        assert_eq!(report.says(step, way, "verdict"), "no", "{output:?}");
        let why = report.says(step, way, "why");
        assert!(why.contains("No space left on device"), "{why}");
        let mend = report.says(step, way, "mend");
        assert!(mend.contains("max_*_namespaces"), "{mend}");
    }
}

const KNOB: &str = "/proc/sys/kernel/unprivileged_userns_clone";

/// Debian's own limit, which was on for years. Lifted again on drop.
struct RootAlone;

impl RootAlone {
    fn begin() -> RootAlone {
        fs::write(KNOB, "0").expect("turn the knob");
        RootAlone
    }
}

impl Drop for RootAlone {
    fn drop(&mut self) {
        let _ = fs::write(KNOB, "1");
    }
}

/// Runs a program as the lab's own ordinary user, who has a session and sudo.
fn as_the_labs_learner(program: impl AsRef<Path>, args: &[&str]) -> Output {
    let mut learner = Command::new("runuser");
    learner.args(["-u", "learner", "--", "env", "HOME=/home/learner"]);
    learner.args(["XDG_RUNTIME_DIR=/run/user/1000", "USER=learner"]);
    learner.arg(program.as_ref()).args(args).current_dir(testbed::checkout());
    learner.env_remove("XDG_CACHE_HOME").stdin(Stdio::null());
    learner.output().expect("runuser")
}

fn user_namespaces_for_root_alone_are_told_with_a_way_out_that_works() {
    needs::lab();
    needs::time();
    needs::host_root();
    if !Path::new(KNOB).exists() {
        skip("this kernel has no kernel.unprivileged_userns_clone");
    }
    let limit = RootAlone::begin();
    let doctor = testbed::checkout().join("scripts/doctor.sh");
    let report = Report::of(&as_the_labs_learner(doctor, &["--json"]));
    for (step, way) in [(1, "playground"), (5, "rootless"), (8, "rootless")] {
        assert_eq!(report.says(step, way, "verdict"), "no", "{step} {way}");
        let why = report.says(step, way, "why");
        assert!(why.contains("unprivileged_userns_clone is 0"), "{why}");
    }
    let playground = testbed::checkout().join("scripts/playground.sh");
    let refused = as_the_labs_learner(playground, &["true"]);
    assert_eq!(refused.status.code(), Some(125), "{refused:?}");
    let told = text(&refused.stderr);
    assert!(told.contains("kernel.unprivileged_userns_clone=1"), "{told}");
    let step = |name| {
        let program = testbed::binary(name);
        as_the_labs_learner(program, &["--quiet", "--", "true"])
    };
    let steps =
        ["05-user-namespace", "06-cgroups", "07-overlayfs", "08-networking"];
    for name in steps {
        let refused = step(name);
        let told = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(125), "{name}: {told}");
        assert!(told.contains("user namespaces are off"), "{name}: {told}");
        assert!(told.contains("./scripts/doctor.sh"), "{name}: {told}");
    }
    // What the doctor prescribes, word for word.
    let mend = report.says(5, "rootless", "mend");
    let mend = mend.trim_end_matches(" (until reboot)");
    let mended = as_the_labs_learner("sh", &["-c", mend]);
    assert!(mended.status.success(), "{mend}: {mended:?}");
    for name in steps {
        let output = step(name);
        assert!(output.status.success(), "{name}: {output:?}");
    }
    drop(limit);
}
