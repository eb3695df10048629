#![forbid(unsafe_code)]
//! System calls fail, one by one, with an errno that could really come: what
//! does each step say, what does it return, and what does it leave behind?
//!
//! strace(1) answers in the kernel's place, and the call is never made.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use testbed::story::unfolded;
use testbed::watch::{Watch, cgroups_of, strike_before_any_call};
use testbed::{Step, eventually, needs, skip, token};

testbed::main!(
    a_fault_in_01_is_told,
    a_fault_in_02_is_told,
    a_fault_in_03_is_told,
    a_fault_in_04_is_told,
    a_fault_in_04_in_a_terminal_with_an_init_is_told,
    a_fault_in_05_is_told,
    a_fault_in_06_is_told,
    a_fault_in_07_is_told,
    a_fault_in_08_is_told,
    a_fault_in_09_is_told,
    a_fault_in_10_is_told,
    nothing_of_08_is_left_after_a_signal_before_any_call,
);

/// So many faults a claim: evenly chosen, if there could be more. `FAULTS=N`
/// in the environment asks for another number, and 1000 for all.
const MOST: usize = 20;

/// A call, how an error's line writes it, and what it can fail with for
/// reasons that have nothing to do with its arguments.
const CALLS: [(&str, &[&str], &[&str]); 40] = [
    ("access", &["execve("], &["EACCES"]),
    ("bind", &["bind(", "RTM_"], &["ENOMEM"]),
    ("chdir", &["chdir("], &["EACCES"]),
    ("chroot", &["chroot("], &["EPERM"]),
    ("clone", &["clone(", "execve("], &["EAGAIN", "ENOSPC"]),
    ("clone3", &["clone3(", "execve("], &["EAGAIN", "ENOSPC"]),
    ("close_range", &["close_range("], &["ENOMEM"]),
    // Those whose helpers hand over a descriptor: nft and the like, and what
    // copies mounts.
    ("dup2", &["dup2(", "execve(", "| CLONE_FILES |"], &["EBUSY"]),
    ("dup3", &["dup2("], &["EBUSY"]),
    ("eventfd2", &["event"], &["EMFILE"]),
    ("execve", &["execve("], &["ENOMEM"]),
    ("fchown", &["fchown("], &["EIO"]),
    ("fchownat", &["fchown("], &["EIO"]),
    ("fcntl", &["dup(2)", "fcntl(", "execve("], &["EMFILE"]),
    ("flock", &["flock(", "mkdir("], &["ENOLCK"]),
    ("getcwd", &["getcwd(", "realpath("], &["ENOMEM"]),
    ("ioctl", &["ioctl(", "tcgetattr(", "openpty("], &["EIO"]),
    ("mkdir", &["mkdir"], &["ENOSPC"]),
    ("mkdirat", &["mkdir("], &["ENOSPC"]),
    ("mknodat", &["mknod("], &["ENOSPC", "EPERM"]),
    ("mount", &["mount("], &["ENOMEM", "EPERM"]),
    ("mount_setattr", &["mount_setattr("], &["ENOMEM", "EPERM"]),
    ("openat", &["("], &["EMFILE"]),
    ("openat2", &["openat2(", "make a place"], &["EMFILE", "EAGAIN"]),
    ("pivot_root", &["pivot_root("], &["EPERM"]),
    ("poll", &["poll("], &["ENOMEM"]),
    ("prctl", &["prctl("], &["EPERM"]),
    ("read", &["read("], &["EIO"]),
    ("recvfrom", &["RTM_"], &["ENOBUFS"]),
    ("recvmsg", &["recvmsg("], &["ENOBUFS"]),
    ("sendmsg", &["sendmsg("], &["ENOBUFS"]),
    ("sendto", &["RTM_"], &["ENOBUFS"]),
    ("setgroups", &["setgroups("], &["ENOMEM", "EPERM"]),
    ("sethostname", &["sethostname("], &["EPERM"]),
    ("setresgid", &["setresgid("], &["EPERM"]),
    ("setresuid", &["setresuid("], &["EAGAIN"]),
    ("setsid", &["setsid("], &["EPERM"]),
    ("setxattr", &["setxattr("], &["ENOSPC"]),
    ("signalfd4", &["signalfd("], &["EMFILE"]),
    ("socket", &["socket("], &["EMFILE"]),
];
/// The same, where one line has no room for more.
const MORE: [(&str, &[&str], &[&str]); 10] = [
    // Without keys there are none to keep away: that is said.
    ("capget", &["capget("], &["EPERM"]),
    ("capset", &["capset("], &["EPERM"]),
    ("keyctl", &["keyctl("], &["EDQUOT", "EPERM"]),
    ("seccomp", &["seccomp("], &["EINVAL", "ENOMEM"]),
    ("setns", &["setns("], &["EPERM", "ENOMEM"]),
    // For a child of the runtime, the standard library makes one, too.
    ("socketpair", &["socketpair(", "execve("], &["EMFILE"]),
    ("symlinkat", &["symlink("], &["ENOSPC"]),
    ("umount2", &["umount2("], &["EBUSY"]),
    ("unshare", &["unshare("], &["EPERM"]),
    ("write", &["write("], &["EIO"]),
];

