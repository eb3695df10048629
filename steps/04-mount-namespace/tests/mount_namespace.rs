#![forbid(unsafe_code)]
//! Claims of step 04, judged from outside.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;

use nix::sys::stat::{major, minor};
use nix::sys::statvfs::statvfs;
use testbed::{Running, Step, copy_default_root, needs, proc, token};

testbed::main!(
    mount_pid_uts_and_ipc_namespaces_are_new_and_no_others,
    the_mount_table_is_exactly_as_expected,
    nothing_is_shared_even_when_the_host_shares_all,
    the_host_sees_no_mount_of_the_container,
    the_old_root_is_gone,
    proc_shows_our_processes_alone,
    devices_have_the_right_numbers_and_work,
    terminals_and_shared_memory_are_its_own,
    sys_is_read_only,
    a_volume_shows_a_directory_or_a_file,
    a_missing_place_for_a_volume_is_made,
    what_is_mounted_below_the_root_comes_along,
    a_read_only_volume_refuses_writes_below_it_too,
    a_volume_keeps_the_options_of_its_mount,
    an_outer_volume_never_covers_an_inner_one,
    two_volumes_at_one_place_are_told,
    a_volume_that_a_link_lays_over_another_is_told,
    a_read_only_volume_reaches_mounts_that_no_name_reaches,
    a_kernel_that_knows_no_read_only_tree_is_told,
    read_only_is_the_root_alone,
    a_link_in_the_root_leads_no_volume_out,
    a_link_in_place_of_a_system_directory_is_refused,
    the_working_directory_cannot_be_outside,
);

fn step() -> Step {
    Step::new("04-mount-namespace")
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

/// `SRC:DST`, or with a mode.
fn volume(source: &Path, rest: &str) -> String {
    format!("{}:{rest}", source.to_str().expect("a name"))
}

fn mount_pid_uts_and_ipc_namespaces_are_new_and_no_others() {
    needs::root();
    let container = step().start_waiting();
    let is_new = |kind: &&str| {
        proc::namespace(container.pid(), kind) != proc::own_namespace(kind)
    };
    let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];
    let new: Vec<_> = kinds.into_iter().filter(is_new).collect();
    assert_eq!(new, ["ipc", "mnt", "pid", "uts"]);
}

