#![forbid(unsafe_code)]
//! Claims of step 05, judged from outside.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use nix::sys::signal::Signal;
use nix::unistd::{User, getgid, getuid};
use testbed::watch::{Watch, strike_before_any_call};
use testbed::{Step, copy_default_root, host, needs, proc, skip, token};

testbed::main!(
    all_namespaces_belong_to_a_new_user_namespace,
    root_inside_is_a_subordinate_id_of_root,
    root_inside_of_an_ordinary_user_is_that_user,
    the_ranges_are_all_of_ours_in_each_table,
    without_newuidmap_an_ordinary_user_has_one_id,
    a_newuidmap_without_power_leaves_one_id_and_a_word,
    the_home_of_another_user_is_not_roots,
    with_one_id_setgroups_is_denied_before_the_groups_are_mapped,
    no_group_of_the_caller_stays,
    what_is_made_in_a_volume_never_belongs_to_root_of_the_host,
    what_belongs_to_root_of_the_host_is_not_for_root_inside,
    a_root_directory_of_somebody_else_is_told,
    a_program_that_is_not_for_the_user_is_told,
    no_sysctl_of_the_kernel_can_be_written,
    no_disk_can_be_made,
    the_command_runs_as_the_user_that_was_asked_for,
    a_user_that_is_not_mapped_is_refused,
    in_a_chroot_that_is_named_as_the_reason,
    a_proc_of_another_pid_namespace_is_named_as_the_reason,
    bad_input_is_told_in_one_line,
    the_terminal_belongs_to_whoever_runs_inside,
    the_container_dies_with_a_killed_runtime,
    volumes_and_devices_work_as_before,
    a_read_only_volume_refuses_writes,
    a_read_only_volume_stays_so_for_root_inside,
    a_file_and_the_root_stay_read_only_too,
    a_mount_that_can_not_be_locked_is_told,
    with_locked_mounts_root_inside_can_do_the_rest,
    nothing_is_left_after_sigkill_before_any_call,
    nothing_is_left_after_sigint_before_any_call,
    nothing_is_left_after_sigterm_before_any_call,
);

const STEP: &str = "05-user-namespace";

/// Lines of three numbers: first inside, first outside, how many.
fn map(pid: i32, file: &str) -> Vec<Vec<u32>> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).expect("map");
    let numbers = |line: &str| {
        line.split_whitespace().map(|n| n.parse().expect("a number")).collect()
    };
    text.lines().map(numbers).collect()
}

fn ids_here() -> u32 {
    let map = map(std::process::id() as i32, "uid_map");
    map.iter().map(|line| line[2]).sum()
}

/// What /etc/subuid or /etc/subgid grants us.
fn granted(table: &str) -> Option<(u32, u32)> {
    let name = User::from_uid(getuid()).expect("users").map(|user| user.name);
    let table = fs::read_to_string(table).unwrap_or_default();
    table.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let ours = Some(fields[0]) == name.as_deref()
            || fields[0] == getuid().to_string();
        ours.then(|| (fields[1].parse().unwrap(), fields[2].parse().unwrap()))
    })
}

fn needs_many_ids() {
    if map_of_container().iter().map(|line| line[2]).sum::<u32>() == 1 {
        skip("needs more than one id inside");
    }
}

fn map_of_container() -> Vec<Vec<u32>> {
    map(Step::new(STEP).start_waiting().pid(), "uid_map")
}

/// Who is the host's `id` inside.
fn outside(uid: u32) -> u32 {
    let map = map_of_container();
    let line = map.iter().find(|l| uid >= l[0] && uid - l[0] < l[2]);
    let line = line.expect("a mapped id");
    uid - line[0] + line[1]
}

fn volume() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(&directory, open).expect("chmod");
    directory
}

fn shown(directory: &Path, options: &str) -> String {
    format!("{}:/v{options}", directory.display())
}

