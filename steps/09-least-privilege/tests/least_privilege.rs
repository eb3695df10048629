#![forbid(unsafe_code)]
//! Claims of step 09, judged from outside.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use least_privilege::filter::Action;
use least_privilege::profile::{self, REFUSED, When, number};
use nix::sys::signal::Signal;
use runtime::process::join_new_session_keyring;
use rustix::thread::CapabilitySet;
use testbed::machine::{self, Argument, Call, Door};
use testbed::watch::{Watch, strike_before_any_call};
use testbed::{Step, needs, proc, skip, token};

testbed::main!(
    root_inside_keeps_eleven_capabilities,
    another_user_has_none,
    what_is_added_and_dropped_is_so,
    an_init_has_no_more_than_its_command,
    no_new_privs_can_be_left_out,
    each_feature_can_be_left_out_alone,
    each_refused_call_is_refused,
    of_all_calls_those_are_refused_that_docker_refuses,
    what_is_refused_by_its_argument_is_so_whatever_stands_above_32_bits,
    a_call_of_tomorrow_is_not_known,
    clone3_is_not_known_and_clone_makes_no_namespace,
    a_capability_brings_its_calls_back,
    a_caller_of_32_bits_is_killed,
    what_the_kernel_tells_of_the_machine_is_covered,
    switches_of_the_machine_are_read_only,
    a_fresh_keyring_belongs_to_the_container,
    a_profile_in_dockers_form_is_obeyed,
    a_profile_may_refuse_all_but_the_exec,
    without_no_new_privs_the_filter_is_there_too,
    common_programs_run,
    ping_runs_where_net_raw_is_given_back,
    apt_installs_a_package_in_a_debian_root,
    bad_input_is_told_in_one_line,
    a_profile_that_is_none_is_told,
    a_file_with_a_capability_that_is_gone_is_told,
    nothing_is_left_after_sigkill_before_any_call,
    nothing_is_left_after_sigint_before_any_call,
);

const STEP: &str = "09-least-privilege";

fn shared() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(&directory, open).expect("chmod");
    directory
}

fn volume(directory: &Path) -> [String; 2] {
    ["-v".into(), format!("{}:/v:ro", directory.display())]
}

/// The sets of a process: permitted, effective, bounding, inheritable, ambient.
fn sets(pid: i32) -> [u64; 5] {
    ["CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"].map(|name| {
        let set = proc::status(pid, name).expect("a set");
        u64::from_str_radix(&set, 16).expect("a mask")
    })
}

fn status(pid: i32, name: &str) -> String {
    proc::status(pid, name).expect("a line of status")
}

/// As capabilities(7) numbers them.
const KEPT: [u32; 11] = [0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 31];

fn mask(numbers: impl IntoIterator<Item = u32>) -> u64 {
    numbers.into_iter().map(|number| 1 << number).sum()
}

fn root_inside_keeps_eleven_capabilities() {
    let container = Step::new(STEP).start_waiting();
    let kept = mask(KEPT);
    assert_eq!(sets(container.pid()), [kept, kept, kept, 0, 0]);
    assert_eq!(status(container.pid(), "NoNewPrivs"), "1");
    assert_eq!(status(container.pid(), "Seccomp"), "2");
}

fn needs_many_ids() {
    if Step::new("05-user-namespace")
        .args(["-u", "5", "true"])
        .output()
        .status
        .code()
        != Some(0)
    {
        skip("needs more than one id inside");
    }
}

fn another_user_has_none() {
    needs_many_ids();
    let container = Step::new(STEP).args(["-u", "5"]).start_waiting();
    assert_eq!(sets(container.pid()), [0, 0, mask(KEPT), 0, 0]);
    assert_eq!(status(container.pid(), "NoNewPrivs"), "1");
}

fn what_is_added_and_dropped_is_so() {
    // Two that are kept and two that are not, another pair in each run.
    let at_random = u64::from_str_radix(&token()[1..9], 16).expect("hex");
    let pick =
        |from: &[u32], nth: u64| from[(nth % from.len() as u64) as usize];
    let all = (0..=last_capability()).collect::<Vec<_>>();
    let others: Vec<_> =
        all.iter().copied().filter(|it| !KEPT.contains(it)).collect();
    let (dropped, added) =
        (pick(&KEPT, at_random), pick(&others, at_random >> 8));
    let name = |number: u32| {
        let set = CapabilitySet::from_bits_retain(1 << number);
        set.iter_names().next().expect("a name").0.to_owned()
    };
    let cases = [
        (vec!["--cap-drop", "ALL"], 0),
        (vec!["--cap-add", "ALL"], mask(all.clone())),
        (vec![], mask(KEPT)),
    ];
    for (options, before) in cases {
        let with_prefix = format!("cap_{}", name(added).to_lowercase());
        let step = Step::new(STEP).args(&options);
        let step = step.args(["--cap-add", &with_prefix]);
        let container = match options.first() {
            Some(&"--cap-drop") => step,
            _ => step.args(["--cap-drop", &name(dropped)]),
        }
        .start_waiting();
        let gone = if options.first() == Some(&"--cap-drop") {
            0
        } else {
            1 << dropped
        };
        let expected = before & !gone | 1 << added;
        let told = format!("{options:?} +{} -{}", name(added), name(dropped));
        let [permitted, effective, bounding, ..] = sets(container.pid());
        assert_eq!([permitted, effective, bounding], [expected; 3], "{told}");
    }
}