/// What a call is called in an error, and its errnos.
fn known(
    call: &str,
) -> Option<(&'static [&'static str], &'static [&'static str])> {
    let mut all = CALLS.iter().chain(&MORE);
    let (_, names, errnos) = all.find(|(name, ..)| *name == call)?;
    Some((names, errnos))
}

/// Questions, whose answer may be no, and what the Rust library asks to check
/// itself. LOCK_UN can't fail where the lock could be had.
const QUESTIONS: [&str; 13] = [
    "TCGETS",
    "TCSETS",
    "TIOCGPTPEER",
    "TIOCGWINSZ",
    "TIOCGPGRP",
    "TIOCSWINSZ",
    "F_GETFD",
    "F_GETFL",
    "LOCK_UN",
    "AF_UNIX, SOCK_STREAM",
    // Whether a child could be executed. Without an answer std waits for the
    // child's end, and the child for our words.
    ", 8, 0, NULL, NULL)",
    // Narration: the container matters more than its story.
    "write(2",
    "write(4",
];
/// Where a step goes on, and owes no explanation: what is waste stays for the
/// next one; a link that can't be followed is not followed; an address whose
/// name can't be had is left out; nobody is warned of rules that can't be read.
const MAY_BE_IGNORED: [&str; 10] = [
    "LOCK_NB",
    "O_DIRECTORY",
    "O_NOFOLLOW",
    "/bin/busybox",
    "/etc/",
    "/container-",
    "SOCK_DGRAM",
    "ip_tables_names",
    "sun_path=@",
    // Who is left behind to take a network away. Without one, the runtime does
    // it itself.
    "clone(child_stack=NULL, flags=SIGCHLD)",
];

/// Whom strace traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Runtime,
    /// The runtime as well: strace counts the calls of each. The number is
    /// higher than that of the runtime's own.
    FirstProcess,
}

/// A call that shall fail: the n-th of its name.
#[derive(Debug, Clone)]
struct Point {
    who: Who,
    call: String,
    nth: usize,
    errno: &'static str,
}

/// A container and how it is started.
struct Case {
    step: &'static str,
    options: Vec<&'static str>,
    in_terminal: bool,
    strace: PathBuf,
    /// Of its own: elsewhere another build may exchange the default root.
    cache: tempfile::TempDir,
}