fn all_namespaces_belong_to_a_new_user_namespace() {
    let container = Step::new(STEP).start_waiting();
    for kind in ["user", "uts", "ipc", "pid", "mnt"] {
        assert_ne!(
            proc::namespace(container.pid(), kind),
            proc::own_namespace(kind)
        );
    }
    for kind in ["net", "cgroup"] {
        assert_eq!(
            proc::namespace(container.pid(), kind),
            proc::own_namespace(kind)
        );
    }
    // Only who owns them may change them.
    let name = token();
    let renamed = Step::new(STEP).sh(&format!("hostname {name}; hostname"));
    assert_eq!(renamed.stdout(), name);
}

fn root_inside_is_a_subordinate_id_of_root() {
    needs::root();
    if ids_here() < 165_536 {
        skip("needs subordinate ids");
    }
    let container = Step::new(STEP).start_waiting();
    for (file, table) in
        [("uid_map", "/etc/subuid"), ("gid_map", "/etc/subgid")]
    {
        let (first, count) = granted(table).unwrap_or((100_000, 65_536));
        assert_eq!(map(container.pid(), file), [[0, first, count]]);
    }
    let (uid, gid) = (outside(0).to_string(), granted("/etc/subgid"));
    let gid = gid.map_or(100_000, |(first, _)| first).to_string();
    for (key, id) in [("Uid", uid), ("Gid", gid)] {
        let ids = proc::status(container.pid(), key).expect("ids");
        assert!(ids.split_whitespace().all(|it| it == id), "{key}: {ids}");
    }
}

fn root_inside_of_an_ordinary_user_is_that_user() {
    needs::ordinary_user();
    let container = Step::new(STEP).start_waiting();
    let tables = [
        ("uid_map", "/etc/subuid", getuid().as_raw()),
        ("gid_map", "/etc/subgid", getgid().as_raw()),
    ];
    for (file, table, own) in tables {
        let mut expected = vec![vec![0, own, 1]];
        expected.extend(granted(table).map(|(f, count)| vec![1, f, count]));
        assert_eq!(map(container.pid(), file), expected, "{file}");
    }
    assert_eq!(Step::new(STEP).sh("id -u; id -g").stdout(), "0\n0");
}

/// By name or number, and none that would give ourselves away. Tables of this
/// claim's own, for root and for an account that every machine has.
fn the_ranges_are_all_of_ours_in_each_table() {
    needs::root();
    needs_many_ids();
    needs::command("newuidmap");
    let name = "games"; // whose group has another number
    let account = User::from_name(name).expect("users").expect(name);
    let (uid, gid) = (account.uid.as_raw(), account.gid.as_raw());
    let (first, count) = granted("/etc/subuid").unwrap_or((100_000, 65_536));
    assert!(count > 2000, "too few ids for this claim");
    let home = volume();
    for (owner, uid, gid) in [
        ("root", 0, 0),
        ("0", 0, 0),
        (name, uid, gid),
        (&uid.to_string(), uid, gid),
    ] {
        let second = first + 1500;
        let table = |file: &str, own: u32, first: u32, count: u32| {
            let path = home.path().join(file);
            // Nobody's, ourselves, none, and beyond what there is.
            let passed_over = format!(
                "somebody:{first}:9\n{owner}:0:{}\n{owner}:{first}:0\n\
                 {owner}:4294967290:9\n",
                own + 1
            );
            // Then one, the same again in part, and another.
            let ours = format!(
                "{owner}:{first}:{count}\n{owner}:{first}:77\n\
                 {owner}:{second}:77\n"
            );
            let lines = passed_over + &ours;
            fs::write(path, lines).expect("write");
        };
        table("subuid", uid, first + 7, 1000);
        table("subgid", gid, first + 11, 999);
        let script = format!(
            r#"exec unshare --mount bash -c 'cd "{}" && mount --bind subuid \
               /etc/subuid && mount --bind subgid /etc/subgid && cd / &&
               exec setpriv --reuid {uid} --regid {gid} --clear-groups -- "$@"' \
               bash "$@""#,
            home.path().display()
        );
        if uid != 0 {
            let _skips_where_nobody_can =
                Step::new(STEP).as_somebody(volume().path());
        }
        let mut step = Step::new(STEP).sh("echo ready; read line");
        let cache = home.path().join(uid.to_string());
        step.command().env("XDG_CACHE_HOME", cache);
        let mut container = step.in_shell(&script).start();
        assert_eq!(container.line(), "ready", "{owner}");
        for (file, own, first, count) in [
            ("uid_map", uid, first + 7, 1000),
            ("gid_map", gid, first + 11, 999),
        ] {
            let expected = match uid {
                0 => vec![vec![0, first, count], vec![count, second, 77]],
                _ => vec![
                    vec![0, own, 1],
                    vec![1, first, count],
                    vec![count + 1, second, 77],
                ],
            };
            assert_eq!(map(container.pid(), file), expected, "{owner} {file}");
        }
    }
}