fn last_capability() -> u32 {
    let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap").expect("it");
    last.trim().parse().expect("a number")
}

fn an_init_has_no_more_than_its_command() {
    needs_many_ids();
    for user in ["0", "5"] {
        let step = Step::new(STEP).args(["--init", "-u", user]);
        let container = step.start_waiting();
        let init = container.pid();
        let command = proc::children(init)[0];
        assert_eq!(sets(init), sets(command), "{user}");
        for line in ["Uid", "NoNewPrivs", "Seccomp"] {
            assert_eq!(status(init, line), status(command, line), "{user}");
        }
        assert_eq!(status(init, "Seccomp"), "2");
    }
}

fn no_new_privs_can_be_left_out() {
    for (option, expected) in [
        ("no-new-privileges=false", "0"),
        ("no-new-privileges:false", "0"),
        ("no-new-privileges", "1"),
        ("no-new-privileges=true", "1"),
    ] {
        let step = Step::new(STEP).args(["--security-opt", option]);
        let container = step.start_waiting();
        assert_eq!(status(container.pid(), "NoNewPrivs"), expected, "{option}");
        assert_eq!(status(container.pid(), "Seccomp"), "2", "{option}");
        assert_eq!(sets(container.pid())[0], mask(KEPT), "{option}");
    }
}

fn each_feature_can_be_left_out_alone() {
    let covered =
        |pid| proc::mounts(pid).iter().any(|it| it.place == "/proc/sys");
    for (option, filtered, expected) in [
        ("seccomp=unconfined", "0", true),
        ("systempaths=unconfined", "2", false),
    ] {
        let step = Step::new(STEP).args(["--security-opt", option]);
        let container = step.start_waiting();
        assert_eq!(status(container.pid(), "Seccomp"), filtered, "{option}");
        assert_eq!(status(container.pid(), "NoNewPrivs"), "1", "{option}");
        assert_eq!(covered(container.pid()), expected, "{option}");
    }
}

/// A system call of any number, and its first three arguments.
type Question = (u32, [u64; 3]);

/// Writes a program that makes these calls.
fn caller(place: &Path, calls: &[Question]) {
    let calls: Vec<_> = calls
        .iter()
        .map(|(number, [first, second, third])| Call {
            door: Door::Own,
            number: *number,
            arguments: [*first, *second, *third, 0, 0].map(Argument::Is).into(),
        })
        .collect();
    write_program(place, &calls);
}

fn write_program(place: &Path, calls: &[Call]) {
    put_program(place, &machine::program(calls, &[]));
}

fn put_program(place: &Path, program: &[u8]) {
    fs::write(place, program).expect("write");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(place, executable).expect("chmod");
}

/// What the kernel answers to each call inside: its errno, or 0.
fn answers(options: &[&str], calls: &[Question]) -> Vec<u8> {
    let told = values(STEP, options, calls);
    told.into_iter().map(|value| u8::try_from(-value).unwrap_or(0)).collect()
}

/// The same, with what a success answers.
fn values(step: &str, options: &[&str], calls: &[Question]) -> Vec<i64> {
    let directory = shared();
    caller(&directory.path().join("caller"), calls);
    let output = Step::new(step)
        .args(options)
        .args(volume(directory.path()))
        .args(["--", "/v/caller"])
        .output();
    assert!(output.status.success(), "{output:?}");
    let told = machine::answers(&output.stdout);
    assert_eq!(told.len(), calls.len(), "{output:?}");
    told
}

const EPERM: u8 = 1;
const ENOSYS: u8 = 38;

