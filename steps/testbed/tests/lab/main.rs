#![forbid(unsafe_code)]
//! The lab when things go wrong: what it says, how it ends, what it leaves
//! behind. In all other claims the kernel is real; here even QEMU is a program
//! that this file makes, since a real one does not fail on demand.

mod cache;
mod pretended;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use cache::{
    a_copy_of_qemu_that_breaks_is_replaced, a_disk_that_fills_up_is_told,
    a_full_disk_is_told, a_network_that_answers_for_the_mirror_is_told,
    a_qemu_that_does_not_run_is_told,
    a_rust_that_can_not_compile_for_a_machine_is_told,
    an_interrupted_download_leaves_nothing,
    an_unstable_that_does_not_boot_is_not_kept,
    its_image_can_be_made_beforehand, its_own_qemu_boots_offline,
    offline_it_says_what_it_needs_the_network_for,
    what_is_compiled_for_another_machine_has_a_directory_of_its_own,
    what_it_keeps_for_one_machine_stays_beside_that_for_another,
    where_no_qemu_is_installed_it_unpacks_one_and_installs_nothing,
    where_unstable_is_broken_the_last_good_one_goes_on_and_is_named,
    without_package_lists_it_asks_apt_for_its_mirrors,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pretended::{Lab, error, machine};
use testbed::{Step, checkout, eventually, needs, token};

testbed::main!(
    a_wrong_word_is_told,
    its_image_can_be_made_beforehand,
    where_no_qemu_is_installed_it_unpacks_one_and_installs_nothing,
    its_own_qemu_boots_offline,
    a_copy_of_qemu_that_breaks_is_replaced,
    a_qemu_that_does_not_run_is_told,
    an_interrupted_download_leaves_nothing,
    offline_it_says_what_it_needs_the_network_for,
    a_network_that_answers_for_the_mirror_is_told,
    without_package_lists_it_asks_apt_for_its_mirrors,
    a_full_disk_is_told,
    a_disk_that_fills_up_is_told,
    a_machine_that_does_not_come_up_is_told_with_its_console,
    a_machine_that_ends_is_told_at_once_with_its_reason,
    a_kernel_that_panics_is_told_at_once,
    a_broken_dev_null_does_not_hide_the_machine,
    a_status_that_comes_in_pieces_is_heard_whole,
    what_it_keeps_for_one_machine_stays_beside_that_for_another,
    an_unstable_that_does_not_boot_is_not_kept,
    where_unstable_is_broken_the_last_good_one_goes_on_and_is_named,
    a_rust_that_can_not_compile_for_a_machine_is_told,
    what_is_compiled_for_another_machine_has_a_directory_of_its_own,
    a_kvm_that_says_nothing_is_left_within_seconds,
    a_file_that_can_not_be_read_stays_outside,
    a_signal_ends_the_machine,
);

fn a_wrong_word_is_told() {
    let lab = Lab::new();
    let cases: [(&[&str], &str); 9] = [
        (&["--kernel", "2.4", "true"], "no kernel 2.4"),
        (&["--debian", "13", "--kernel", "6.1", "true"], "only: 6.12"),
        (&["--debian", "3", "true"], "no Debian 3 here, only: 12 13 13-"),
        (&["--arch", "vax", "true"], "vax here, only: amd64 arm64"),
        (&["--user", "nobody", "true"], "no user nobody"),
        (&["--cpus", "many", "true"], "--cpus many"),
        (&["--bring", "/nowhere", "true"], "no file /nowhere"),
        (&["--kernel"], "--kernel needs a value"),
        (&[], "without a COMMAND, the lab needs a terminal"),
    ];
    for (words, part) in cases {
        let told = lab.fails(lab.asked(words));
        assert!(told.contains(part), "{words:?}: {told}");
    }
}

fn a_machine_that_does_not_come_up_is_told_with_its_console() {
    let (lab, word) = (Lab::new(), token());
    let waits = format!("echo {word} >$console; exec sleep 99");
    lab.has_qemu(&machine(&waits, &waits));
    let told = lab.fails(lab.asked(&["true"]));
    assert!(told.contains(&word), "{told}");
    assert!(told.contains("did not come up: not within 1 s"), "{told}");
    assert!(told.contains("LAB_BOOT_SECONDS"), "{told}");
}

/// While it boots, and while the command runs. Neither is waited for.
#[track_caller]
fn assert_told_at_once(end: &str, parts: &[&str]) {
    for (comes_up, when) in [
        ("", "the machine did not come up"),
        ("echo up >$control; ", "the machine went down before"),
    ] {
        let lab = Lab::new();
        let script = format!("echo boots >$console; {comes_up}{end}");
        lab.has_qemu(&machine(&script, &script));
        let mut asked = lab.asked(&["true"]);
        asked.command().env("LAB_BOOT_SECONDS", "60");
        let begin = Instant::now();
        let told = lab.fails(asked);
        for part in parts.iter().chain(&[when]) {
            assert!(told.contains(part), "no {part:?}: {told}");
        }
        assert!(!told.contains("LAB_BOOT_SECONDS"), "{told}");
        assert!(begin.elapsed() < Duration::from_secs(45), "{told}");
    }
}

fn a_machine_that_ends_is_told_at_once_with_its_reason() {
    let word = token();
    let end = format!("echo 'no such option {word}' >&2; sleep 0.5; exit 1");
    assert_told_at_once(&end, &[&word, "QEMU ended"]);
}

fn a_kernel_that_panics_is_told_at_once() {
    let word = token();
    let panics = format!(
        "sleep 0.5; echo 'Kernel panic - not syncing: {word}' >>$console; \
         exec sleep 99"
    );
    assert_told_at_once(&panics, &[&word, "its kernel panicked"]);
}

/// After somebody's mistake, or a program's: nothing can be thrown away there.
fn a_broken_dev_null_does_not_hide_the_machine() {
    needs::root();
    let lab = Lab::new();
    let script = "echo boots >$console; : >$out; : >$err
        echo up >$control; sleep 2; echo 7 >$control; exec sleep 99";
    lab.has_qemu(&machine(script, script));
    let broken = "read_only=$(mktemp) &&
        mount --bind $read_only /dev/null &&
        mount -o remount,bind,ro /dev/null && rm $read_only || exit 99
        exec scripts/lab.sh true";
    let ask = format!("exec unshare --mount bash -c '{broken}'");
    let mut asked = lab.around(Step::shell(&ask));
    asked.command().env("LAB_BOOT_SECONDS", "60").current_dir(checkout());
    let output = asked.output();
    assert_eq!(output.status.code(), Some(7), "{}", error(&output));
    lab.leaves_nothing();
}

/// However long each takes: it is no other status, and not none.
fn a_status_that_comes_in_pieces_is_heard_whole() {
    let lab = Lab::new();
    let script = "echo boots >$console; : >$out; : >$err; echo up >$control
        (printf 4; sleep 1.5; printf 2; sleep 1.5; echo) >$control
        exec sleep 99";
    lab.has_qemu(&machine(script, script));
    let mut asked = lab.asked(&["true"]);
    asked.command().env("LAB_BOOT_SECONDS", "60");
    let output = asked.output();
    assert_eq!(output.status.code(), Some(42), "{}", error(&output));
    lab.leaves_nothing();
}

/// Stands in where there is no KVM: a file of that name, which says as little.
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
    lab.has_qemu(&machine("exec sleep 99", &boots));
    let begin = Instant::now();
    let told = lab.fails(lab.asked(&["true"]));
    assert!(told.contains("KVM does not work here"), "{told}");
    assert!(told.contains("without KVM"), "{told}");
    assert!(told.contains(&word), "{told}");
    assert!(begin.elapsed() < Duration::from_secs(15));
}

/// And the lab starts all the same. In a checkout of our own, as it is put on
/// the machine's disk.
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
    lab.has_qemu(&look);
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
        lab.has_qemu(&machine(&boots, &boots));
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