fn without_newuidmap_an_ordinary_user_has_one_id() {
    needs::ordinary_user();
    let mut step = Step::new(STEP).sh("echo ready; read line");
    step.command().env("PATH", "/nowhere");
    let mut container = step.start();
    assert_eq!(container.line(), "ready");
    let expected = [[0, getuid().as_raw(), 1]];
    assert_eq!(map(container.pid(), "uid_map"), expected);
}

/// What it does is tried: it may lack its setuid bit, or refuse, or we may have
/// no right to make use of it.
fn a_newuidmap_without_power_leaves_one_id_and_a_word() {
    needs::ordinary_user();
    needs::command("newuidmap");
    if granted("/etc/subuid").is_none() {
        skip("needs a user with subordinate ids");
    }
    let directory = volume();
    let make = |name: &str, script: &str| {
        let helper = directory.path().join(name);
        fs::write(&helper, script).expect("write");
        fs::set_permissions(&helper, fs::Permissions::from_mode(0o755))
            .expect("chmod");
    };
    let path = std::env::var("PATH").expect("PATH");
    let path = format!("{}:{path}", directory.path().display());
    let refuses = "#!/bin/sh\necho not you >&2; exit 1";
    let (own, all) = ([[0, getuid().as_raw(), 1]], map_of_container());
    for (program, words, word, uids) in [
        ("newuidmap", "", "not you", &own.map(Vec::from)[..]),
        ("newgidmap", "", "not you", &all),
        (
            "",
            "setpriv --no-new-privs",
            "no_new_privs is set",
            &own.map(Vec::from),
        ),
    ] {
        if !program.is_empty() {
            make(program, refuses);
        }
        let start = |step: Step| {
            let script = format!(r#"PATH='{path}' exec {words} "$@" 2>&1"#);
            step.in_shell(&script)
        };
        let script = "echo ready; read line";
        let mut one = start(Step::telling_all(STEP).sh(script)).start();
        let mut told = String::new();
        while !told.ends_with("ready\n") {
            told += &(one.line() + "\n");
        }
        let told = testbed::story::unfolded(&told);
        assert!(told.contains(word), "{told}");
        let who = if program == "newgidmap" { "group" } else { "user" };
        let left = format!("so only {who} 0 is mapped");
        assert!(told.contains(&left), "{told}");
        assert_eq!(map(one.pid(), "uid_map"), uids, "{told}");
        let gid = nix::unistd::getgid().as_raw();
        assert_eq!(map(one.pid(), "gid_map"), [[0, gid, 1]], "{told}");
        let other = start(Step::new(STEP).args(["-u", "1:1", "true"])).output();
        let told = String::from_utf8_lossy(&other.stdout).into_owned();
        assert_eq!(other.status.code(), Some(125), "{told}");
        assert!(told.contains("--user 1:1: EINVAL"), "{told}");
        if !program.is_empty() {
            fs::remove_file(directory.path().join(program)).expect("remove");
        }
    }
}

fn the_home_of_another_user_is_not_roots() {
    needs_many_ids();
    let place = volume();
    let passwd = place.path().join("passwd");
    let table = "root:x:0:0::/root:/bin/sh\n\
                 bob:x:1000:1000::/home/bob:/bin/sh\n";
    fs::write(&passwd, table).expect("write");
    let volume = format!("{}:/etc/passwd", passwd.display());
    let run = |user: &str| Step::new(STEP).args(["-v", &volume, "-u", user]);
    let home = |user: &str| run(user).sh("echo $HOME").stdout();
    assert_eq!(
        ["0", "1000", "1000:7", "1001"].map(home),
        ["/root", "/home/bob", "/home/bob", "/"]
    );
    let told = run("1000").args(["-e", "HOME=/x"]);
    assert_eq!(told.sh("echo $HOME").stdout(), "/x");
}

fn with_one_id_setgroups_is_denied_before_the_groups_are_mapped() {
    needs::ordinary_user();
    if granted("/etc/subuid").is_some() {
        skip("needs a user without subordinate ids");
    }
    let container = Step::new(STEP).start_waiting();
    let setgroups =
        fs::read_to_string(format!("/proc/{}/setgroups", container.pid()));
    assert_eq!(setgroups.expect("setgroups").trim(), "deny");
    let told = Step::telling_all(STEP).args(["true"]).output();
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    let at = |word: &str| told.find(word).expect(word);
    assert!(at("uid_map") < at("/setgroups"), "{told}");
    assert!(at("/setgroups") < at("gid_map"), "{told}");
    let other = Step::new(STEP).args(["-u", "1", "true"]).output();
    let error = String::from_utf8_lossy(&other.stderr).into_owned();
    assert_eq!(other.status.code(), Some(125), "{error}");
    assert!(error.contains("/etc/subuid"), "{error}");
}

fn no_group_of_the_caller_stays() {
    needs::root();
    needs_many_ids();
    let mut container = Step::new(STEP)
        .sh("echo ready; read line")
        .in_shell(r#"exec setpriv --groups 4,20,27 -- "$@""#)
        .start();
    assert_eq!(container.line(), "ready");
    let groups = proc::status(container.runtime(), "Groups");
    assert_eq!(groups.as_deref(), Some("4 20 27"));
    let groups = proc::status(container.pid(), "Groups");
    assert_eq!(groups.as_deref(), Some(""));
}

fn what_is_made_in_a_volume_never_belongs_to_root_of_the_host() {
    let (directory, word) = (volume(), token());
    let script = format!("echo {word} > /v/file; mkdir /v/{word}");
    let step = Step::new(STEP).args(["-v", &shown(directory.path(), "")]);
    assert_eq!(step.sh(&script).stdout(), "");
    let file = directory.path().join("file");
    assert_eq!(fs::read_to_string(&file).expect("the file").trim(), word);
    for made in [file, directory.path().join(&word)] {
        let there = fs::metadata(&made).expect("it is there");
        assert_eq!(there.uid(), outside(0), "{made:?}");
        if needs::in_first_user_namespace() {
            assert_ne!((there.uid(), there.gid()), (0, 0), "{made:?}");
        }
    }
}

fn what_belongs_to_root_of_the_host_is_not_for_root_inside() {
    needs::root();
    needs_many_ids();
    let (directory, word) = (volume(), token());
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))
        .expect("chmod");
    let (open, secret) =
        (directory.path().join("open"), directory.path().join("secret"));
    for (file, mode) in [(&open, 0o644), (&secret, 0o600)] {
        fs::write(file, &word).expect("write");
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(file, mode).expect("chmod");
    }
    let attacks = "echo x > /v/open; chmod 666 /v/open; chown 0 /v/open; \
        rm -f /v/open; mv /v/open /v/y; touch /v/new; ln /v/open /v/z; \
        cat /v/secret; cat /v/open";
    let run = |step: &str| {
        let step = Step::new(step).args(["-v", &shown(directory.path(), "")]);
        String::from_utf8_lossy(&step.sh(attacks).output().stdout).into_owned()
    };
    assert_eq!(run(STEP), word, "all fails, but to read what all may read");
    assert_eq!(fs::read_to_string(&open).expect("it is there"), word);
    assert_eq!(fs::metadata(&open).expect("it").mode() & 0o777, 0o644);
    assert_eq!(fs::read_dir(&directory).expect("it").count(), 2);
    // One step below, the first of them succeeds already.
    let below = run("04-mount-namespace");
    assert!(below.starts_with(&word), "the secret: {below}");
    assert!(!open.exists());
}