impl Case {
    fn new(step: &'static str, options: &[&'static str]) -> Case {
        let strace = needs::tracer();
        let cache = tempfile::tempdir().expect("a directory");
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&cache, open).expect("chmod");
        let options = options.to_vec();
        Case { step, options, in_terminal: false, strace, cache }
    }

    /// Runs it under strace: exit status, all that it wrote, and the trace.
    fn run(&self, watch: &Watch, word: &str, options: &str) -> Run {
        let log = tempfile::NamedTempFile::new().expect("a file");
        // What strace leaves behind is killed with its group. On a terminal
        // that group would be in the background, and could not read.
        let group = if self.in_terminal { "--foreground" } else { "" };
        let trace = format!(
            "exec timeout {group} --kill-after=1 20 {} -qq -o {} {options} \"$@\"",
            self.strace.display(),
            log.path().display(),
        );
        let mut step =
            watch.over(Step::telling_all(self.step)).args(&self.options);
        step.command().env("XDG_CACHE_HOME", self.cache.path());
        step.command().env("NO_COLOR", "1");
        let step = step.sh(&format!("echo {word}")).in_shell(&trace);
        let (status, text) = match self.in_terminal {
            true => step.on_terminal().finish(),
            false => {
                let output = step.output();
                let text = [output.stdout, output.stderr].concat();
                let status = output.status.code().unwrap_or(-1);
                (status, String::from_utf8_lossy(&text).into_owned())
            }
        };
        let text = unfolded(&text);
        let trace = fs::read_to_string(log.path()).expect("the trace");
        Run { status, text, trace }
    }
}

#[derive(Debug)]
struct Run {
    status: i32,
    text: String,
    trace: String,
}

impl Run {
    fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines().map(str::trim_end)
    }

    /// What it says of itself that is no call.
    fn notes(&self) -> impl Iterator<Item = &str> {
        self.lines().filter(|line| line.contains("note: "))
    }

    /// `PID CALL(…) = …`: pid, call and the whole line. A call's second half,
    /// after others came between, is left out. One process has no PID there.
    fn calls(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.trace.lines().filter_map(|line| {
            let at = line.find(|c: char| !c.is_ascii_digit())?;
            let (pid, rest) = line.split_at(at);
            let call = rest.trim_start().split_once('(')?.0;
            let is_name =
                call.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            is_name.then_some((pid, call, line))
        })
    }

    /// The runtime's process, if it ever asked for its number.
    fn runtime(&self) -> Option<i32> {
        let line = self.calls().find(|(_, call, _)| *call == "getpid")?.2;
        line.rsplit_once("= ")?.1.parse().ok()
    }
}

/// The points of a run at which something may fail.
fn points(reference: &Run) -> Vec<Point> {
    let runtime = reference.calls().next().expect("a call").0;
    let mut others = reference.calls().map(|(pid, ..)| pid);
    let first = others.find(|&pid| pid != runtime).expect("a child");
    let mut counts: BTreeMap<(bool, &str), usize> = BTreeMap::new();
    let (mut began, mut ended) = (false, false);
    let mut found = vec![];
    for (pid, call, line) in reference.calls() {
        let is_runtime = pid == runtime;
        if !is_runtime && (pid != first || ended) {
            continue;
        }
        began |= call == "close_range";
        ended |= !is_runtime && call == "execve";
        let count = counts.entry((is_runtime, call)).or_default();
        *count += 1;
        let nth = *count;
        if began && is_worth_it(call, line) {
            found.push((is_runtime, call, nth));
        }
    }
    let in_runtime = |call| counts.get(&(true, call)).copied().unwrap_or(0);
    found.retain(|&(is_runtime, call, nth)| {
        is_runtime || nth > in_runtime(call)
    });
    let faults = found.into_iter().flat_map(|(is_runtime, call, nth)| {
        let who = if is_runtime { Who::Runtime } else { Who::FirstProcess };
        let (_, errnos) = known(call).expect("it is in the list");
        errnos.iter().map(move |errno| Point {
            who,
            call: call.to_owned(),
            nth,
            errno,
        })
    });
    faults.collect()
}

/// Whether its failure is a fault, and not one of many answers.
fn is_worth_it(call: &str, line: &str) -> bool {
    // Of what is read only signals matter: a file may be missing anyway.
    let is_signal = || line.contains("read(3, \"\\");
    known(call).is_some()
        && (call != "read" || is_signal())
        && !QUESTIONS.iter().any(|question| line.contains(question))
}

/// What became of a fault.
enum Outcome {
    Told,
    WentOn,
    Missed,
    Wrong(String),
}