const NODES: [(&str, u64, u64); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Place, kind of filesystem, and whether it is nosuid, nodev, noexec, ro.
fn table(container: &Running) -> Vec<(String, String, [bool; 4])> {
    let options = ["nosuid", "nodev", "noexec", "ro"];
    let line = |mount: proc::MountInfo| {
        let has = |option: &str| mount.options.iter().any(|o| o == option);
        (mount.place.clone(), mount.kind.clone(), options.map(has))
    };
    proc::mounts(container.pid()).into_iter().map(line).collect()
}

fn the_mount_table_is_exactly_as_expected() {
    needs::root();
    let container = step().start_waiting();
    let mut found = table(&container);
    let (root, _, _) = found.remove(0);
    assert_eq!(root, "/");
    let yes = |options: &str| {
        ["nosuid", "nodev", "noexec", "ro"].map(|o| options.contains(o))
    };
    let mut expected = vec![
        ("/proc".to_owned(), "proc", yes("nosuid,nodev,noexec")),
        ("/dev".to_owned(), "tmpfs", yes("nosuid")),
    ];
    // mknod(2) is refused in a user namespace: there each is a mount.
    if !needs::in_first_user_namespace() {
        for (name, ..) in NODES {
            let place = format!("/dev/{name}");
            let at = found.iter().position(|(found, ..)| *found == place);
            found.remove(at.unwrap_or_else(|| panic!("{place}: {found:?}")));
        }
    }
    expected.extend([
        ("/dev/pts".to_owned(), "devpts", yes("nosuid,noexec")),
        ("/dev/shm".to_owned(), "tmpfs", yes("nosuid")),
        ("/dev/mqueue".to_owned(), "mqueue", yes("nosuid,nodev,noexec")),
        ("/sys".to_owned(), "sysfs", yes("nosuid,nodev,noexec,ro")),
    ]);
    for (at, (place, kind, options)) in found.iter().enumerate() {
        let (expected_place, expected_kind, wanted) = &expected[at];
        assert_eq!((place, kind.as_str()), (expected_place, *expected_kind));
        // More than wanted is no harm: a user namespace adds what is locked.
        for (has, wanted) in options.iter().zip(wanted) {
            assert!(*has || !wanted, "{place}: {options:?}");
        }
    }
    assert_eq!(found.len(), expected.len(), "{found:?}");
}

/// As systemd makes it: a mount in one namespace is told to all its copies.
fn in_a_shared_world(step: Step) -> Step {
    let script = "exec unshare --mount --propagation shared \"$@\"";
    step.in_shell(script)
}

fn nothing_is_shared_even_when_the_host_shares_all() {
    needs::root();
    let container =
        in_a_shared_world(step().sh("echo ready; read line")).start();
    let mut container = container;
    assert_eq!(container.line(), "ready");
    let host = proc::mounts(container.runtime());
    let shared = |m: &proc::MountInfo| {
        m.propagation.iter().any(|p| p.starts_with("shared:"))
    };
    assert!(host.iter().any(shared), "the host's mounts are shared here");
    for mount in proc::mounts(container.pid()) {
        assert_eq!(mount.propagation, [""; 0], "{mount:?}");
    }
}

fn the_host_sees_no_mount_of_the_container() {
    needs::root();
    let (source, own) = (temporary(), std::process::id() as i32);
    let before = proc::mounts(own);
    // A host's shell that stays: its table is looked at while the container
    // lives, and after.
    let script = r#"exec unshare --mount --propagation shared bash -c \
        'echo; read x; "$@"; echo over; read x' bash "$@""#;
    let at_work = step()
        .args(["-v", &volume(source.path(), "/mnt")])
        .sh("mount -t tmpfs inside /tmp && echo ready; read line");
    let mut host = at_work.in_shell(script).start();
    assert_eq!(host.line(), "");
    let shell = proc::mounts(host.runtime());
    host.say("");
    assert_eq!(host.line(), "ready");
    assert_eq!(proc::mounts(host.runtime()), shell, "while it lives");
    host.say("");
    assert_eq!(host.line(), "over");
    assert_eq!(proc::mounts(host.runtime()), shell, "afterwards");
    assert_eq!(proc::mounts(own), before);
}

/// Nothing that is mounted is what lay below `/` of the host.
fn the_old_root_is_gone() {
    needs::root();
    let file = tempfile::NamedTempFile::new().expect("a file");
    let container = step().start_waiting();
    let path = file.path().display();
    let through = format!("/proc/{}/root{path}", container.pid());
    assert!(fs::metadata(&through).is_err(), "{through}");
    // A file with a name of the host, looked for under every mount.
    let name =
        file.path().file_name().and_then(|n| n.to_str()).expect("a name");
    let inside = format!(
        "find / -xdev -name {name}; cut -d' ' -f5 /proc/self/mountinfo"
    );
    let found = step().sh(&inside).stdout();
    assert!(!found.contains(name), "{found}");
    assert_eq!(found.lines().filter(|place| *place == "/").count(), 1);
}

fn proc_shows_our_processes_alone() {
    needs::root();
    let inside = "cd /proc && echo [0-9]*; cat /proc/1/comm /proc/self/status | head -1; read x";
    let mut container = step().sh(inside).start();
    assert_eq!(container.line(), "1");
    assert_eq!(container.line(), "sh");
    // Not a bind mount of the host's: another instance, another device.
    let device = |pid: i32| {
        let proc = fs::metadata(format!("/proc/{pid}/root/proc/version"));
        proc.expect("its /proc").dev()
    };
    let own = fs::metadata("/proc/version").expect("our /proc").dev();
    assert_ne!(device(container.pid()), own);
}

fn devices_have_the_right_numbers_and_work() {
    needs::root();
    let container = step().start_waiting();
    let path =
        |name: &str| format!("/proc/{}/root/dev/{name}", container.pid());
    for (name, expected_major, expected_minor) in NODES {
        let node = fs::metadata(path(name)).expect(name);
        assert!(node.file_type().is_char_device(), "{name}");
        let numbers = (major(node.rdev()), minor(node.rdev()));
        assert_eq!(numbers, (expected_major, expected_minor), "{name}");
        assert_eq!(node.mode() & 0o777, 0o666, "{name}");
    }
    let mut names: Vec<_> = fs::read_dir(path(""))
        .expect("its /dev")
        .map(|e| {
            e.expect("an entry").file_name().into_string().expect("a name")
        })
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm",
            "stderr", "stdin", "stdout", "tty", "urandom", "zero",
        ]
    );
    let word = token();
    let inside = format!(
        "echo x >/dev/null && test -z \"$(cat /dev/null)\" && \
         test $(head -c 5000 /dev/zero | wc -c) = 5000 && \
         test $(head -c 50 /dev/urandom | wc -c) = 50 && \
         ! echo x 2>/dev/null >/dev/full && \
         echo {word} >/dev/stdout"
    );
    assert_eq!(step().sh(&inside).stdout(), word);
}