/// Opened for writing, and nothing written: that changes nothing.
/// As an archive that the host's root has unpacked.
/// The container's first process has another number there.
fn a_proc_of_another_pid_namespace_is_named_as_the_reason() {
    needs::root();
    let output = Step::new(STEP)
        .args(["true"])
        .in_shell("exec unshare --pid --fork -- \"$@\"")
        .output();
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("a PID namespace other than ours"), "{told}");
}

fn a_root_directory_of_somebody_else_is_told() {
    needs::root();
    let (owner, own) = (outside(0), getuid());
    if owner == own.as_raw() {
        skip("needs another id than ours for root inside");
    }
    let root = volume();
    copy_default_root(root.path());
    let at = root.path().display().to_string();
    let way_out = format!("`sudo chown -R {owner}:{owner} {at}`");
    let (closed, open) = (0o700, 0o755);
    fs::remove_dir(root.path().join("proc")).expect("an empty directory");
    let cases: &[(&str, u32, &[&str], &str)] = &[
        (STEP, open, &[], "mkdir(\"proc\")"),
        (STEP, closed, &[], "chdir("),
        ("07-overlayfs", open, &["-w", "/etc/new"], "mkdir(\"/etc/new\")"),
        ("07-overlayfs", open, &["-v", "/etc/passwd:/etc/x"], "\"/etc/x\""),
        ("07-overlayfs", closed, &[], "chdir("),
    ];
    let start = |step: &str, mode, options: &[&str]| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(root.path(), mode).expect("chmod");
        let step = Step::new(step).arg("--rootfs", &root).args(options);
        step.args(["true"]).output()
    };
    for (step, mode, options, call) in cases {
        let output = start(step, *mode, options);
        let line = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(125), "{step} {call}: {line}");
        assert_eq!(line.lines().count(), 1, "{line}");
        let whose = format!("{at} belongs to user {own}");
        let whose = format!("{whose}, and root inside is {owner}");
        for part in [*call, "EACCES", &whose, &way_out] {
            assert!(line.contains(part), "no {part:?} in {line}");
        }
    }
    // What it says helps.
    let script = way_out.trim_matches('`').replace("sudo ", "");
    assert_eq!(Step::shell(&script).stdout(), "");
    for (step, mode, options, call) in cases {
        let output = start(step, *mode, options);
        assert!(output.status.success(), "{step} {call}: {output:?}");
    }
}