fn judge(case: &Case, point: &Point, run: &Run, word: &str) -> Outcome {
    let Some((_, _, line)) =
        run.calls().find(|(.., line)| line.contains("(INJECTED)"))
    else {
        return Outcome::Missed;
    };
    if !is_worth_it(&point.call, line) {
        return Outcome::Missed;
    }
    let prefix = format!("{}: ", case.step);
    // Where both processes are followed, the second fault may hit the word
    // about the first one.
    let message = format!("write(2, \"{prefix}");
    let is_lost =
        |line: &str| line.contains("(INJECTED)") && line.contains(&message);
    if run.calls().any(|(.., line)| is_lost(line)) {
        return Outcome::Missed;
    }
    let told: Vec<_> =
        run.lines().filter(|line| line.starts_with(&prefix)).collect();
    let (names, _) = known(&point.call).expect("it is in the list");
    // What it said may be what was lost.
    let ran = line.contains(word) || run.lines().any(|line| line == word);
    match (run.status, &told[..]) {
        (125..=127, [message]) => {
            let names_errno = message.contains(point.errno);
            let names_call = names.iter().any(|name| message.contains(name));
            match names_errno && names_call {
                true => Outcome::Told,
                false => Outcome::Wrong(format!("{point:?} {line}: {message}")),
            }
        }
        (0, []) if ran => {
            let explains = |note: &str| {
                [point.errno, "denied", "without a cgroup", "user attributes"]
                    .iter()
                    .any(|word| note.contains(word))
            };
            // What the command says, to a terminal that is gone: whom to tell?
            let ignored = line.contains(word)
                || MAY_BE_IGNORED.iter().any(|word| line.contains(word));
            match ignored || run.notes().any(explains) {
                true => Outcome::WentOn,
                false => Outcome::Wrong(format!(
                    "{point:?} {line}: went on without a word"
                )),
            }
        }
        (status, _) => Outcome::Wrong(format!(
            "{point:?} {line}: status {status}: {}",
            run.text
        )),
    }
}

/// Fewer that are met prove little.
const ENOUGH: usize = 10;

