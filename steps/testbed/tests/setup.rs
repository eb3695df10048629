#![forbid(unsafe_code)]
//! Setup finds what is missing, and installs it with the distribution's own
//! package manager. Its world is made up of fakes that write down what they are
//! asked for: nothing is really installed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use tempfile::TempDir;
use testbed::{Step, checkout, needs, skip};

testbed::main!(
    with_nothing_missing_it_does_nothing,
    check_names_what_is_missing_and_changes_nothing,
    the_tests_can_do_without_the_lab,
    with_apt_the_lab_has_its_own_qemu,
    every_package_is_the_one_that_has_its_commands,
    on_debian_the_packages_have_the_commands,
    every_package_manager_is_asked_in_its_words,
    optional_packages_may_fail,
    old_package_lists_are_fetched_once,
    what_does_not_appear_is_told_with_the_command,
    sudo_is_announced,
    without_sudo_or_a_package_manager_it_says_so,
    rust_that_lacks_or_is_old_is_told,
    what_rustup_can_bring_is_brought,
    absent_crates_are_fetched,
    here_it_is_fast,
);

/// A machine of fakes, below one directory that is all of its PATH.
struct Machine {
    bin: TempDir,
    variables: Vec<(&'static str, String)>,
}

/// What the script itself uses. These are copies: links would lead out.
const TOOLS: [&str; 8] =
    ["bash", "cat", "dirname", "env", "ldd", "rm", "sed", "sort"];

impl Machine {
    /// Has everything that the table of needs names, except the tests' tools.
    fn complete() -> Machine {
        let bin = tempfile::tempdir().expect("a directory");
        let everyone = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&bin, everyone).expect("chmod");
        for tool in TOOLS {
            fs::copy(needs::command(tool), bin.path().join(tool))
                .expect("copy");
        }
        let machine = Machine { bin, variables: vec![] };
        for tool in needed("always").iter().chain(&needed("optional")) {
            machine.fake(tool, "");
        }
        // It says so of a program that is linked statically.
        machine.fake("ldd", "echo 'not a dynamic executable'");
        machine.fake("cargo", "");
        machine.fake("rustc", "echo 'rustc 1.99.0 (0 2026-01-01)'");
        machine
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.bin.path().join(name)
    }

    /// A program that writes down how it was called, and does what it is told.
    fn fake(&self, name: &str, script: &str) {
        let calls = self.path("calls");
        let text = format!(
            "#!{bash}\necho \"{name} $*\" >>'{calls}'\n{script}\n",
            bash = self.path("bash").display(),
            calls = calls.display()
        );
        let path = self.path(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, text).expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .expect("chmod");
    }

    /// A package manager that brings what it is asked for.
    fn brings(&self, manager: &str, programs: &[&str]) {
        let bring = programs.iter().map(|program| {
            let from = self.path(program);
            format!("echo '#!/bin/sh' >{0}; chmod 755 {0}\n", from.display())
        });
        let bring: String = bring.collect();
        fs::copy(needs::command("chmod"), self.path("chmod")).expect("copy");
        self.fake(manager, &bring);
    }

    fn lacks(&self, name: &str) {
        fs::remove_file(self.path(name)).expect("remove");
    }

    /// What was called so far, except for questions about what is there.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        let asks = ["rustc ", "ldd ", "cargo fetch --locked --offline"];
        let is_deed = |call: &&str| !asks.iter().any(|a| call.starts_with(a));
        calls.lines().filter(is_deed).map(|c| c.trim_end().into()).collect()
    }

    /// Runs it, with 1000 or 0 as the user's id. /usr/sbin and /sbin, which it
    /// searches as well, are empty.
    fn setup(&self, id: u32, arguments: &[&str]) -> Output {
        let mut setup = Step::script("setup.sh").args(arguments);
        setup.command().env_remove("SUDO_USER");
        let mut setup = setup.in_shell(
            "for d in $(realpath /usr/sbin /sbin | sort -u); do
                 [[ $d == /usr/bin ]] || mount -t tmpfs empty $d || exit 99
             done
             setup=$1; shift
             exec unshare --user --map-user=$ID --map-group=$ID \\
                 env PATH=$BIN $BIN/bash $setup \"$@\"",
        );
        setup
            .command()
            .env("BIN", self.bin.path())
            .env("ID", id.to_string())
            .envs(self.variables.iter().map(|(k, v)| (k, v)));
        let inner = setup.command();
        let mut outer = Command::new("unshare");
        outer
            .args(["--user", "--map-root-user", "--mount"])
            .arg(inner.get_program())
            .args(inner.get_args())
            .current_dir(checkout());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => outer.env(name, value),
                None => outer.env_remove(name),
            };
        }
        let output = outer.output().expect("unshare");
        if text(&output.stderr).contains("unshare: ") {
            skip(format!("needs user namespaces: {}", text(&output.stderr)));
        }
        assert_ne!(output.status.code(), Some(99), "{output:?}");
        output
    }
}

