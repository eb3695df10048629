#![forbid(unsafe_code)]
//! The lab when things go wrong: what it says, how it ends, what it leaves.
//! The kernel is real in all other claims; here QEMU itself is a program of
//! this file's making, since a real one does not fail on demand.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use testbed::watch::Watch;
use testbed::{Step, eventually, needs, skip, token};

testbed::main!(
    a_wrong_word_is_told,
    its_image_can_be_made_beforehand,
    a_missing_qemu_is_told,
    a_full_disk_is_told,
    a_machine_that_does_not_come_up_is_told_with_its_console,
    a_machine_that_ends_at_once_is_told_with_its_reason,
    a_kvm_that_says_nothing_is_left_within_seconds,
    a_file_that_can_not_be_read_stays_outside,
    a_signal_ends_the_machine,
);

/// The programs of this machine, but for those that are made here; and a
/// cache, in which an image is made by nobody.
struct Lab {
    place: TempDir,
    is_playground: bool,
    watch: Watch,
}

impl Lab {
    fn new() -> Lab {
        for program in ["mke2fs", "setpriv", "flock"] {
            needs::command(program);
        }
        if std::env::consts::ARCH != "x86_64" {
            skip("the lab is for x86_64");
        }
        let place = tempfile::tempdir().expect("a directory");
        // A playground's /tmp has less room than the lab asks for.
        let is_playground = std::env::var_os("PLAYGROUND").is_some();
        if is_playground {
            let room = ["-t", "tmpfs", "-o", "size=2g", "room"];
            mount("mount", &room, place.path());
        }
        let lab = Lab { place, is_playground, watch: Watch::begin() };
        fs::create_dir(lab.place.path().join("programs")).expect("mkdir");
        lab.has("mmdebstrap", "exit 0");
        lab
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.place.path().join(name)
    }

    fn has(&self, program: &str, script: &str) {
        let file = self.path("programs").join(program);
        fs::write(&file, format!("#!/bin/bash\n{script}\n")).expect("write");
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(file, executable).expect("chmod");
    }

    fn asked(&self, arguments: &[&str]) -> Step {
        self.around(Step::script("lab.sh")).args(arguments)
    }

    fn around(&self, lab: Step) -> Step {
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", self.path("programs").display());
        let mut lab = self.watch.over_script(lab);
        lab.command()
            .env("PATH", path)
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("TMPDIR", self.place.path())
            .env("WORKSHOP_BIN", self.path("no-programs"))
            .env("LAB_MIRROR", "http://mirror.invalid/debian")
            .env("LAB_BOOT_SECONDS", "1");
        fs::create_dir_all(self.path("no-programs")).expect("mkdir");
        lab
    }

    fn fails(&self, lab: Step) -> String {
        let output = lab.output();
        let told = error(&output);
        assert_eq!(output.status.code(), Some(125), "{told}");
        self.leaves_nothing();
        told
    }

    /// Nothing but the image, for the next time.
    fn leaves_nothing(&self) {
        let cache = self.path("cache/container-workshop-lab");
        let entries = fs::read_dir(cache).into_iter().flatten().flatten();
        let left: Vec<_> = entries
            .filter(|it| it.file_name().to_string_lossy().starts_with("run."))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        self.watch.assert_nothing_left("lab.sh");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.is_playground {
            mount("umount", &["--lazy"], self.place.path());
        }
    }
}