fn a_program_that_is_not_for_the_user_is_told() {
    needs_many_ids();
    let directory = volume();
    let (program, script) =
        (directory.path().join("program"), directory.path().join("script"));
    fs::write(&program, "#!/bin/sh").expect("write");
    fs::write(&script, "#!/v/program").expect("write");
    for (file, mode) in [(&program, 0o700), (&script, 0o755)] {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(file, mode).expect("chmod");
        if needs::is_root() {
            chown(file, Some(outside(0)), None).expect("chown");
        }
    }
    for name in ["/v/program", "/v/script"] {
        let shown = shown(directory.path(), "");
        let step = Step::new(STEP).args(["-v", &shown, "-u", "7", name]);
        let output = step.output();
        let line = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(126), "{name}: {line}");
        assert!(
            line.contains("this user may not execute it"),
            "{name}: {line}"
        );
    }
}

fn no_sysctl_of_the_kernel_can_be_written() {
    needs::root();
    let script = "cd /proc/sys; for f in kernel/core_pattern kernel/modprobe \
        kernel/panic kernel/sysrq kernel/threads-max vm/overcommit_memory \
        vm/swappiness fs/file-max fs/suid_dumpable; do \
        (: >> $f) 2>/dev/null && echo $f; done; true";
    assert_eq!(Step::new(STEP).sh(script).stdout(), "");
    if needs::in_first_user_namespace() {
        let below = Step::new("04-mount-namespace").sh(script).stdout();
        assert!(below.lines().count() > 5, "{below}");
    }
}

