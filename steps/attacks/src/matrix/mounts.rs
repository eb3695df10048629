//! Step 04: mounts.

use std::fs;

use testbed::token;

use crate::places::{
    Mount, Place, Root, Secret, Verdict, directory, judge, judge_words,
    need_root, run, stdout, text,
};

/// Where the host has something mounted from `source`.
fn mounted_from(source: &str) -> Option<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let line =
        table.lines().find(|line| line.contains(&format!(" {source} ")))?;
    line.split(' ').nth(4).map(str::to_owned)
}

pub fn leak_mount(place: Place) -> Verdict {
    let (here, source) = (directory(), token());
    let here = text(here.path());
    let target = if place == Place::OUTSIDE { &here } else { "/mnt" };
    let output = place.attack("leak-mount", &[target, &source]);
    let leaked = mounted_from(&source);
    if let Some(leaked) = &leaked {
        assert!(run("umount", [leaked]).status.success(), "{leaked}");
    }
    judge(&output, leaked.is_some())
}

/// By hand: a pivot_root without what comes after it. The old root lies on the
/// new one, or in a directory of it.
pub fn old_root(place: Place) -> Verdict {
    let (secret, root) = (Secret::new(), Root::new());
    let mut seen = Vec::new();
    fs::create_dir(root.path().join("old")).expect("make old");
    for (put_old, found_at) in [(".", "/.."), ("old", "/old")] {
        let given = [&*secret.file, found_at];
        let output = match place.step {
            0 => {
                let script = format!(
                    "mount --rbind {root} {root}; cd {root}; \
                     pivot_root . {put_old}; \
                     exec /bin/attack old-root {} {found_at}",
                    given[0],
                    root = root.text(),
                );
                let by_hand =
                    ["--mount", "--propagation=private", "sh", "-c", &script];
                run("unshare", by_hand)
            }
            _ => root.command(place, "old-root", &given).output(),
        };
        seen.push(secret.is_told_by(&output));
        // No step has a directory `old` that is another root.
        if found_at == "/.." || seen[0] {
            judge(&output, seen[seen.len() - 1])?;
        }
    }
    assert_eq!(seen[0], seen[1]);
    Ok(seen[0])
}

/// By hand, the kernel follows the link, and something of the host is covered.
pub fn link_out(place: Place) -> Verdict {
    let mut seen = Vec::new();
    for name in ["proc", "dev", "sys"] {
        let (root, victim) = (Root::new(), directory());
        let victim = text(victim.path());
        let planted =
            Place::OUTSIDE.attack("link-out", &[&root.text(), name, &victim]);
        if place.step == 0 {
            let script = format!(
                "mount -t tmpfs tmpfs {}/{name} && \
                 grep ' {victim} ' /proc/self/mountinfo",
                root.text()
            );
            let by_hand =
                ["--mount", "--propagation=private", "sh", "-c", &script];
            seen.push(run("unshare", by_hand).status.success());
        } else {
            let step = place.step().arg("--rootfs", root.path());
            let refused = step.sh("echo runs all the same").output();
            let error = String::from_utf8_lossy(&refused.stderr).into_owned();
            let stopped =
                refused.status.code() == Some(125) && error.contains("ELOOP");
            seen.push(!stopped);
        }
        judge_words(&stdout(&planted), seen[seen.len() - 1])?;
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
    Ok(seen[0])
}

/// A directory that whoever is root inside may write.
fn volume() -> tempfile::TempDir {
    let volume = directory();
    crate::users::open_to_all(volume.path());
    volume
}

pub fn write_volume(place: Place) -> Verdict {
    let (volume, word) = (volume(), token());
    let mode = if place.with_option { ":ro" } else { "" };
    let option = format!("{}:/mnt{mode}", text(volume.path()));
    let step = place.step().args(["-v", &option]);
    let step =
        step.args(["--", "attack", "write-volume", "/mnt/attack", &word]);
    let output = step.output();
    let now = fs::read_to_string(volume.path().join("attack"));
    judge(&output, now.is_ok_and(|now| now.contains(&word)))
}

pub fn remount_volume(place: Place) -> Verdict {
    let volume = volume();
    remounts(
        "remount-volume",
        place,
        &volume,
        &format!("{}:/mnt:ro", text(volume.path())),
    )
}

/// The host shows the directory a second time, read-only, and that is the
/// volume.
pub fn remount_locked(place: Place) -> Verdict {
    need_root()?;
    let (volume, shown) = (volume(), directory());
    let _mount = Mount::read_only(volume.path(), shown.path().into());
    remounts(
        "remount-locked",
        place,
        &volume,
        &format!("{}:/mnt", text(shown.path())),
    )
}

fn remounts(
    name: &str,
    place: Place,
    volume: &tempfile::TempDir,
    option: &str,
) -> Verdict {
    let word = token();
    let step = place.step().args(["-v", option]);
    let step = step.args(["--", "attack", name, "/mnt", &word]);
    let output = step.output();
    let outside = fs::read_to_string(volume.path().join("attack"));
    judge(&output, outside.is_ok_and(|now| now == word))
}