/// The commands that the table in the script names for a case.
fn needed(case: &str) -> Vec<String> {
    let script = fs::read_to_string(checkout().join("scripts/setup.sh"));
    let script = script.expect("read setup.sh");
    let mut commands = vec![];
    for row in script.lines() {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        if cells.len() == 7 && cells[2] == case {
            commands.extend(cells[0].split(' ').map(str::to_owned));
        }
    }
    assert!(!commands.is_empty(), "the table has no {case}");
    commands
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn assert_says(output: &Output, status: i32, parts: &[&str]) {
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    for part in parts {
        assert!(said.contains(part), "no {part:?} in: {said}");
    }
    assert!(output.stderr.is_empty(), "{output:?}");
}

const DONE: &str = "The workshop has what it needs.";

fn with_nothing_missing_it_does_nothing() {
    let machine = Machine::complete();
    machine.fake("apt-get", "");
    machine.fake("sudo", "");
    for id in [0, 1000] {
        for arguments in [&[][..], &["--check"]] {
            assert_says(&machine.setup(id, arguments), 0, &[DONE]);
        }
    }
    assert_eq!(machine.calls(), [""; 0]);
}

fn check_names_what_is_missing_and_changes_nothing() {
    let machine = Machine::complete();
    machine.fake("apt-get", "");
    machine.lacks("nft");
    machine.lacks("newgidmap");
    machine.lacks("pasta");
    let output = machine.setup(1000, &["--check"]);
    let parts = ["nft ", "package nftables", "newgidmap ", "package uidmap"];
    assert_says(&output, 1, &parts);
    assert_says(&output, 1, &["package passt", "(optional)", "step 08"]);
    assert_eq!(machine.calls(), [""; 0]);

    // It can do without what is optional.
    let machine = Machine::complete();
    machine.lacks("pasta");
    assert_says(&machine.setup(0, &["--check"]), 0, &["package", DONE]);
    // And a busybox that needs libraries does not count.
    machine.fake("ldd", "echo 'libc.so.6 => /lib/libc.so.6'");
    assert_says(&machine.setup(0, &["--check"]), 0, &["busybox", DONE]);
    // The tests' own tools count only with --test.
    let output = machine.setup(0, &["--check", "--test"]);
    assert_says(&output, 1, &["shellcheck", "strace"]);
}

fn the_tests_can_do_without_the_lab() {
    let machine = Machine::complete();
    for tool in needed("test").iter().chain(&needed("slides")) {
        machine.fake(tool, "");
    }
    for tool in ["rustfmt", "cargo-clippy"] {
        machine.fake(tool, "");
    }
    let output = machine.setup(0, &["--check", "--test"]);
    let parts = ["qemu-system-x86_64", "mmdebstrap", "(optional)", DONE];
    assert_says(&output, 0, &parts);
    let output = machine.setup(0, &["--check", "--test", "--lab"]);
    assert_says(&output, 1, &["qemu-system-x86_64", "mmdebstrap"]);
}

/// If apt's QEMU is of another release than a part of it that is installed, apt
/// would have to remove that part. So apt is not asked for one.
fn with_apt_the_lab_has_its_own_qemu() {
    let machine = Machine::complete();
    for tool in ["mmdebstrap", "mke2fs", "xz"] {
        machine.fake(tool, "");
    }
    machine.fake("apt-get", "exit 100");
    let output = machine.setup(0, &["--lab"]);
    assert_says(&output, 0, &[DONE]);
    assert!(!text(&output.stdout).contains("qemu"), "{output:?}");
    assert_eq!(machine.calls(), [""; 0]);
}

/// Which package has which commands, by distribution, according to its own
/// index of files. Debian's column is judged on Debian, below. No machine here
/// can ask Fedora, Arch or openSUSE: a slip in one of the two tables is seen,
/// but an error in both is not.
const FEDORA: &str = "
    util-linux: unshare nsenter setpriv lsns mount pivot_root
    iproute: ip
    procps-ng: ps
    gawk: awk
    gcc: cc
    shadow-utils: newuidmap newgidmap
    nftables: nft
    busybox: busybox
    passt: pasta
    libcap: capsh
    ShellCheck: shellcheck
    strace: strace
    tmux: tmux
    codespell: codespell
    nodejs-npm: node npm
    chromium: chromium
    qemu-system-x86-core: qemu-system-x86_64
    mmdebstrap: mmdebstrap
    e2fsprogs: mke2fs
    xz: xz";
const ARCH: &str = "
    util-linux: unshare nsenter setpriv lsns mount pivot_root
    iproute2: ip
    procps-ng: ps
    gawk: awk
    gcc: cc
    shadow: newuidmap newgidmap
    nftables: nft
    busybox: busybox
    passt: pasta
    libcap: capsh
    shellcheck: shellcheck
    strace: strace
    tmux: tmux
    codespell: codespell
    nodejs npm: node npm
    chromium: chromium
    qemu-system-x86: qemu-system-x86_64
    mmdebstrap: mmdebstrap
    e2fsprogs: mke2fs
    xz: xz";
const OPENSUSE: &str = "
    util-linux: unshare nsenter setpriv lsns mount pivot_root
    iproute2: ip
    procps: ps
    gawk: awk
    gcc: cc
    shadow: newuidmap newgidmap
    nftables: nft
    busybox-static: busybox
    passt: pasta
    libcap-progs: capsh
    ShellCheck: shellcheck
    strace: strace
    tmux: tmux
    codespell: codespell
    nodejs-default npm-default: node npm
    chromium: chromium
    qemu-x86: qemu-system-x86_64
    mmdebstrap: mmdebstrap
    e2fsprogs: mke2fs
    xz: xz";
const DEBIAN: &str = "
    util-linux: unshare nsenter setpriv lsns
    util-linux-extra: pivot_root
    mount: mount
    iproute2: ip
    procps: ps
    mawk: awk
    gcc libc6-dev: cc
    uidmap: newuidmap newgidmap
    nftables: nft
    busybox-static: busybox
    passt: pasta
    libcap2-bin: capsh
    shellcheck: shellcheck
    strace: strace
    tmux: tmux
    codespell: codespell
    nodejs npm: node npm
    chromium: chromium
    mmdebstrap: mmdebstrap
    e2fsprogs: mke2fs
    xz-utils: xz";

/// Packages and their commands.
fn packages(of: &str) -> BTreeSet<(&str, &str)> {
    let mut packages = BTreeSet::new();
    for line in of.lines().filter(|line| !line.is_empty()) {
        let (names, commands) = line.trim().split_once(": ").expect("a line");
        packages.extend(commands.split(' ').map(|command| (names, command)));
    }
    packages
}

/// When everything is missing.
fn every_package_is_the_one_that_has_its_commands() {
    for (manager, of) in [
        ("apt-get", DEBIAN),
        ("dnf", FEDORA),
        ("pacman", ARCH),
        ("zypper", OPENSUSE),
    ] {
        let machine = Machine::complete();
        for tool in needed("always").iter().chain(&needed("optional")) {
            machine.lacks(tool);
        }
        machine.fake(manager, "");
        let all = ["--check", "--test", "--slides", "--lab"];
        let said = text(&machine.setup(0, &all).stdout);
        let mut named = BTreeSet::new();
        for line in said.lines() {
            if let Some((what, packages)) = line.split_once(" package ") {
                let commands = what[..30].split_whitespace();
                named.extend(commands.map(|command| (packages, command)));
            }
        }
        assert_eq!(named, packages(of), "{manager}");
    }
}

/// If a package is installed, its list of files tells; otherwise apt, which
/// knows whether there is a package of that name.
fn on_debian_the_packages_have_the_commands() {
    let told = |program: &str, words: &[&str]| {
        let program = needs::command(program);
        let output = Command::new(program).args(words).output();
        text(&output.expect("a program of Debian").stdout)
    };
    let table = packages(DEBIAN);
    let names = table.iter().flat_map(|(names, _)| names.split(' '));
    let names: BTreeSet<_> = names.collect();
    let mut words = vec!["show", "bash"];
    words.extend(&names);
    let shown = told("apt-cache", &words);
    let known = shown.lines().filter_map(|l| l.strip_prefix("Package: "));
    let known: BTreeSet<_> = known.collect();
    if !known.contains("bash") {
        skip("needs apt's package lists (apt-get update)");
    }
    let unknown: Vec<_> = names.difference(&known).collect();
    assert!(unknown.is_empty(), "Debian has no {unknown:?}");

    for (names, command) in table {
        // Links made by update-alternatives(1) are in no list.
        let file = match command {
            "cc" => "/gcc",
            "awk" => "/mawk",
            other => &format!("/{other}"),
        };
        // Up to util-linux 2.41, it is in the package that is always installed.
        let former = (command == "pivot_root").then_some("util-linux");
        let lists: Vec<_> = names
            .split(' ')
            .chain(former)
            .map(|name| told("dpkg-query", &["--listfiles", name]))
            .collect();
        let is_there = lists.iter().any(|list| {
            list.lines().any(|l| l.contains("bin/") && l.ends_with(file))
        });
        let is_installed = lists.iter().all(|list| !list.is_empty());
        assert!(is_there || !is_installed, "{names} has no {command}");
    }
}

fn every_package_manager_is_asked_in_its_words() {
    for (manager, calls) in [
        (
            "apt-get",
            [
                "apt-cache show iproute2 nftables",
                "apt-get install -y --no-install-recommends --no-remove \
                 iproute2 nftables",
            ],
        ),
        (
            "dnf",
            [
                "dnf install -y --setopt=install_weak_deps=False \
                 iproute nftables",
                "",
            ],
        ),
        (
            "zypper",
            [
                "zypper --non-interactive install --no-recommends \
                 iproute2 nftables",
                "",
            ],
        ),
        ("pacman", ["pacman -S --needed --noconfirm iproute2 nftables", ""]),
    ] {
        let machine = Machine::complete();
        machine.lacks("ip");
        machine.lacks("nft");
        machine.fake("apt-cache", "");
        machine.brings(manager, &["ip", "nft"]);
        assert_says(&machine.setup(0, &[]), 0, &["Missing:", DONE]);
        let calls: Vec<_> =
            calls.into_iter().filter(|c| !c.is_empty()).collect();
        assert_eq!(machine.calls(), calls, "{manager}");
    }
}

fn optional_packages_may_fail() {
    let machine = Machine::complete();
    machine.lacks("pasta");
    machine.fake("dnf", "exit 1");
    let output = machine.setup(0, &[]);
    assert_says(&output, 0, &["passt is not available here", DONE]);
}

fn old_package_lists_are_fetched_once() {
    let machine = Machine::complete();
    machine.lacks("nft");
    machine.lacks("pasta");
    machine.fake("apt-cache", "exit 100");
    machine.brings("apt-get", &["nft"]);
    let output = machine.setup(0, &[]);
    assert_says(&output, 0, &[DONE]);
    let updates = machine.calls();
    let updates = updates.iter().filter(|call| *call == "apt-get update");
    assert_eq!(updates.count(), 1, "{:?}", machine.calls());
}

fn what_does_not_appear_is_told_with_the_command() {
    for (manager, command) in [
        ("dnf", "Do: dnf install nftables"),
        ("zypper", "Do: zypper install nftables"),
        ("pacman", "Do: pacman -Syu --needed nftables"),
    ] {
        let machine = Machine::complete();
        machine.lacks("nft");
        // It says yes, and brings nothing.
        machine.fake(manager, "");
        let output = machine.setup(0, &[]);
        let parts = ["Setup is not complete.", command, "internet once"];
        assert_says(&output, 1, &parts);
    }
}

fn sudo_is_announced() {
    let machine = Machine::complete();
    machine.lacks("nft");
    machine.brings("dnf", &["nft"]);
    machine.fake("sudo", "echo '(password)'; exec \"$@\"");
    let output = machine.setup(1000, &[]);
    assert_says(&output, 0, &["sudo dnf comes next", DONE]);
    let said = text(&output.stdout);
    assert!(said.find("comes next") < said.find("(password)"), "{said}");
    let calls = machine.calls();
    assert!(calls[0].starts_with("sudo dnf install"), "{calls:?}");
    assert!(calls[1].starts_with("dnf install"), "{calls:?}");
}

fn without_sudo_or_a_package_manager_it_says_so() {
    let machine = Machine::complete();
    machine.lacks("nft");
    machine.fake("dnf", "");
    let output = machine.setup(1000, &[]);
    assert_says(&output, 1, &["there is no sudo", "Do: dnf install nftables"]);
    assert_eq!(machine.calls(), [""; 0]);

    let machine = Machine::complete();
    machine.lacks("nft");
    let output = machine.setup(0, &[]);
    let parts = ["No apt-get, dnf, zypper or pacman", "what provides nft"];
    assert_says(&output, 1, &parts);
}

fn rust_that_lacks_or_is_old_is_told() {
    let machine = Machine::complete();
    machine.lacks("cargo");
    let home = tempfile::tempdir().expect("a directory");
    let mut machine = machine;
    machine.variables = vec![("CARGO_HOME", home.path().display().to_string())];
    let parts = ["cargo and rustc", "https://sh.rustup.rs"];
    assert_says(&machine.setup(0, &[]), 1, &parts);
    assert_says(&machine.setup(0, &["--check"]), 1, &parts);

    // From Debian 13 on, the distribution's own is new enough.
    machine.fake("apt-get", "");
    for (version, parts) in [
        ("1.63.0+dfsg1-2", ["older", "https://sh.rustup.rs"]),
        ("1.85.0+dfsg3-1", ["are 1.85.0:", "apt-get install cargo"]),
    ] {
        let policy = format!("echo '  Candidate: {version}'");
        machine.fake("apt-cache", &policy);
        assert_says(&machine.setup(0, &[]), 1, &parts);
    }

    let hidden = home.path().join("bin/cargo");
    fs::create_dir(home.path().join("bin")).expect("mkdir");
    fs::copy(machine.path("rustc"), &hidden).expect("copy");
    let parts = ["not on your PATH", "export PATH="];
    assert_says(&machine.setup(0, &[]), 1, &parts);

    machine.fake("cargo", "");
    machine.fake("rustc", "echo 'rustc 1.70.0 (0 2023-01-01)'");
    let parts = ["rustc is 1.70.0; the workshop needs 1.85"];
    assert_says(&machine.setup(0, &[]), 1, &parts);
    machine.fake("rustup", "");
    assert_says(&machine.setup(0, &[]), 1, &["rustup update stable"]);
    machine.fake("rustc", "exit 1");
    assert_says(&machine.setup(0, &[]), 1, &["rustup default stable"]);
}

/// They are for the tests and the lab. Without them, setup is complete.
fn what_rustup_can_bring_is_brought() {
    let machine = Machine::complete();
    machine.fake("rustup", "[[ $1 != run ]]");
    for program in ["rustfmt", "cargo-clippy"] {
        machine.fake(program, "");
    }
    let brought = [
        "rustup toolchain install 1.85 --profile minimal",
        "rustup target add aarch64-unknown-linux-gnu",
    ];
    // The tests need more than that, which this machine lacks.
    assert_says(&machine.setup(0, &["--test"]), 1, &brought);
    let calls = machine.calls();
    for call in brought {
        assert!(calls.contains(&call.to_owned()), "{call}: {calls:?}");
    }
    let output = machine.setup(0, &["--check", "--lab"]);
    assert_says(&output, 1, &brought[1..]);
}

fn absent_crates_are_fetched() {
    let machine = Machine::complete();
    let crates = machine.path("crates");
    let there = crates.display();
    // Offline, it succeeds if they are there; otherwise it brings them.
    machine.fake(
        "cargo",
        &format!(
            "[[ $* != *--offline* ]] || exec $BIN/cat {there}; : >{there}"
        ),
    );
    let output = machine.setup(0, &["--check"]);
    assert_says(&output, 1, &["Missing: the crates"]);
    assert!(machine.calls().is_empty());
    assert_says(&machine.setup(0, &[]), 0, &[DONE]);
    assert_eq!(machine.calls(), ["cargo fetch --locked"]);

    machine.fake("cargo", "exit 1");
    let output = machine.setup(0, &[]);
    assert_says(&output, 1, &["Do: cargo fetch --locked", "offline"]);
}

fn here_it_is_fast() {
    let check = Step::script("setup.sh").args(["--check"]).output();
    if !check.status.success() {
        skip("needs a machine that is set up");
    }
    let seconds = || Step::script("setup.sh").cpu_seconds();
    let best = (0..3).map(|_| seconds()).fold(f64::MAX, f64::min);
    assert!(best < 0.3, "{best} s");
}