fn no_disk_can_be_made() {
    needs::root();
    let script = "mknod /tmp/disk$$ b 7 0 2>/dev/null && echo made; \
        rm -f /tmp/disk$$; true";
    assert_eq!(Step::new(STEP).sh(script).stdout(), "");
    if needs::in_first_user_namespace() {
        let below = Step::new("04-mount-namespace").sh(script);
        assert_eq!(below.stdout(), "made");
    }
}

/// A number at random, among those that a playground within a usual range has for its containers.
fn some_id() -> u32 {
    u32::from_str_radix(&token()[1..9], 16).expect("a number") % 30_000 + 1
}

fn the_command_runs_as_the_user_that_was_asked_for() {
    needs_many_ids();
    let (uid, gid) = (some_id(), some_id());
    for (asked, gid) in [(format!("{uid}:{gid}"), gid), (uid.to_string(), 0)] {
        for init in [None, Some("--init")] {
            let step = Step::new(STEP).args(["-u", &asked]).args(init);
            let container = step.start_waiting();
            let command = match init {
                None => container.pid(),
                Some(_) => proc::children(container.pid())[0],
            };
            let status = |key| proc::status(command, key).expect(key);
            let outside_gid = {
                let map = map(container.pid(), "gid_map");
                let line = map
                    .iter()
                    .find(|l| gid >= l[0] && gid - l[0] < l[2])
                    .expect("a mapped group");
                gid - line[0] + line[1]
            };
            let four = |id: u32| vec![id.to_string(); 4].join("\t");
            assert_eq!(status("Uid"), four(outside(uid)), "{asked}");
            assert_eq!(status("Gid"), four(outside_gid), "{asked}");
            assert_eq!(status("Groups"), "", "{asked}");
            for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
                assert_eq!(status(set), "0000000000000000", "{asked}");
            }
        }
    }
    let inside = Step::new(STEP).args(["-u", &format!("{uid}:{gid}")]);
    let script = "id -u; id -g; : <>/dev/ptmx >/dev/null >/dev/shm/x";
    assert_eq!(inside.sh(script).stdout(), format!("{uid}\n{gid}"));
}

fn a_user_that_is_not_mapped_is_refused() {
    let count: u32 = map_of_container().iter().map(|line| line[2]).sum();
    let last = Step::new(STEP).args(["-u", &(count - 1).to_string()]);
    assert_eq!(last.sh("id -u").stdout(), (count - 1).to_string());
    for asked in [
        format!("{count}"),
        format!("0:{count}"),
        format!("{count}:0"),
        u32::MAX.to_string(),
        format!("0:{}", u32::MAX),
    ] {
        let output =
            Step::telling_all(STEP).args(["-u", &asked, "true"]).output();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(125), "{asked}: {error}");
        assert_eq!(error.lines().count(), 1, "nothing has begun: {error}");
        assert!(error.contains("EINVAL"), "{error}");
        assert!(error.contains("mapped"), "{error}");
    }
}

/// The kernel refuses with the same EPERM as where user namespaces are off.
fn in_a_chroot_that_is_named_as_the_reason() {
    needs::root();
    let place = volume();
    let root = place.path().join("root");
    testbed::copy_default_root(&root);
    fs::copy(testbed::binary(STEP), root.join("step")).expect("copy");
    let chroot = Step::new("01-chroot").arg("--rootfs", &root);
    let output = chroot.args(["/step", "-q", "--rootfs", "/", "true"]).output();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(127) {
        skip("needs the libraries of a step in the root directory");
    }
    assert_eq!(output.status.code(), Some(125), "{told}");
    assert!(told.contains("CLONE_NEWUSER"), "{told}");
    assert!(told.contains("this is a chroot"), "{told}");
}