/// With arguments that do no harm where it is not refused.
fn each_refused_call_is_refused() {
    needs::playground();
    let kept = profile::filter(CapabilitySet::from_bits_retain(mask(KEPT)));
    let always = REFUSED
        .iter()
        .flat_map(|group| group.calls)
        .filter(|it| it.1 == When::Always);
    let always: Vec<_> = always
        .filter_map(|(name, ..)| Some((*name, number(name)?)))
        // The one that is kept brings its call back.
        .filter(|(name, _)| *name != "chroot")
        .collect();
    assert!(always.len() > 50);
    let calls: Vec<_> = always.iter().map(|(_, it)| (*it, [0; 3])).collect();
    let told = answers(&[], &calls);
    for ((name, number), told) in always.iter().zip(told) {
        assert_eq!(told, EPERM, "{name}");
        assert_eq!(kept.verdict(*number, [0; 6]), Action::Errno(1), "{name}");
    }
}

/// What docker's published profile refuses, for the capabilities that docker
/// leaves, arguments being zero (moby/profiles at cd3bed8, read by our reader).
const DOCKER_REFUSES: &str = "syslog uselib ustat sysfs vhangup pivot_root \
    _sysctl acct settimeofday mount umount2 swapon swapoff reboot sethostname \
    setdomainname iopl ioperm create_module init_module delete_module \
    get_kernel_syms query_module quotactl nfsservctl getpmsg putpmsg \
    afs_syscall tuxcall security lookup_dcookie clock_settime vserver mbind \
    set_mempolicy get_mempolicy kexec_load add_key request_key keyctl \
    migrate_pages unshare move_pages perf_event_open fanotify_init \
    open_by_handle_at setns kcmp finit_module kexec_file_load bpf userfaultfd \
    uprobe io_uring_setup io_uring_enter io_uring_register open_tree \
    move_mount fsopen fsconfig fsmount fspick clone3 pidfd_getfd \
    process_madvise mount_setattr quotactl_fd set_mempolicy_home_node \
    lsm_get_self_attr lsm_set_self_attr lsm_list_modules open_tree_attr \
    file_getattr file_setattr";

/// Where we answer otherwise, and why.
const DIFFERENCES: [(&str, &str); 9] = [
    ("afs_syscall", "no kernel has it: it answers ENOSYS by itself"),
    ("getpmsg", "the same"),
    ("putpmsg", "the same"),
    ("security", "the same"),
    ("tuxcall", "the same"),
    ("vserver", "the same"),
    ("uprobe", "the kernel makes it itself, and asks no filter (Linux 6.14)"),
    (
        "file_getattr",
        "new, and docker does not know it yet; ioctl(2) does the same",
    ),
    ("file_setattr", "the same"),
];

fn of_all_calls_those_are_refused_that_docker_refuses() {
    let kept = CapabilitySet::from_bits_retain(mask(KEPT));
    let filter = profile::filter(kept);
    let refused: Vec<_> = profile::all_calls()
        .filter(|it| filter.verdict(it.1, [0; 6]) != Action::Allow)
        .map(|(name, _)| name)
        .collect();
    let differs = |name: &str| DIFFERENCES.iter().any(|it| it.0 == name);
    let expected: Vec<_> = profile::all_calls()
        .map(|(name, _)| name)
        .filter(|name| DOCKER_REFUSES.split(' ').any(|it| it == *name))
        .filter(|name| !differs(name))
        .collect();
    assert_eq!(refused, expected);
}

fn what_is_refused_by_its_argument_is_so_whatever_stands_above_32_bits() {
    const HIGH: u64 = 0xABCD << 32;
    let [socket, personality, clone] = ["socket", "personality", "clone"]
        .map(|name| number(name).expect("it"));
    let (algorithms, machine, unix, datagrams) = (38, 40, 1, 2);
    let new_users = 0x1000_0000;
    let without_randomness = 0x4_0000;
    let refused = [
        (socket, [algorithms, 5, 0]),
        (socket, [algorithms | HIGH, 5, 0]),
        (socket, [machine, 1, 0]),
        (socket, [machine | HIGH, 1, 0]),
        (personality, [without_randomness, 0, 0]),
        (personality, [without_randomness | HIGH, 0, 0]),
        (clone, [new_users, 0, 0]),
        (clone, [new_users | HIGH, 0, 0]),
    ];
    assert_eq!(answers(&[], &refused), [EPERM; 8]);
    let allowed = [
        (socket, [unix, datagrams, 0]),
        (socket, [unix | HIGH, datagrams, 0]),
        (personality, [0xFFFF_FFFF, 0, 0]),
    ];
    assert_eq!(answers(&[], &allowed), [0; 3]);
}