/// Lets calls fail, one a run, and prints how many did.
fn faults_are_told(case: &Case) {
    let watch = Watch::begin();
    let word = token();
    // What is made once and kept is another claim's matter.
    let make_root = || drop(case.run(&watch, &word, ""));
    make_root();
    let reference = case.run(&watch, &word, "-f");
    if reference.status != 0 {
        skip(format!("traced, it does not start here: {}", reference.text));
    }
    let points = points(&reference);
    let most = env::var("FAULTS")
        .map_or(MOST, |number| number.parse().expect("FAULTS is a number"));
    let count = points.len().min(most);
    // On a busy machine the reference waits more often than others, and what it
    // did then is not met again: so there are more, for as long as it takes.
    let chosen = (0..count).map(|i| i * points.len() / count);
    let more = (0..points.len()).rev().step_by(7);
    let (mut told, mut went_on, mut missed) = (0, 0, 0);
    let mut wrong = vec![];
    for (tried, index) in chosen.chain(more).enumerate() {
        if tried >= count && told + went_on >= ENOUGH {
            break;
        }
        let point = &points[index];
        let Point { who, call, nth, errno } = point;
        let follow = if *who == Who::FirstProcess { "-f" } else { "" };
        let inject =
            format!("{follow} -e inject={call}:error={errno}:when={nth}");
        let run = case.run(&watch, &word, &inject);
        // Without busybox, another root has taken the place of the first one.
        if run.calls().any(|(.., line)| {
            line.contains("busybox\"") && line.contains("(INJECTED)")
        }) {
            make_root();
        }
        match judge(case, point, &run, &word) {
            Outcome::Told => told += 1,
            Outcome::WentOn => went_on += 1,
            Outcome::Missed => {
                missed += 1;
                // It may have been killed: the next one clears its cgroups.
                continue;
            }
            Outcome::Wrong(what) => wrong.push(what),
        }
        watch.assert_nothing_left(&format!("{} {inject}", case.step));
        let cgroups = run.runtime().map(cgroups_of).unwrap_or_default();
        assert!(cgroups.is_empty(), "{inject}: {cgroups:?}");
    }
    network_is_clear(case);
    println!(
        "{:20} {:3} faults of {:3} possible: {told} told, {went_on} went on with a reason, \
         {} wrong, {missed} not met",
        case.step,
        told + went_on + wrong.len(),
        points.len(),
        wrong.len(),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let met = told + went_on;
    assert!(met >= ENOUGH, "{met} faults only");
}

/// Where a fault, or SIGKILL, has kept the last one out from clearing, the next
/// one does, and then itself.
fn network_is_clear(case: &Case) {
    if case.step == "08-networking" {
        let output =
            Step::new(case.step).args(&case.options).args(["true"]).output();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    eventually("a host without devices of containers", || {
        let devices =
            fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
        let is_ours =
            |name: OsString| name.to_string_lossy().starts_with("workshop");
        (!devices.map(|device| device.file_name()).any(is_ours)).then_some(())
    });
}

fn a_fault_in_01_is_told() {
    needs::root();
    faults_are_told(&Case::new("01-chroot", &[]));
}

fn a_fault_in_02_is_told() {
    needs::root();
    faults_are_told(&Case::new("02-uts-namespace", &[]));
}

fn a_fault_in_03_is_told() {
    needs::root();
    faults_are_told(&Case::new("03-pid-namespace", &["-w", "/tmp"]));
}

fn a_fault_in_04_is_told() {
    needs::root();
    let options = ["--read-only", "-v", "/etc/passwd:/mnt/x:ro"];
    faults_are_told(&Case::new("04-mount-namespace", &options));
}

fn a_fault_in_04_in_a_terminal_with_an_init_is_told() {
    needs::root();
    let case = Case::new("04-mount-namespace", &["--init"]);
    faults_are_told(&Case { in_terminal: true, ..case });
}

fn a_fault_in_05_is_told() {
    let options = ["-v", "/etc/passwd:/mnt/x:ro"];
    faults_are_told(&Case::new("05-user-namespace", &options));
}

/// With limits, where this host lets us set some.
fn a_fault_in_06_is_told() {
    let limits = ["-m", "64m", "--cpus", "0.5", "--pids-limit", "64"];
    let step = Step::new("06-cgroups").args(limits).args(["true"]);
    let limits = if step.output().status.success() { &limits[..] } else { &[] };
    faults_are_told(&Case::new("06-cgroups", limits));
}

fn a_fault_in_07_is_told() {
    faults_are_told(&Case::new("07-overlayfs", &[]));
}

/// The machine's own network is not for tests.
fn a_fault_in_08_is_told() {
    let has_network = has_pretended_network();
    let none = ["--network", "none"];
    faults_are_told(&Case::new(
        "08-networking",
        if has_network { &[] } else { &none },
    ));
}

fn a_fault_in_09_is_told() {
    faults_are_told(&Case::new("09-least-privilege", &["--network", "none"]));
}

fn a_fault_in_10_is_told() {
    faults_are_told(&Case::new("10-system-container", &["--network", "none"]));
}

fn has_pretended_network() -> bool {
    let is_there = |path: &str| Path::new(path).exists();
    needs::is_root()
        && is_there("/run/netns/internet")
        && Step::new("08-networking").args(["true"]).output().status.success()
}

/// SIGKILL at each call is a claim of step 08's own: after it the next run has
/// more to do.
fn nothing_of_08_is_left_after_a_signal_before_any_call() {
    needs::disposable_host();
    if !has_pretended_network() {
        skip("needs a playground with a network, or root of the lab");
    }
    let options = ["-p", "127.0.0.1:28080:80"];
    let case = Case::new("08-networking", &options);
    let mut runs = 0;
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let watch = Watch::begin();
        let step = || {
            let step = watch.over(Step::telling_all("08-networking"));
            step.args(options).args(["--pause", "true"])
        };
        network_is_clear(&case);
        runs += strike_before_any_call(
            step,
            |terminal| terminal.signal(signal),
            |runtime, ended, screen| {
                assert_eq!(ended, status, "{signal}: {screen}");
                // That which clears the network is among them.
                watch.assert_nothing_left(&format!("{signal}: {screen}"));
                assert!(cgroups_of(runtime).is_empty(), "{signal}: {screen}");
            },
        );
        network_is_clear(&case);
    }
    println!("08-networking        {runs} runs struck by a signal");
    assert!(runs >= 80, "{runs}");
}