fn bad_input_is_told_in_one_line() {
    for user in [
        "",
        ":",
        "1:",
        ":1",
        "root",
        "root:root",
        "-1",
        "1:-1",
        "1:2:3",
        "1.5",
        "0x10",
        "4294967296",
        " 1",
        "1 ",
        "1,2",
    ] {
        let user = format!("--user={user}");
        let output = Step::new(STEP).args([&user, "true"]).output();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(125), "{user}: {error}");
        assert_eq!(error.lines().count(), 1, "{user}: {error}");
        assert!(
            error.contains("UID or UID:GID") || error.contains("required"),
            "{user}: {error}"
        );
    }
}

fn the_terminal_belongs_to_whoever_runs_inside() {
    let user = match map_of_container().iter().map(|l| l[2]).sum::<u32>() {
        1 => "0",
        _ => "5:6",
    };
    for options in
        [&[][..], &["--init"], &["-u", user], &["--init", "-u", user]]
    {
        let word = token();
        let script = format!(
            "for f in /dev/stdin /dev/stdout /dev/stderr /dev/tty \
             /dev/console; do echo {word}$f > $f || exit 1; done"
        );
        let step = Step::new(STEP).args(options).sh(&script);
        let (status, screen) = step.on_terminal().finish();
        assert_eq!(status, 0, "{options:?}: {screen}");
        for file in ["stdin", "stdout", "stderr", "tty", "console"] {
            let line = format!("{word}/dev/{file}");
            assert!(screen.contains(&line), "{options:?}: {screen}");
        }
    }
}

fn the_container_dies_with_a_killed_runtime() {
    let user = match map_of_container().iter().map(|l| l[2]).sum::<u32>() {
        1 => "0",
        _ => "7:8",
    };
    for options in
        [&[][..], &["--init"], &["-u", user], &["--init", "-u", user]]
    {
        let container = Step::new(STEP).args(options).start_waiting();
        let pid = container.pid();
        let all = [vec![pid], proc::children(pid)].concat();
        container.signal(Signal::SIGKILL);
        all.into_iter().for_each(host::assert_gone);
    }
}

fn volumes_and_devices_work_as_before() {
    let (directory, word) = (volume(), token());
    fs::write(directory.path().join("f"), &word).expect("write");
    let script = "cat /v/f; echo; echo x > /dev/null && \
        head -c 4 /dev/zero | wc -c; \
        { echo x > /dev/full; } 2>/dev/null || echo full; \
        head -c 4 /dev/urandom | wc -c; echo x > /dev/shm/x && cat /dev/shm/x; \
        test -d /proc/1 && ls -d /proc/[0-9]* | head -n 1; echo $$";
    let step = Step::new(STEP).args(["-v", &shown(directory.path(), "")]);
    let expected = format!("{word}\n4\nfull\n4\nx\n/proc/1\n1");
    assert_eq!(step.sh(script).stdout(), expected);
}

fn a_read_only_volume_refuses_writes() {
    let (directory, word) = (volume(), token());
    let file = directory.path().join("f");
    fs::write(&file, &word).expect("write");
    let owner = outside(0);
    if needs::is_root() {
        chown(&file, Some(owner), None).expect("chown");
        chown(directory.path(), Some(owner), None).expect("chown");
    }
    let script = "echo x > /v/f; rm /v/f; touch /v/new";
    let step = Step::new(STEP).args(["-v", &shown(directory.path(), ":ro")]);
    assert!(!step.sh(script).output().status.success());
    assert_eq!(fs::read_to_string(&file).expect("it is there"), word);
    assert_eq!(fs::read_dir(&directory).expect("it").count(), 1);
}

/// Ways to make a mount writable that root inside may go.
const UNLOCKS: [&str; 4] = [
    "mount -o remount,bind,rw /v",
    "mount -o remount,rw /v",
    "unshare --mount sh -c 'mount -o remount,bind,rw /v; touch /v/new'",
    "mkdir /dev/shm/v; mount --rbind /v /dev/shm/v; \
     mount -o remount,bind,rw /dev/shm/v; touch /dev/shm/v/new",
];