fn a_call_of_tomorrow_is_not_known() {
    let last = profile::all_calls().map(|it| it.1).max().expect("some");
    let calls = [1, 2, 100, 0x1000].map(|more| (last + more, [0; 3]));
    assert_eq!(answers(&[], &calls), [ENOSYS; 4]);
    // x32: the same architecture, and other numbers.
    let getpid = number("getpid").expect("it");
    assert_eq!(answers(&[], &[(getpid | 0x4000_0000, [0; 3])]), [ENOSYS]);
    assert_eq!(answers(&[], &[(getpid, [0; 3])]), [0]);
}

fn clone3_is_not_known_and_clone_makes_no_namespace() {
    let clone3 = number("clone3").expect("it");
    assert_eq!(answers(&[], &[(clone3, [0; 3])]), [ENOSYS]);
    let known =
        answers(&["--security-opt", "seccomp=unconfined"], &[(clone3, [0; 3])]);
    assert_ne!(known, [ENOSYS]);
}

/// In a namespace of its own, a mount that fails for want of an argument.
fn a_capability_brings_its_calls_back() {
    for (capability, call) in [
        ("SYS_ADMIN", "mount"),
        ("SYS_ADMIN", "setns"),
        ("SYS_PTRACE", "kcmp"),
        ("PERFMON", "perf_event_open"),
    ] {
        let call = [(number(call).expect("it"), [0; 3])];
        assert_eq!(answers(&[], &call), [EPERM], "{capability}");
        let with = answers(&["--cap-add", capability], &call);
        assert_ne!(with, [EPERM], "{capability}");
    }
    let chroot = [(number("chroot").expect("it"), [0; 3])];
    assert_ne!(answers(&[], &chroot), [EPERM]);
    assert_eq!(answers(&["--cap-drop", "SYS_CHROOT"], &chroot), [EPERM]);
}

/// One of a program of 64 bits, where that has such a door; and a program of 32.
fn a_caller_of_32_bits_is_killed() {
    let directory = shared();
    // There, exit is number 1.
    let exit = Call {
        door: Door::Bits32,
        number: 1,
        arguments: vec![Argument::Is(7)],
    };
    let door = machine::program(&[exit], &[]);
    let program = machine::program_of_32_bits(7);
    let programs = match std::env::consts::ARCH {
        "x86_64" => vec![door, program],
        _ => vec![program],
    };
    for program in programs {
        put_program(&directory.path().join("old"), &program);
        assert_is_killed_for_its_32_bits(&directory);
    }
}

fn assert_is_killed_for_its_32_bits(directory: &tempfile::TempDir) {
    let run = |options: &[&str]| {
        let step = Step::new(STEP).args(options).args(volume(directory.path()));
        step.args(["--", "/v/old"]).output().status.code()
    };
    if run(&["--security-opt", "seccomp=unconfined"]) != Some(7) {
        skip("this kernel runs no programs of 32 bits");
    }
    let killed_by_sigsys = Some(128 + 31);
    assert_eq!(run(&[]), killed_by_sigsys);
}

const COVERED: [&str; 6] = [
    "/proc/cmdline",
    "/proc/interrupts",
    "/proc/iomem",
    "/proc/ioports",
    "/proc/key-users",
    "/proc/timer_list",
];