fn terminals_and_shared_memory_are_its_own() {
    needs::root();
    let word = token();
    let inside =
        format!("echo {word} >/dev/shm/{word} && ls /dev/pts /dev/shm; read x");
    let mut container = step().sh(&inside).start();
    assert_eq!(container.line(), "/dev/pts:");
    assert_eq!(container.line(), "ptmx");
    assert!(!Path::new("/dev/shm").join(&word).exists());
    let at = |pid: &str, name: &str| {
        fs::metadata(format!("/proc/{pid}/root/dev/{name}")).expect(name).dev()
    };
    let pid = container.pid().to_string();
    for name in ["pts/ptmx", "shm/."] {
        assert_ne!(at(&pid, name), at("self", name), "{name}");
    }
    let shm = fs::metadata(format!("/proc/{pid}/root/dev/shm")).expect("shm");
    assert_eq!(shm.mode() & 0o7777, 0o1777);
    // What lies there is memory of the machine: it has an end.
    for (place, kib) in [("dev/shm", 64 << 10), ("dev", 64)] {
        let place = format!("/proc/{pid}/root/{place}");
        let there = statvfs(place.as_str()).expect("a filesystem");
        assert_eq!(
            there.blocks() * there.fragment_size(),
            kib << 10,
            "{place}"
        );
    }
}

fn sys_is_read_only() {
    needs::root();
    let inside = "ls /sys/class/net >/dev/null && ! mkdir /sys/x && \
                  ! (echo x >/sys/kernel/profiling) && ! (: >>/sys/kernel/uevent_helper)";
    let output = step().sh(inside).output();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("Read-only file system"), "{errors}");
}

fn a_volume_shows_a_directory_or_a_file() {
    needs::root();
    let (source, word, answer) = (temporary(), token(), token());
    fs::write(source.path().join("file"), &word).expect("write");
    let inside = format!("cat /mnt/file && echo {answer} >/mnt/answer");
    let shown = step().args(["-v", &volume(source.path(), "/mnt")]).sh(&inside);
    assert_eq!(shown.stdout(), word);
    let written = fs::read_to_string(source.path().join("answer"));
    assert_eq!(written.expect("the answer").trim(), answer);
    let file = volume(&source.path().join("file"), "/etc/hosts:rw");
    let inside = format!("cat /etc/hosts; echo {answer} >/etc/hosts");
    let shown = step().args(["--volume", &file]).sh(&inside);
    assert_eq!(shown.stdout(), word);
    let written = fs::read_to_string(source.path().join("file"));
    assert_eq!(written.expect("the file").trim(), answer);
}

fn a_missing_place_for_a_volume_is_made() {
    needs::root();
    let (root, source, word) = (temporary(), temporary(), token());
    copy_default_root(root.path());
    fs::write(source.path().join("f"), &word).expect("write");
    let directory = volume(source.path(), "/a/b c/d");
    let file = volume(&source.path().join("f"), "/e/f/g");
    let shown =
        step().arg("--rootfs", &root).args(["-v", &directory, "-v", &file]);
    let shown = shown.sh("cat '/a/b c/d/f' && cat /e/f/g");
    assert_eq!(shown.stdout(), word.repeat(2));
    // For root alone to write: no umask is in force then.
    for (made, expected) in [("a", 0o755), ("a/b c/d", 0o755), ("e/f/g", 0o644)]
    {
        let made = fs::metadata(root.path().join(made)).expect("it is made");
        assert_eq!(made.mode() & 0o777, expected, "{made:?}");
    }
}

fn what_is_mounted_below_the_root_comes_along() {
    needs::root();
    let (root, word) = (temporary(), token());
    copy_default_root(root.path());
    let script = format!(
        r#"exec unshare --mount bash -c 'mount -t tmpfs x "{0}" &&
           echo {word} >"{0}/f" && exec "$@"' bash "$@""#,
        root.path().join("mnt").display(),
    );
    let shown = step().arg("--rootfs", &root).args(["cat", "/mnt/f"]);
    assert_eq!(shown.in_shell(&script).stdout(), word);
}

