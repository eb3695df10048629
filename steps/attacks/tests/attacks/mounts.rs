//! Step 04: mounts.

use std::fs;

use tempfile::TempDir;
use testbed::{Step, needs, token};

use crate::places::{
    Place, Root, STEPS, Secret, judge, judge_output, known, record, run,
    stdout, steps,
};

const STEP: &str = STEPS[3];

/// Where the host has something mounted from `source`.
fn mounted_from(source: &str) -> Option<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let line =
        table.lines().find(|line| line.contains(&format!(" {source} ")))?;
    line.split(' ').nth(4).map(str::to_owned)
}

pub fn a_mount_shows_on_the_host() {
    needs::playground();
    let directory = TempDir::new().expect("a directory");
    let here = directory.path().display().to_string();
    for place in [Place::Host].into_iter().chain(steps()) {
        let source = token();
        let target = if let Place::Host = place { &here } else { "/mnt" };
        let output = place.attack("leak-mount", &[target, &source]);
        let leaked = mounted_from(&source);
        if let Some(leaked) = &leaked {
            assert!(run("umount", [leaked]).status.success(), "{leaked}");
        }
        judge_output("leak-mount", place, &output, leaked.is_some());
    }
}

/// A pivot_root without what comes after it, by hand: the old root lies on the
/// new one, or in a directory of it.
pub fn the_old_root_is_found_by_hand_and_not_after_umount() {
    needs::playground();
    let (secret, root) = (Secret::new(), Root::new());
    fs::create_dir(root.path().join("old")).expect("make old");
    for (put_old, found_at) in [(".", "/.."), ("old", "/old")] {
        let script = format!(
            "mount --rbind {root} {root}; cd {root}; pivot_root . {put_old}; \
             exec /bin/attack old-root {file} {found_at}",
            root = root.text(),
            file = secret.file,
        );
        let by_hand = ["--mount", "--propagation=private", "sh", "-c", &script];
        let output = run("unshare", by_hand);
        let seen = secret.is_told_by(&output);
        judge_output("old-root", Place::ByHand, &output, seen);
        for (number, place) in steps().enumerate().map(|(i, p)| (i + 1, p)) {
            let step = root.step(number, "old-root", &[&secret.file, found_at]);
            let output = step.output();
            let seen = secret.is_told_by(&output);
            match number {
                // A chroot has no old root below it.
                1..4 if found_at == "/.." => {
                    assert_eq!(output.status.code(), Some(3), "{output:?}");
                }
                _ if found_at == "/.." => {
                    judge_output("old-root", place, &output, seen);
                }
                _ => assert!(!seen, "{output:?}"),
            }
        }
    }
}

/// By hand the kernel follows the link, and something of the host is covered.
/// Below step 04 nothing is mounted.
pub fn a_link_in_the_root_directory_is_not_followed() {
    needs::playground();
    for name in ["proc", "dev", "sys"] {
        let root = Root::new();
        let victim = TempDir::new().expect("a directory");
        let victim = victim.path().display().to_string();
        let planted =
            Place::ByHand.attack("link-out", &[&root.text(), name, &victim]);
        let script = format!(
            "mount -t tmpfs tmpfs {}/{name} && \
             grep ' {victim} ' /proc/self/mountinfo",
            root.text()
        );
        let by_hand = ["--mount", "--propagation=private", "sh", "-c", &script];
        let seen = run("unshare", by_hand).status.success();
        judge_output("link-out", Place::ByHand, &planted, seen);

        let step = Step::new(STEP)
            .args(["--rootfs", &root.text()])
            .sh("echo runs all the same");
        let refused = step.output();
        let seen = !stdout(&refused).is_empty();
        judge("link-out", Place::Step(4, &[]), &stdout(&planted), seen);
        assert_eq!(refused.status.code(), Some(125), "{refused:?}");
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(error.contains("ELOOP"), "{error}");
    }
}

/// Only step 04 has volumes: the attack works there, too, where the volume is
/// not read-only.
pub fn a_volume_is_written_unless_it_is_read_only() {
    needs::playground();
    let attack = known("write-volume");
    assert_eq!(attack.stopped, attacks::StoppedBy::Step(4));
    let (volume, root) = (TempDir::new().expect("a directory"), Root::new());
    let outside = volume.path().join("attack");
    let volume = volume.path().display().to_string();
    let try_it = |options: &[&str], file: &str| {
        let text = token();
        let step = Step::new(STEP)
            .args(["--rootfs", &root.text()])
            .args(options)
            .args(["--", "attack", attack.name, file, &text]);
        let output = step.output();
        (text, output.status.code(), stdout(&output))
    };
    let written = |text: &str| {
        let there = [outside.clone(), root.path().join("attack")];
        there.iter().any(|file| {
            fs::read_to_string(file).is_ok_and(|now| now.contains(text))
        })
    };
    let read_only = format!("{volume}:/mnt:ro");
    let writable = format!("{volume}:/mnt");
    for (options, file, works, place) in [
        (&["-v", &writable][..], "/mnt/attack", true, "04 -v DIR:/mnt"),
        (&["-v", &read_only], "/mnt/attack", false, "04 -v DIR:/mnt:ro"),
        (&["-v", &read_only], "/attack", true, "04"),
        (&["--read-only"], "/attack", false, "04 --read-only"),
    ] {
        let (text, status, said) = try_it(options, file);
        assert_eq!(written(&text), works, "{options:?} {file}: {said}");
        assert_eq!(status, Some((!works).into()), "{said}");
        assert!(works || said.contains("STOPPED: EROFS"), "{said}");
        record(attack.name, place, works);
    }
}

/// Root of the mount namespace may change its mounts: the hole that step 04
/// leaves to step 05.
pub fn a_read_only_volume_is_remounted() {
    needs::playground();
    let volume = TempDir::new().expect("a directory");
    let option = format!("{}:/mnt:ro", volume.path().display());
    for number in 4..=STEPS.len() {
        let text = token();
        let step = Step::new(STEPS[number - 1]).args(["-v", &option]).args([
            "--",
            "attack",
            "remount-volume",
            "/mnt",
            &text,
        ]);
        let output = step.output();
        let outside = fs::read_to_string(volume.path().join("attack"));
        let seen = outside.is_ok_and(|now| now == text);
        judge_output("remount-volume", Place::Step(number, &[]), &output, seen);
    }
}