fn what_the_kernel_tells_of_the_machine_is_covered() {
    let there = COVERED.iter().filter(|path| Path::new(path).exists());
    let paths: Vec<_> = there.copied().collect();
    assert!(paths.len() > 2, "{paths:?}");
    let script = format!("cat {}", paths.join(" "));
    assert_eq!(Step::new(STEP).sh(&script).stdout(), "");
    let before = Step::new("08-networking").sh("cat /proc/interrupts").stdout();
    assert!(before.contains("CPU0"), "{before}");
    let uncovered = Step::new(STEP)
        .args(["--security-opt", "systempaths=unconfined"])
        .sh("cat /proc/interrupts");
    assert!(uncovered.stdout().contains("CPU0"));
    // Neither by its other names, nor by taking the cover away.
    let script = "cat /proc/self/root/proc/interrupts /proc/1/root/proc/interrupts; \
        umount /proc/interrupts; cat /proc/interrupts";
    let output = Step::new(STEP).sh(script).output();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

fn switches_of_the_machine_are_read_only() {
    let container = Step::new(STEP).start_waiting();
    let mounts = proc::mounts(container.pid());
    for path in [
        "/proc/bus",
        "/proc/fs",
        "/proc/irq",
        "/proc/sys",
        "/proc/sysrq-trigger",
    ] {
        if Path::new(path).exists() {
            let mount = mounts.iter().find(|it| it.place == path);
            let mount = mount.unwrap_or_else(|| panic!("{path} is no mount"));
            assert!(mount.options.contains(&"ro".into()), "{mount:?}");
        }
    }
    // In its own network it may not forward, which in step 08 it may.
    let forward =
        "echo 1 >/proc/sys/net/ipv4/ip_forward 2>/dev/null && echo written";
    let written = |step| {
        Step::new(step).args(["--network", "none"]).sh(forward).output().stdout
    };
    assert_eq!(written("08-networking"), b"written\n");
    assert_eq!(written(STEP), b"");
}

fn a_fresh_keyring_belongs_to_the_container() {
    if join_new_session_keyring().is_err() {
        skip("no keys here");
    }
    // keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0)
    let session = u64::MAX - 2;
    let ask = [(number("keyctl").expect("it"), [0, session, 0])];
    let directory = shared();
    let program = directory.path().join("caller");
    caller(&program, &ask);
    let told = Command::new(program).output().expect("run it").stdout;
    let ours = machine::answers(&told)[0];
    assert!(ours > 0, "{ours}");
    let inside = |step, options: &[&str]| values(step, options, &ask)[0];
    // Whoever is started has the keyring of whoever starts it.
    assert_eq!(inside("08-networking", &[]), ours);
    let open = ["--security-opt", "seccomp=unconfined"];
    let (first, second) = (inside(STEP, &open), inside(STEP, &open));
    assert!(first > 0 && second > 0, "{first} {second}");
    assert!(first != ours && second != ours && first != second);
}

fn profile(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(&file, text).expect("write");
    file
}

fn option(file: &tempfile::NamedTempFile) -> [String; 2] {
    ["--security-opt".into(), format!("seccomp={}", file.path().display())]
}

fn a_profile_in_dockers_form_is_obeyed() {
    // A call that does nothing, and an errno that it never has.
    let harmless =
        ["getpid", "getppid", "getuid", "gettid", "getgid", "sched_yield"];
    let at_random =
        u64::from_str_radix(&token()[1..5], 16).expect("hex") as usize;
    let name = harmless[at_random % harmless.len()];
    let errno = 60 + (at_random % 60) as u8;
    let other = harmless[(at_random + 1) % harmless.len()];
    let text = |conditions: &str, more: &str| {
        format!(
            r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{{
                "names": ["{name}", "chown32"], "action": "SCMP_ACT_ERRNO",
                "errnoRet": {errno}, "args": [{conditions}]{more}}}]}}"#
        )
    };
    let [refused, allowed] = [name, other].map(|it| number(it).expect("it"));
    let told = |text: &str, calls: &[Question]| {
        let file = profile(text);
        let options = option(&file);
        let options = options.each_ref().map(String::as_str);
        answers(&options, calls)
    };
    let both = [(refused, [0; 3]), (allowed, [0; 3])];
    assert_eq!(told(&text("", ""), &both), [errno, 0]);
    for (operation, holds) in [
        ("EQ", [false, true, false]),
        ("NE", [true, false, true]),
        ("LT", [true, false, false]),
        ("LE", [true, true, false]),
        ("GT", [false, false, true]),
        ("GE", [false, true, true]),
    ] {
        let value: u64 = 0x1_0000_0000 + at_random as u64;
        let condition = format!(
            r#"{{"index": 1, "value": {value}, "op": "SCMP_CMP_{operation}"}}"#
        );
        let calls = [value - 1, value, value + 1]
            .map(|argument| (refused, [0, argument, 0]));
        let expected = holds.map(|holds| if holds { errno } else { 0 });
        let told = told(&text(&condition, ""), &calls);
        assert_eq!(told, expected, "{operation} {value}");
    }
    for (more, expected) in [
        (r#", "includes": {"caps": ["CAP_CHOWN"]}"#, errno),
        (r#", "includes": {"caps": ["CAP_SYS_ADMIN"]}"#, 0),
        (r#", "excludes": {"caps": ["CAP_CHOWN"]}"#, 0),
        (r#", "excludes": {"caps": ["CAP_SYS_ADMIN"]}"#, errno),
        (r#", "includes": {"arches": ["s390x", "ppc64le"]}"#, 0),
        (r#", "excludes": {"arches": ["s390x", "ppc64le"]}"#, errno),
        (r#", "includes": {"minKernel": "4.8"}"#, errno),
        (r#", "includes": {"minKernel": "99.0"}"#, 0),
    ] {
        assert_eq!(told(&text("", more), &both)[0], expected, "{more}");
    }
}

/// What the runtime itself needs after it is loaded is one call.
fn a_profile_may_refuse_all_but_the_exec() {
    let directory = shared();
    let place = directory.path().join("caller");
    caller(&place, &[(number("getpid").expect("it"), [0; 3])]);
    let file = profile(
        r#"{"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [{
            "names": ["execve", "write", "exit_group"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    let run = |allowed: &str| {
        let text = fs::read_to_string(&file).expect("it");
        let file = profile(
            &text
                .replace("\"exit_group\"", &format!("\"exit_group\"{allowed}")),
        );
        let step =
            Step::new(STEP).args(option(&file)).args(volume(directory.path()));
        step.args(["--", "/v/caller"]).output().status.code()
    };
    assert_eq!(run(", \"getpid\""), Some(0));
    let killed_by_sigsys = Some(128 + 31);
    assert_eq!(run(""), killed_by_sigsys);
}

fn without_no_new_privs_the_filter_is_there_too() {
    let call = [(number("add_key").expect("it"), [0; 3])];
    for user in ["0", "5"] {
        if user != "0" {
            needs_many_ids();
        }
        let options = ["-u", user, "--security-opt", "no-new-privileges=false"];
        assert_eq!(answers(&options, &call), [EPERM], "{user}");
    }
}

/// With the host's own programs: each does what people do with it.
fn common_programs_run() {
    let programs = [
        (
            "bash",
            "sleep 9 & kill %1; wait; f() (set -e; true | cat); f && echo good",
        ),
        (
            "python3",
            "python3 -c 'import subprocess, threading, socket, tempfile, multiprocessing; \
            t = threading.Thread(target=print, args=[\"\"]); t.start(); t.join(); \
            assert multiprocessing.Pool(2).map(abs, [-1, -2]) == [1, 2]; \
            socket.create_server((\"127.0.0.1\", 80)); subprocess.run([\"true\"], check=True)' && echo good",
        ),
        (
            "git",
            "cd /tmp && git init -q r && cd r && git -c user.name=a -c user.email=a commit \
            -q --allow-empty -m x && git log --oneline | grep -q x && echo good",
        ),
        (
            "gcc",
            "cd /tmp && echo 'int main(void){return 0;}' >a.c && gcc a.c && ./a.out && echo good",
        ),
        (
            "node",
            "node -e 'require(\"fs\").readdirSync(\"/\"); setTimeout(() => console.log(\"good\"), 1)'",
        ),
        ("perl", "perl -e 'fork or exit; wait; print \"good\"'"),
        (
            "tar",
            "cd /tmp && touch x && chown 0 x && tar cf y x && tar xf y && echo good",
        ),
        (
            "dpkg",
            "mkdir -p /tmp/r /tmp/p/DEBIAN /tmp/d/info /tmp/d/updates && cd /tmp && touch d/status p/x && \
            printf 'Package: p\nVersion: 1\nArchitecture: all\nMaintainer: a\nDescription: x\n' >p/DEBIAN/control && \
            dpkg-deb -b p >/dev/null && dpkg --force-not-root --force-bad-path --root=/tmp/r --admindir=/tmp/d -i p.deb >/dev/null && \
            test -f /tmp/r/x && echo good",
        ),
    ];
    let mut tried = 0;
    for (program, script) in programs {
        let (step, there) = with_the_hosts_programs();
        if !there.sh(&format!("command -v {program}")).output().status.success()
        {
            continue;
        }
        let output = step.args(["--", "/bin/bash", "-c", script]).output();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.contains("good"), "{program}: {output:?}");
        tried += 1;
    }
    if tried < 4 {
        skip("needs bash, python3, git or the like");
    }
}

/// The host's programs and libraries, read-only: twice, to look and to run.
fn with_the_hosts_programs() -> (Step, Step) {
    let step = || {
        let mut step = Step::new(STEP);
        for directory in ["/usr", "/etc", "/lib", "/lib64", "/bin", "/sbin"] {
            // Where /bin is a link, /usr has it already.
            if fs::symlink_metadata(directory).is_ok_and(|it| it.is_dir()) {
                step =
                    step.args(["-v", &format!("{directory}:{directory}:ro")]);
            }
        }
        step.args(["-e", "HOME=/tmp", "-e", "LC_ALL=C"])
    };
    (step(), step())
}

/// A new network has no group that may ping without a raw socket.
fn ping_runs_where_net_raw_is_given_back() {
    let ping = "ping -c 1 -w 9 127.0.0.1";
    let sees = |step: Step| {
        let step = step.args(["--network", "none", "--cap-add", "NET_RAW"]);
        let step = step.sh(&format!("command -v ping && {ping}"));
        let output = step.output();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let received = ["1 packets received", "1 received"];
        assert!(
            told.is_empty() || received.iter().any(|it| told.contains(it)),
            "{output:?}"
        );
        !told.is_empty()
    };
    let (debian, _) = with_the_hosts_programs();
    if ![sees(Step::new(STEP)), sees(debian)].contains(&true) {
        skip("needs a ping: busybox or iputils has one");
    }
    let without = Step::new(STEP).args(["--network", "none"]).sh(ping).output();
    assert!(!without.status.success(), "{without:?}");
}

/// Where a user may break a whole Debian. It has no network, so the package is
/// one of ours, in a directory. apt gives up its rights to read it; dpkg gives
/// files away and runs a script as root.
fn apt_installs_a_package_in_a_debian_root() {
    needs::lab();
    needs::ordinary_user();
    needs_many_ids();
    let place = shared();
    let made = Command::new("bash")
        .args(["-euc", MAKE_A_DEBIAN, "bash"])
        .arg(place.path())
        .output()
        .expect("bash");
    assert!(made.status.success(), "{made:?}");
    let repository = format!("{}:/v:ro", place.path().join("v").display());
    let script = "apt-get -qq update && apt-get -qq -y install workshop-test && \
        stat -c '%u %n' /srv/given && dpkg-query -W workshop-test";
    let output = Step::new(STEP)
        .arg("--rootfs", place.path().join("root"))
        .args(["--network", "none", "-v", &repository])
        .args(["--", "/bin/sh", "-c", script])
        .output();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    // Some of it comes with a carriage return.
    let told = told.replace('\r', "\n");
    let lines: Vec<_> = told.lines().collect();
    assert!(lines.contains(&"the script runs as 0"), "{output:?}");
    let end = ["33 /srv/given", "workshop-test\t1"];
    assert!(lines.ends_with(&end), "{output:?}");
}

/// A root directory of the host's own packages, without what no program needs to
/// run; and a repository.
const MAKE_A_DEBIAN: &str = r#"
cd "$1"
mkdir -p root/{dev,proc,run,sys,tmp,v,srv,var/log/apt,var/tmp} root/var/{cache,lib}/apt/{archives,lists}/partial
for link in /bin /sbin /lib*; do [[ ! -L $link ]] || cp -a "$link" root; done
# Some files are for root alone.
cp -a --no-preserve=ownership --parents -t root /usr/{bin,sbin,lib64} /usr/lib/{apt,dpkg,ld-*,*-linux-gnu} \
    /usr/share/{dpkg,perl5,debconf} /etc /var/lib/dpkg 2>errors || [[ -s errors ]]
echo 'deb [trusted=yes] file:/v ./' >root/etc/apt/sources.list
rm -rf root/etc/apt/sources.list.d
mkdir -p package/{DEBIAN,srv} v
echo content >package/srv/given
printf 'Package: workshop-test\nVersion: 1\nArchitecture: all\nMaintainer: none\nDepends: libc6\nDescription: none\n' >package/DEBIAN/control
printf '#!/bin/sh\nset -e\nchown 33 /srv/given\necho "the script runs as $(id -u)"\n' >package/DEBIAN/postinst
chmod 755 package/DEBIAN{,/postinst}
dpkg-deb --build package v/p.deb >/dev/null
{
    cat package/DEBIAN/control
    printf 'Filename: ./p.deb\nSize: %s\nSHA256: %s\n' "$(stat -c %s v/p.deb)" "$(sha256sum <v/p.deb | cut -d ' ' -f 1)"
} >v/Packages
"#;

fn bad_input_is_told_in_one_line() {
    for (option, value, expected) in [
        ("--cap-add", "NET_RAWW", "did you mean NET_RAW?"),
        ("--cap-drop", "CAP_CHOWM", "did you mean CHOWN?"),
        ("--cap-drop", "", "no capability is called"),
        ("--cap-drop", "CHOWN,KILL", "no capability is called"),
        ("--security-opt", "", "it is one of"),
        ("--security-opt", "no-new-privileges=maybe", "it is one of"),
        ("--security-opt", "seccomp", "it is one of"),
        ("--security-opt", "seccomp=", "it is one of"),
        ("--security-opt", "systempaths=some", "it is one of"),
        ("--security-opt", "apparmor=unconfined", "no such feature"),
        ("--security-opt", "seccomp=/there/is/none", "ENOENT"),
        ("--security-opt", "seccomp=/proc", "EISDIR"),
    ] {
        let option = format!("{option}={value}");
        let output = Step::new(STEP).args([&option, "true"]).output();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(125), "{option}: {error}");
        assert_eq!(error.lines().count(), 1, "{option}: {error}");
        assert!(error.contains(expected), "{option}: {error}");
    }
}

fn a_profile_that_is_none_is_told() {
    let rule = |text: &str| {
        format!(
            r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{text}]}}"#
        )
    };
    let condition = r#"{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}"#;
    let different = |index: u64| {
        format!(
            r#"{{"names": ["close"], "action": "SCMP_ACT_ERRNO",
                "args": [{{"index": 0, "value": {index}, "op": "SCMP_CMP_EQ"}}]}}"#
        )
    };
    let many = (0..10_000).map(different).collect::<Vec<_>>().join(",");
    for (text, expected) in [
        (String::new(), "not a seccomp profile"),
        ("no JSON".into(), "line 1 column 2"),
        ("[]".into(), "not a seccomp profile"),
        ("{}".into(), "defaultAction"),
        (
            r#"{"defaultAction": "SCMP_ACT_ALOW"}"#.into(),
            "did you mean SCMP_ACT_ALLOW?",
        ),
        (r#"{"defaultAction": "SCMP_ACT_ERRNO"}"#.into(), "refuses execve(2)"),
        (
            rule(r#"{"names": ["execve"], "action": "SCMP_ACT_KILL"}"#),
            "refuses execve(2)",
        ),
        (
            rule(r#"{"names": ["opne"], "action": "SCMP_ACT_ERRNO"}"#),
            "did you mean open?",
        ),
        (
            rule(r#"{"names": ["open"], "action": "SCMP_ACT_NOTIFY"}"#),
            "SCMP_ACT_ERRNO",
        ),
        (
            rule(&format!(
                r#"{{"names": ["open"], "action": "SCMP_ACT_KILL", "args": [{}]}}"#,
                condition.replace("_EQ", "_EG")
            )),
            "unknown comparison",
        ),
        (
            rule(&format!(
                r#"{{"names": ["open"], "action": "SCMP_ACT_KILL", "args": [{}]}}"#,
                condition.replace(": 0", ": 6")
            )),
            "0 to 5",
        ),
        (
            rule(
                r#"{"names": ["open"], "action": "SCMP_ACT_KILL", "includes": {"caps": ["CAP_CHOVN"]}}"#,
            ),
            "did you mean CHOWN?",
        ),
        (rule(&many), "the kernel accepts 4096"),
    ] {
        let file = profile(&text);
        let output =
            Step::new(STEP).args(option(&file)).args(["true"]).output();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let start = text.chars().take(90).collect::<String>();
        assert_eq!(output.status.code(), Some(125), "{start}: {error}");
        assert_eq!(error.lines().count(), 1, "{start}: {error}");
        assert!(error.contains(expected), "{start}: {error}");
        let path = file.path().display().to_string();
        assert!(error.contains(&path), "{start}: {error}");
    }
}

/// A program that says it needs a capability does not begin without it.
fn a_file_with_a_capability_that_is_gone_is_told() {
    needs::root();
    needs::command("setcap");
    let directory = shared();
    let root = directory.path().join("root");
    testbed::copy_default_root(&root);
    let program = root.join("mnt/true");
    fs::copy(root.join("bin/busybox"), &program)
        .unwrap_or_else(|_| skip("the default root has no busybox"));
    let given =
        Step::shell(&format!("setcap cap_net_raw=ep {}", program.display()));
    if !given.output().status.success() {
        skip("no capabilities of files here");
    }
    let run = |more: &[&str]| {
        let step = Step::new(STEP).arg("--rootfs", &root).args(more);
        step.args(["/mnt/true"]).output()
    };
    let output = run(&[]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(126), "{error}");
    assert!(error.contains("--cap-add"), "{error}");
    assert!(run(&["--cap-add", "NET_RAW"]).status.success());
}

/// Before any call of its own: those of earlier steps are judged there.
fn struck(strike: impl Fn(&mut testbed::Terminal), expected: i32) {
    for options in
        [&[][..], &["--init", "--security-opt", "no-new-privileges=false"]]
    {
        let watch = Watch::begin();
        let step = || {
            let step = watch.over(Step::telling(STEP)).args(options);
            step.args(["--pause", "true"])
        };
        let points =
            strike_before_any_call(step, &strike, |_, status, told| {
                assert_eq!(status, expected, "{told}");
                watch.assert_nothing_left(&told);
            });
        assert!(points > 5, "{points} points only");
    }
}

fn nothing_is_left_after_sigkill_before_any_call() {
    struck(|terminal| terminal.signal(Signal::SIGKILL), 137);
}

fn nothing_is_left_after_sigint_before_any_call() {
    struck(|terminal| terminal.signal(Signal::SIGINT), 130);
}