fn a_read_only_volume_refuses_writes_below_it_too() {
    needs::root();
    let source = temporary();
    let (below, deep) =
        (source.path().join("be low"), source.path().join("be low/deep"));
    fs::create_dir(&below).expect("mkdir");
    let script = format!(
        r#"exec unshare --mount bash -c 'mount -t tmpfs x "{0}" && mkdir "{1}" &&
           mount -t tmpfs y "{1}" && exec "$@"' bash "$@""#,
        below.display(),
        deep.display(),
    );
    let write = "for place in /mnt '/mnt/be low' '/mnt/be low/deep'; do \
                 (echo x >\"$place/x\") 2>/dev/null && echo \"$place\"; done; true";
    let read_only = volume(source.path(), "/mnt:ro");
    let output = step().args(["-v", &read_only]).sh(write).in_shell(&script);
    assert_eq!(output.stdout(), "");
    assert!(!source.path().join("x").exists());
    let writable = volume(source.path(), "/mnt");
    let output = step().args(["-v", &writable]).sh(write).in_shell(&script);
    assert_eq!(output.stdout(), "/mnt\n/mnt/be low\n/mnt/be low/deep");
}

fn a_volume_keeps_the_options_of_its_mount() {
    needs::root();
    let source = temporary();
    let script = format!(
        r#"exec unshare --mount bash -c 'mount -t tmpfs -o nosuid,nodev,noexec,noatime,nodiratime x "{}" &&
           exec "$@"' bash "$@""#,
        source.path().display(),
    );
    for mode in ["", ":ro"] {
        let shown = volume(source.path(), &format!("/mnt{mode}"));
        let at_work = step().args(["-v", &shown]).sh("echo ready; read line");
        let mut container = at_work.in_shell(&script).start();
        assert_eq!(container.line(), "ready");
        let mounts = proc::mounts(container.pid());
        let mount = mounts.iter().find(|m| m.place == "/mnt").expect("it");
        for option in ["nosuid", "nodev", "noexec", "noatime", "nodiratime"] {
            assert!(mount.options.iter().any(|o| o == option), "{mount:?}");
        }
        let read_only = mount.options.iter().any(|option| option == "ro");
        assert_eq!(read_only, mode == ":ro", "{mount:?}");
    }
}

fn an_outer_volume_never_covers_an_inner_one() {
    needs::root();
    let (outer, inner, word) = (temporary(), temporary(), token());
    let (beside, deep) = (temporary(), temporary());
    for (at, name) in [(&outer, "in"), (&inner, "ner")] {
        fs::create_dir(at.path().join(name)).expect("mkdir");
    }
    fs::write(inner.path().join("f"), &word).expect("write");
    let mut volumes = [
        volume(deep.path(), "/mnt/in/../in//ner:rw"),
        volume(inner.path(), "/mnt/in:ro"),
        // Its name begins as that of one that is read-only.
        volume(beside.path(), "/mnt/inner"),
        volume(outer.path(), "/mnt"),
    ];
    let script = "cat /mnt/in/f && touch /mnt/x /mnt/inner/x /mnt/in/ner/x; \
                  (: >/mnt/in/x) 2>/dev/null && echo written";
    for _ in 0..volumes.len() {
        volumes.rotate_left(1);
        let options = volumes.iter().flat_map(|volume| ["-v", volume]);
        let output = step().args(options).sh(script).output();
        assert_eq!(output.stdout, word.as_bytes(), "{volumes:?}: {output:?}");
        for written in [&outer, &beside, &deep] {
            let file = written.path().join("x");
            fs::remove_file(file).expect("written into the volume");
        }
    }
    // The outer one read-only, too: each is what was asked for it.
    let volumes =
        [volume(deep.path(), "/mnt/in"), volume(outer.path(), "/mnt:ro")];
    let options = volumes.iter().flat_map(|volume| ["-v", volume]);
    let script = "touch /mnt/in/x && ! touch /mnt/x 2>/dev/null && echo fine";
    assert_eq!(step().args(options).sh(script).stdout(), "fine");
}