fn a_read_only_volume_stays_so_for_root_inside() {
    for (mode, expected) in [("", true), (":ro", false)] {
        for unlock in UNLOCKS {
            let directory = volume();
            let step =
                Step::new(STEP).args(["-v", &shown(directory.path(), mode)]);
            let output =
                step.sh(&format!("{unlock}; touch /v/new; true")).output();
            assert_eq!(output.status.code(), Some(0), "{unlock}: {output:?}");
            let written = directory.path().join("new").exists();
            assert_eq!(written, expected, "{mode} {unlock}: {output:?}");
        }
    }
}

fn a_file_and_the_root_stay_read_only_too() {
    // The root alone, and it stays so.
    let script = UNLOCKS.map(|unlock| unlock.replace("/v", "/")).join("; ");
    let script = format!("({script}) 2>&1; touch /new && rm /new");
    let output = Step::new(STEP).args(["--read-only"]).sh(&script).output();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let (directory, word) = (volume(), token());
    let file = directory.path().join("f");
    fs::write(&file, &word).expect("write");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666))
        .expect("chmod");
    let option = format!("{}:/f:ro", file.display());
    let script = format!(
        "mount -o remount,bind,rw /f; echo x >/f; \
         mount -o remount,bind,rw /; touch /tmp/{word} && rm /tmp/{word}"
    );
    let step = Step::new(STEP).args(["--read-only", "-v", &option]);
    let output = step.sh(&script).output();
    assert_ne!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), word);
}

/// The helper, and nobody else, calls dup2(2). strace answers in the kernel's
/// place.
fn a_mount_that_can_not_be_locked_is_told() {
    needs::root();
    let script = format!(
        "exec {} -f -qq -o /dev/null -e inject=dup2,dup3:error=EBUSY \"$@\"",
        needs::tracer().display()
    );
    let step = Step::new(STEP).args(["--read-only", "true"]);
    let output = step.in_shell(&script).output();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(125), "{told}");
    assert!(told.contains("CLONE_FILES") && told.contains("EBUSY"), "{told}");
}

/// The mounts belong to another user namespace then; the rest is still ours.
fn with_locked_mounts_root_inside_can_do_the_rest() {
    let (directory, name) = (volume(), token());
    let option = shown(directory.path(), ":ro");
    let script = format!(
        "hostname {name} && hostname && mount -t tmpfs tmpfs /mnt && \
         touch /mnt/x && umount /mnt && ls -d /proc/[0-9]* | head -n 1; \
         umount /v || echo stays"
    );
    for options in [&[][..], &["--init"]] {
        let step = Step::new(STEP).args(options).args(["-v", &option]);
        let expected = format!("{name}\n/proc/1\nstays");
        assert_eq!(step.sh(&script).stdout(), expected, "{options:?}");
    }
}

fn struck(strike: impl Fn(&mut testbed::Terminal), expected: i32) {
    let locked = ["-v", "/etc/passwd:/mnt/x:ro"];
    for options in [&locked[..], &["--init"]] {
        let watch = Watch::begin();
        let step = || {
            let step = watch.over(Step::telling_all(STEP)).args(options);
            step.args(["--pause", "true"])
        };
        let points =
            strike_before_any_call(step, &strike, |_, status, told| {
                assert_eq!(status, expected, "{told}");
                watch.assert_nothing_left(&told);
            });
        assert!(points > 25, "{points} points only");
    }
}

fn nothing_is_left_after_sigkill_before_any_call() {
    struck(|terminal| terminal.signal(Signal::SIGKILL), 137);
}

fn nothing_is_left_after_sigint_before_any_call() {
    struck(|terminal| terminal.signal(Signal::SIGINT), 130);
}

fn nothing_is_left_after_sigterm_before_any_call() {
    struck(|terminal| terminal.signal(Signal::SIGTERM), 143);
}