fn mount(program: &str, words: &[&str], place: &Path) {
    let done = Command::new(program).args(words).arg(place).status();
    assert!(done.expect("mount").success());
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What the machine writes to its console, and what becomes of it.
fn machine(kvm: &str, tcg: &str) -> String {
    format!(
        r#"for word; do
            case $word in file:*/console) console=${{word#file:}} ;; esac
        done
        if [[ $* == *"-accel kvm"* ]]; then {kvm}; else {tcg}; fi"#
    )
}

fn a_wrong_word_is_told() {
    let lab = Lab::new();
    let cases: [(&[&str], &str); 6] = [
        (&["--kernel", "2.4", "true"], "no kernel 2.4"),
        (&["--user", "nobody", "true"], "no user nobody"),
        (&["--cpus", "many", "true"], "--cpus many"),
        (&["--bring", "/nowhere", "true"], "no file /nowhere"),
        (&["--kernel"], "what --kernel?"),
        (&[], "without a COMMAND it needs a terminal"),
    ];
    for (words, part) in cases {
        let told = lab.fails(lab.asked(words));
        assert!(told.contains(part), "{words:?}: {told}");
    }
}

/// Once, and without a machine.
fn its_image_can_be_made_beforehand() {
    let lab = Lab::new();
    let (made, booted) = (lab.path("made"), lab.path("booted"));
    lab.has("mmdebstrap", &format!("echo >>{}", made.display()));
    lab.has("qemu-system-x86_64", &format!("echo >>{}", booted.display()));
    for _ in 0..2 {
        let output = lab.asked(&["--image"]).output();
        assert_eq!(output.status.code(), Some(0), "{}", error(&output));
        lab.leaves_nothing();
    }
    assert_eq!(fs::read_to_string(made).expect("an image"), "\n");
    assert!(!booted.exists());
}

/// All programs of this machine, but one.
fn a_missing_qemu_is_told() {
    let lab = Lab::new();
    let path = lab.path("all-but-one");
    fs::create_dir(&path).expect("mkdir");
    for directory in ["/usr/bin", "/bin", "/usr/sbin", "/sbin"] {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if !entry.file_name().to_string_lossy().starts_with("qemu") {
                let _ = symlink(entry.path(), path.join(entry.file_name()));
            }
        }
    }
    // It adds the directories of the administrator to its PATH by itself.
    for place in ["/usr/sbin", "/sbin"] {
        if Path::new(place).join("qemu-system-x86_64").exists() {
            skip("QEMU is where it can't be hidden");
        }
    }
    let mut asked = lab.asked(&["true"]);
    asked.command().env("PATH", &path);
    let told = lab.fails(asked);
    assert!(told.contains("qemu-system-x86_64 is missing"), "{told}");
    assert!(told.contains("./scripts/setup.sh --lab"), "{told}");
}

fn a_full_disk_is_told() {
    needs::disposable_host();
    needs::root();
    let lab = Lab::new();
    lab.has("qemu-system-x86_64", "exit 0");
    let cache = lab.path("cache");
    fs::create_dir(&cache).expect("mkdir");
    mount("mount", &["-t", "tmpfs", "-o", "size=9m", "small"], &cache);
    let output = lab.asked(&["true"]).output();
    mount("umount", &[], &cache);
    let told = error(&output);
    assert_eq!(output.status.code(), Some(125), "{told}");
    assert!(told.contains("the disk is full"), "{told}");
    assert!(told.contains("needs 1000 MB"), "{told}");
}

fn a_machine_that_does_not_come_up_is_told_with_its_console() {
    let (lab, word) = (Lab::new(), token());
    let panics =
        format!("echo \"Kernel panic: {word}\" >$console; exec sleep 99");
    lab.has("qemu-system-x86_64", &machine(&panics, &panics));
    let told = lab.fails(lab.asked(&["true"]));
    assert!(told.contains(&word), "{told}");
    assert!(told.contains("did not come up within 1 s"), "{told}");
    assert!(told.contains("LAB_BOOT_SECONDS"), "{told}");
}

fn a_machine_that_ends_at_once_is_told_with_its_reason() {
    let (lab, word) = (Lab::new(), token());
    let ends = format!("echo 'no such option {word}' >&2; exit 1");
    lab.has("qemu-system-x86_64", &machine(&ends, &ends));
    let told = lab.fails(lab.asked(&["true"]));
    assert!(told.contains(&word), "{told}");
}

/// Where there is none: a file of its name, which says as little.
struct PretendedKvm;

impl PretendedKvm {
    fn new() -> PretendedKvm {
        needs::disposable_host();
        needs::root();
        fs::write("/dev/kvm", "").expect("write /dev/kvm");
        PretendedKvm
    }
}

impl Drop for PretendedKvm {
    fn drop(&mut self) {
        let _ = fs::remove_file("/dev/kvm");
    }
}

fn a_kvm_that_says_nothing_is_left_within_seconds() {
    let mut kvm = fs::OpenOptions::new();
    let _pretended = match kvm.read(true).write(true).open("/dev/kvm") {
        Ok(_) => None,
        Err(_) => Some(PretendedKvm::new()),
    };
    let (lab, word) = (Lab::new(), token());
    let boots = format!("echo {word} >$console; exec sleep 99");
    lab.has("qemu-system-x86_64", &machine("exec sleep 99", &boots));
    let begin = Instant::now();
    let told = lab.fails(lab.asked(&["true"]));
    assert!(told.contains("KVM does not work here"), "{told}");
    assert!(told.contains("without KVM"), "{told}");
    assert!(told.contains(&word), "{told}");
    assert!(begin.elapsed() < Duration::from_secs(15));
}

/// And the lab starts all the same. In a checkout of our own, as it comes to the
/// machine's disk.
fn a_file_that_can_not_be_read_stays_outside() {
    needs::ordinary_user();
    let debugfs = needs::command("debugfs").display().to_string();
    let (lab, word) = (Lab::new(), token());
    let (checkout, inside) = (lab.path("checkout"), lab.path("inside"));
    fs::create_dir(&checkout).expect("mkdir");
    for (name, mode) in [("open", 0o644), ("closed", 0)] {
        let file = checkout.join(format!("{name}-{word}"));
        fs::write(&file, "").expect("write");
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(file, mode).expect("chmod");
    }
    let look = format!(
        "for word; do
            case $word in *,file=*/workspace) disk=${{word##*,file=}} ;; esac
        done
        {debugfs} -R 'ls -p /checkout' $disk >{}",
        inside.display()
    );
    lab.has("qemu-system-x86_64", &look);
    let ask = format!(
        "cp -r scripts {0} && exec {0}/scripts/lab.sh true",
        checkout.display()
    );
    let told = lab.fails(lab.around(Step::shell(&ask)));
    let inside = fs::read_to_string(inside).expect(&told);
    assert!(inside.contains(&format!("open-{word}")), "{inside}{told}");
    assert!(!inside.contains(&format!("closed-{word}")), "{inside}{told}");
}

fn a_signal_ends_the_machine() {
    let lab = Lab::new();
    let here = lab.path("pid");
    let boots = format!(
        "echo boots >$console; echo $$ >{0}.new; mv {0}.new {0}; exec sleep 99",
        here.display()
    );
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        lab.has("qemu-system-x86_64", &machine(&boots, &boots));
        let mut asked = lab.asked(&["true"]);
        asked.command().env("LAB_BOOT_SECONDS", "60");
        let mut running = asked.start();
        let pid = eventually("a machine", || {
            fs::read_to_string(&here).ok()?.trim().parse().ok()
        });
        running.signal(signal);
        assert_eq!(running.ended(), status);
        assert!(kill(Pid::from_raw(pid), None).is_err(), "it goes on");
        fs::remove_file(&here).expect("remove");
        lab.leaves_nothing();
    }
}