fn two_volumes_at_one_place_are_told() {
    needs::root();
    let one = temporary();
    for place in ["/mnt", "/mnt/", "//mnt/.", "/etc/../mnt:ro"] {
        let first = volume(one.path(), "/mnt");
        let options = ["-v", &first, "-v", &volume(one.path(), place)];
        let output = step().args(options).args(["true"]).output();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(125), "{place}: {errors}");
        assert!(errors.contains("two volumes at \"/mnt\""), "{errors}");
    }
}

fn a_volume_that_a_link_lays_over_another_is_told() {
    needs::root();
    let (root, source, word) = (temporary(), temporary(), token());
    copy_default_root(root.path());
    fs::create_dir(root.path().join("real")).expect("mkdir");
    symlink("real", root.path().join("link")).expect("symlink");
    symlink("/real", root.path().join("etc/deep")).expect("symlink");
    fs::write(source.path().join("f"), &word).expect("write");
    let run = |places: [&str; 2]| {
        let volumes = places.map(|place| volume(source.path(), place));
        let options = ["-v", &volumes[0], "-v", &volumes[1]];
        let at_work = step().arg("--rootfs", &root).args(options);
        at_work.sh("cat /link/in/f").output()
    };
    // The same files, and yet not the same: what is asked for is read-only.
    for places in [["/real:ro", "/link"], ["/real/in:ro", "/etc/deep"]] {
        let output = run(places);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(125), "{places:?}: {errors}");
        assert!(errors.contains("another volume covers \"/real"), "{errors}");
    }
    let apart = run(["/real/in:ro", "/link/out"]);
    assert_eq!(apart.stdout, word.as_bytes(), "{apart:?}");
}

/// Mounts two filesystems, one in the other, and a third over both.
fn with_a_mount_that_another_one_covers(step: Step, at: &Path) -> Step {
    let script = format!(
        r#"exec unshare --mount bash -c 'mount -t tmpfs x "{0}" &&
           mkdir "{0}/b" && mount -t tmpfs y "{0}/b" &&
           mount -t tmpfs z "{0}" && exec "$@"' bash "$@""#,
        at.display()
    );
    step.in_shell(&script)
}

fn a_read_only_volume_reaches_mounts_that_no_name_reaches() {
    needs::root();
    let source = temporary();
    let covered = source.path().join("a");
    fs::create_dir(&covered).expect("mkdir");
    let shown = volume(source.path(), "/mnt:ro");
    let write = "(: >/mnt/x) 2>/dev/null && echo top; \
                 (: >/mnt/a/x) 2>/dev/null && echo third; echo end";
    for name in ["04-mount-namespace", "05-user-namespace"] {
        let step = Step::new(name).args(["-v", &shown]).sh(write);
        let output = with_a_mount_that_another_one_covers(step, &covered);
        assert_eq!(output.stdout(), "end", "{name}");
    }
    // In step 04 root inside may lay them open.
    let write = "umount /mnt/a && test -d /mnt/a/b || echo not open; \
                 (: >/mnt/a/x) 2>/dev/null && echo first; \
                 (: >/mnt/a/b/x) 2>/dev/null && echo second; echo end";
    let step = step().args(["-v", &shown]).sh(write);
    let output = with_a_mount_that_another_one_covers(step, &covered);
    assert_eq!(output.stdout(), "end");
}

/// Linux 5.11, as strace(1) plays it.
fn a_kernel_that_knows_no_read_only_tree_is_told() {
    needs::root();
    let tracer = needs::tracer();
    let source = temporary();
    let below = source.path().join("a");
    fs::create_dir(&below).expect("mkdir");
    let shown = volume(source.path(), "/mnt:ro");
    let write = "(: >/mnt/x) 2>/dev/null && echo written; echo end";
    let on_an_old_kernel = |step: Step| {
        let script = format!(
            r#"exec {} -f -o /dev/null -e trace=mount_setattr \
               -e inject=mount_setattr:error=ENOSYS "$@""#,
            tracer.display()
        );
        step.in_shell(&script)
    };
    let at_work = || step().args(["-v", &shown]).sh(write);
    assert_eq!(on_an_old_kernel(at_work()).stdout(), "end");
    let at_work = on_an_old_kernel(at_work());
    let at_work = with_a_mount_that_another_one_covers(at_work, &below);
    let output = at_work.output();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    assert!(errors.contains("before Linux 5.12"), "{errors}");
}

fn read_only_is_the_root_alone() {
    needs::root();
    let source = temporary();
    let inside = "for place in / /etc /tmp /mnt /dev /dev/shm; do \
                  (: >$place/x) 2>/dev/null && echo $place; done; echo x >/dev/null";
    let shown = volume(source.path(), "/mnt");
    let output = step().args(["--read-only", "-v", &shown]).sh(inside);
    assert_eq!(output.stdout(), "/mnt\n/dev\n/dev/shm");
    let output = step().args(["--read-only"]).sh(": >/x").output();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("Read-only file system"), "{errors}");
    // The host may go on writing: the mount is read-only, not the filesystem.
    let root = temporary();
    copy_default_root(root.path());
    let shown = volume(source.path(), "/new/place");
    let at_work = step().args(["--read-only", "-v", &shown]);
    let container = at_work.arg("--rootfs", &root).start_waiting();
    fs::write(root.path().join("tmp/x"), "").expect("the host writes");
    drop(container);
}

fn a_link_in_the_root_leads_no_volume_out() {
    needs::root();
    let (root, outside, source) = (temporary(), temporary(), temporary());
    copy_default_root(root.path());
    let word = token();
    fs::write(source.path().join("f"), &word).expect("write");
    symlink(outside.path(), root.path().join("absolute")).expect("symlink");
    let up = Path::new("../../../../../../../..");
    let relative = up.join(outside.path().strip_prefix("/").expect("absolute"));
    symlink(&relative, root.path().join("relative")).expect("symlink");
    // Such a link as the last part of the way: of a file that is not there.
    let (new, file) = (outside.path().join("new"), source.path().join("f"));
    symlink(&new, root.path().join("new")).expect("symlink");
    symlink(relative.join("new"), root.path().join("newer")).expect("symlink");
    for place in ["/new", "/newer"] {
        let at_work = step().arg("--rootfs", &root);
        let output = at_work.args(["-v", &volume(&file, place), "true"]);
        let output = output.output();
        assert_eq!(output.status.code(), Some(125), "{place}: {output:?}");
        assert!(!new.exists(), "{place}: the runtime made it outside");
    }
    // Inside, such a link means a place inside. There is none, then there is.
    for exists in [false, true] {
        let inside = outside.path().strip_prefix("/").expect("absolute");
        if exists {
            fs::create_dir_all(root.path().join(inside)).expect("mkdir");
        }
        for place in ["/absolute/a", "/relative/r"] {
            let shown = volume(source.path(), place);
            let at_work = step().arg("--rootfs", &root).args(["-v", &shown]);
            let output = at_work.sh(&format!("cat {place}/f")).output();
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            if exists {
                assert_eq!(output.stdout, word.as_bytes(), "{place}: {errors}");
            } else {
                assert_eq!(output.status.code(), Some(125), "{place}");
                assert!(errors.contains("EEXIST"), "{errors}");
            }
        }
    }
    let left = fs::read_dir(outside.path()).expect("it").count();
    assert_eq!(left, 0, "the runtime made something outside");
}

/// CVE-2019-19921, CVE-2023-27561.
fn a_link_in_place_of_a_system_directory_is_refused() {
    needs::root();
    for name in ["proc", "dev", "sys"] {
        let (root, outside) = (temporary(), temporary());
        copy_default_root(root.path());
        fs::remove_dir(root.path().join(name)).expect("an empty directory");
        symlink(outside.path(), root.path().join(name)).expect("symlink");
        let output = step().arg("--rootfs", &root).args(["true"]).output();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(125), "{errors}");
        assert!(errors.contains("ELOOP") && errors.contains(name), "{errors}");
    }
}

/// CVE-2024-21626: a directory that the caller left open leads out.
fn the_working_directory_cannot_be_outside() {
    needs::root();
    let outside = temporary();
    fs::write(outside.path().join("secret"), "").expect("write");
    for fd in 3..20 {
        let script =
            format!(r#"exec {fd}<{}; exec "$@""#, outside.path().display());
        let through = format!("/proc/self/fd/{fd}");
        // Nor is a directory made there.
        for through in [format!("{through}/new"), through] {
            let output =
                step().args(["-w", &through, "ls"]).in_shell(&script).output();
            let listed = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(!listed.contains("secret"), "{fd}: {listed}");
            assert_eq!(output.status.code(), Some(125), "{fd}: {output:?}");
            let names = fs::read_dir(outside.path()).expect("it").count();
            assert_eq!(names, 1, "{fd}: something was made outside");
        }
    }
    assert_eq!(step().args(["-w", "../../..", "pwd"]).stdout(), "/");
}
