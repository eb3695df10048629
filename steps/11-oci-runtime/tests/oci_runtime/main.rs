#![forbid(unsafe_code)]
//! Claims of step 11, judged from outside.

mod bundle;
mod commands;
mod hostile;
mod images;
mod layers;
mod systemd;

use std::fs::{self, File, Permissions};
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use bundle::Bundle;
use commands::{
    a_run_may_be_left_alone_or_kept, a_volume_may_be_read_only_with_all_in_it,
    descriptors_are_passed_on_as_many_as_asked_for,
    one_more_process_may_have_other_rights, people_read_tables,
    whoever_outlives_the_first_process_is_found,
};
use hostile::{
    a_bundle_out_of_all_proportion_is_told_and_costs_little,
    a_command_killed_before_any_call_leaves_nothing_after_a_delete,
    a_console_that_is_none_is_told_and_keeps_nobody_waiting,
    a_container_is_what_its_file_says, a_created_container_can_be_killed,
    a_created_container_holds_no_directory_of_the_host,
    a_device_is_made_inside_and_nothing_else_changes,
    a_hook_that_is_a_bad_listener_keeps_nobody_waiting,
    a_namespace_of_another_user_is_told,
    a_number_that_came_back_is_nobody_to_enter_or_to_kill,
    a_script_gets_no_hold_of_the_runtime,
    a_start_that_was_interrupted_is_told_by_the_next,
    a_story_that_nobody_can_read_keeps_nobody_waiting,
    a_user_namespace_by_path_is_joined,
    an_exec_into_a_hostile_container_gives_nothing_away,
    limits_that_can_t_be_are_told,
    nothing_lands_outside_while_names_are_exchanged,
    nothing_of_the_host_is_copied_into_a_tmpfs,
    paths_that_hide_nothing_are_refused,
    runtimes_that_race_at_one_id_leave_nothing,
    the_flags_of_a_volume_are_not_for_another,
    what_can_t_be_is_told_in_a_sentence, what_is_being_created_is_not_deleted,
    what_is_no_namespace_is_told,
};
use images::{
    a_blob_that_lies_is_refused, a_directory_is_what_the_image_says,
    a_file_of_an_image_keeps_what_it_is,
    a_layer_deletes_what_is_below_it_and_not_its_own,
    a_layer_that_climbs_out_is_refused,
    a_layer_that_grows_without_end_is_refused, an_image_becomes_a_bundle,
    an_owner_that_is_nobody_here_is_root,
    an_unpack_that_is_ended_leaves_nothing,
    the_manifest_of_this_machine_is_taken, what_is_no_image_is_refused,
};
use layers::{
    a_bundle_of_layers_is_a_container_for_runc,
    a_bundle_of_layers_is_a_container_for_this_runtime,
    a_directory_without_an_entry_is_as_it_is_below,
    a_step_begins_with_an_image,
    a_step_takes_the_user_and_the_place_of_an_image,
    bundles_share_their_layers_while_they_need_them,
    two_that_unpack_at_once_share_what_one_of_them_unpacks,
    umoci_makes_the_same_tree_of_an_image, what_docker_save_wrote_is_an_image,
    what_skopeo_writes_becomes_the_same_tree,
};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg,
};
use serde_json::{Value, json};
use systemd::{
    a_systemd_that_is_late_keeps_no_scope,
    a_user_has_a_scope_of_their_own_systemd, systemd_makes_the_cgroup,
    where_no_systemd_answers_it_is_told,
};
use testbed::{eventually, needs, proc, skip, token};

testbed::main!(
    a_container_lives_as_the_specification_says,
    what_is_out_of_turn_is_refused,
    an_id_is_taken_once,
    a_create_that_fails_leaves_nothing,
    a_create_that_is_killed_takes_the_container_along,
    a_runtime_killed_before_any_call_leaves_nothing_after_a_delete,
    two_runtimes_at_one_id_make_one_container,
    a_state_that_somebody_else_could_write_is_not_believed,
    a_container_outlives_its_create,
    what_went_wrong_is_in_the_log_for_an_engine,
    a_command_that_is_not_there_is_127_and_one_that_is_none_126,
    all_is_silent_while_all_is_well,
    the_console_socket_gets_the_terminal,
    each_hook_runs_at_its_point_and_reads_the_state,
    a_hook_that_fails_or_hangs_ends_create,
    each_new_namespace_is_new,
    a_namespace_that_is_left_out_is_the_hosts,
    a_namespace_by_path_is_joined,
    a_path_to_another_kind_of_namespace_is_refused,
    mounts_have_their_flags_and_data,
    what_lay_below_a_tmpfs_is_there_again,
    mounts_have_their_propagation,
    a_link_in_the_root_leads_no_mount_out,
    a_dev_null_that_is_something_else_masks_nothing,
    a_setting_is_written_to_the_kernel_and_nowhere_else,
    the_runtime_itself_is_no_command,
    a_root_may_be_read_only,
    a_process_is_who_it_shall_be,
    limits_and_the_oom_score_are_set,
    capabilities_are_set_by_set,
    a_filter_is_loaded_with_no_new_privs_and_without,
    paths_are_masked_or_read_only,
    devices_are_made,
    settings_are_of_namespaces_or_refused,
    limits_of_the_cgroup_are_set_updated_and_taken_away,
    another_part_of_the_tree_that_is_mounted_first_is_not_taken,
    systemd_makes_the_cgroup,
    a_user_has_a_scope_of_their_own_systemd,
    a_systemd_that_is_late_keeps_no_scope,
    where_no_systemd_answers_it_is_told,
    devices_are_refused_by_the_cgroup,
    a_container_is_frozen_and_goes_on,
    users_inside_are_others_outside,
    one_more_process_has_all_that_the_first_has,
    one_more_process_may_be_left_alone,
    one_more_process_may_have_other_rights,
    descriptors_are_passed_on_as_many_as_asked_for,
    whoever_outlives_the_first_process_is_found,
    a_run_may_be_left_alone_or_kept,
    people_read_tables,
    a_volume_may_be_read_only_with_all_in_it,
    annotations_are_in_the_state,
    bad_configurations_are_told,
    the_story_is_told_to_a_file,
    an_ordinary_user_has_a_container,
    a_user_without_a_cgroup_namespace_sees_their_own_cgroup,
    nothing_lands_outside_while_names_are_exchanged,
    nothing_of_the_host_is_copied_into_a_tmpfs,
    the_flags_of_a_volume_are_not_for_another,
    a_device_is_made_inside_and_nothing_else_changes,
    a_script_gets_no_hold_of_the_runtime,
    an_exec_into_a_hostile_container_gives_nothing_away,
    a_created_container_holds_no_directory_of_the_host,
    a_console_that_is_none_is_told_and_keeps_nobody_waiting,
    what_is_no_namespace_is_told,
    a_namespace_of_another_user_is_told,
    a_number_that_came_back_is_nobody_to_enter_or_to_kill,
    a_bundle_out_of_all_proportion_is_told_and_costs_little,
    what_can_t_be_is_told_in_a_sentence,
    limits_that_can_t_be_are_told,
    runtimes_that_race_at_one_id_leave_nothing,
    what_is_being_created_is_not_deleted,
    a_command_killed_before_any_call_leaves_nothing_after_a_delete,
    a_start_that_was_interrupted_is_told_by_the_next,
    a_story_that_nobody_can_read_keeps_nobody_waiting,
    a_hook_that_is_a_bad_listener_keeps_nobody_waiting,
    a_container_is_what_its_file_says,
    paths_that_hide_nothing_are_refused,
    a_created_container_can_be_killed,
    a_user_namespace_by_path_is_joined,
    an_image_becomes_a_bundle,
    a_bundle_of_layers_is_a_container_for_this_runtime,
    a_bundle_of_layers_is_a_container_for_runc,
    bundles_share_their_layers_while_they_need_them,
    two_that_unpack_at_once_share_what_one_of_them_unpacks,
    a_directory_without_an_entry_is_as_it_is_below,
    umoci_makes_the_same_tree_of_an_image,
    what_skopeo_writes_becomes_the_same_tree,
    what_docker_save_wrote_is_an_image,
    a_step_begins_with_an_image,
    a_step_takes_the_user_and_the_place_of_an_image,
    a_layer_deletes_what_is_below_it_and_not_its_own,
    a_file_of_an_image_keeps_what_it_is,
    a_directory_is_what_the_image_says,
    an_owner_that_is_nobody_here_is_root,
    an_unpack_that_is_ended_leaves_nothing,
    the_manifest_of_this_machine_is_taken,
    a_blob_that_lies_is_refused,
    what_is_no_image_is_refused,
    a_layer_that_climbs_out_is_refused,
    a_layer_that_grows_without_end_is_refused,
);

fn needs_root() {
    needs::root();
    if std::env::var("PLAYGROUND_IDS").is_ok_and(|ids| ids == "1") {
        skip("needs more ids than one: what `spec` writes has a group 5");
    }
}

fn a_container_lives_as_the_specification_says() {
    needs_root();
    let mut container = Bundle::new();
    let word = token();
    container.sh(&format!("echo {word}; exec sleep 1000"));
    container.done(&["create", "--pid-file", "pid"]);
    let state = container.state();
    assert_eq!(state["ociVersion"], container.config["ociVersion"]);
    assert_eq!(state["id"], container.id.as_str());
    assert_eq!(state["status"], "created");
    assert_eq!(state["pid"], container.pid());
    let bundle = fs::canonicalize(container.path()).expect("a bundle");
    assert_eq!(state["bundle"], bundle.display().to_string());
    // Its command has not begun, and what config.json says now is too late.
    assert_eq!(container.text("out"), "");
    container.sh("echo changed");
    container.done(&["start"]);
    eventually("its word", || {
        container.text("out").contains(&word).then_some(())
    });
    assert!(!container.text("out").contains("changed"));
    assert_eq!(container.status(), "running");
    container.done_with(&["kill"], &["KILL"]);
    container.becomes("stopped");
    assert_eq!(container.state().get("pid"), None);
    container.done(&["delete"]);
    container.refused(&["state"]);
    container.assert_gone();
}

fn what_is_out_of_turn_is_refused() {
    needs_root();
    let mut container = Bundle::new();
    for command in ["start", "state", "kill", "delete", "pause", "ps"] {
        let told = container.refused(&[command]);
        assert!(told.contains("does not exist"), "{command}: {told}");
    }
    container.done(&["delete", "--force"]);
    container.start("true");
    container.refused(&["start"]);
    container.refused(&["delete"]);
    container.refused(&["resume"]);
    assert_eq!(container.status(), "running");
    container.done_with(&["kill"], &["9"]);
    container.becomes("stopped");
    assert!(container.refused(&["kill"]).contains("container not running"));
    container.refused(&["start"]);
    container.refused(&["pause"]);
    assert_eq!(container.status(), "stopped");
}

fn an_id_is_taken_once() {
    needs::time();
    needs_root();
    let mut container = Bundle::new();
    let pid = container.start("true");
    assert!(container.refused(&["create"]).contains("already exists"));
    assert_eq!(container.state()["pid"], pid);
    let mut other = Bundle::new();
    for id in ["", "a/b", "..", ".", "a b", "a\nb"] {
        other.id = id.to_owned();
        assert!(!other.command(&["create"]).status.success(), "{id:?}");
    }
    other.id = token();
}

fn a_create_that_fails_leaves_nothing() {
    needs_root();
    let mut container = Bundle::new();
    let good = container.config.clone();
    let bad: [(&str, Value); 6] = [
        ("/process/args", json!(["/nothing"])),
        ("/linux/sysctl", json!({ "vm.swappiness": "none" })),
        ("/linux/namespaces/0/path", json!("/nothing")),
        (
            "/linux/resources",
            json!({ "pids": { "limit": 5 }, "cpu": { "cpus": "9999" } }),
        ),
        (
            "/mounts/0",
            json!({ "destination": "/v", "type": "bind", "source": "/nothing" }),
        ),
        ("/hooks", json!({ "createContainer": [{ "path": "/bin/false" }] })),
    ];
    for (pointer, value) in bad {
        container.config = good.clone();
        container.set(pointer, value);
        container.refused(&["create", "--pid-file", "pid"]);
        container.assert_gone();
        assert_eq!(container.text("pid"), "", "{pointer}");
    }
}

fn a_create_that_is_killed_takes_the_container_along() {
    needs_root();
    let mut container = Bundle::new();
    container.sh("exec sleep 1000");
    container.push("/process/env", json!(format!("MARK={}", container.id)));
    // A hook on the way: when it runs, all namespaces are there.
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", "kill -9 $PPID; sleep 0.2"] });
    container.set("/hooks", json!({ "createRuntime": [hook] }));
    let output = container.command(&["create", "--pid-file", "pid"]);
    assert_eq!(output.status.code(), None, "{output:?}");
    eventually("the end of its first process", || {
        proc::marked(&container.id).is_empty().then_some(())
    });
    container.refused(&["delete"]);
    container.done(&["delete", "--force"]);
    container.assert_gone();
}

/// One thread of it is killed before its n-th call; what it had begun goes
/// with it, and what it had made is known to whoever deletes.
fn a_runtime_killed_before_any_call_leaves_nothing_after_a_delete() {
    needs::real_processor();
    needs_root();
    let strace = needs::command("strace");
    let mut container = Bundle::new();
    container.push("/process/env", json!(format!("MARK={}", container.id)));
    container.sh("exec sleep 1000");
    let runtime = container.runtime();
    let mut stopped = 0;
    for call in [
        "flock",
        "mkdir",
        "openat",
        "rename",
        "socket",
        "bind",
        "clone",
        "clone3",
        "pipe2",
        "socketpair",
        "sendmsg",
        "sendto",
        "recvmsg",
        "recvfrom",
        "wait4",
        "write",
        "unlink",
        "close",
    ] {
        for nth in [1, 2, 3, 5, 8, 13] {
            let mut killed = Command::new(&strace);
            let inject = format!("--inject={call}:signal=KILL:when={nth}");
            killed.args(["-qq", "-e", &format!("trace={call}"), &inject]);
            killed.args(["-o", "/dev/null"]);
            killed.arg(runtime.get_program()).args(runtime.get_args());
            killed.args(["create", "--pid-file", "pid", &container.id]);
            killed.current_dir(container.path()).stdin(Stdio::null());
            killed.stdout(Stdio::null()).stderr(Stdio::null());
            let status = killed.status().expect("strace");
            let is_over = status.success();
            container.done(&["delete", "--force"]);
            eventually("the end of its processes", || {
                proc::marked(&container.id).is_empty().then_some(())
            });
            container.assert_gone();
            if is_over {
                break;
            }
            stopped += 1;
        }
    }
    assert!(stopped > 10, "{stopped}");
}

fn two_runtimes_at_one_id_make_one_container() {
    needs_root();
    let mut container = Bundle::new();
    container.sh("exec sleep 1000");
    for (words, told) in
        [(["create"], "already exists"), (["start"], "cannot start")]
    {
        // Each writes config.json: all of them, before one of them reads it.
        let runtimes = [(); 3].map(|()| (container.runtime(), token()));
        let begun = runtimes.map(|(mut runtime, err)| {
            runtime.args(words).arg(&container.id).stdin(Stdio::null());
            let file = File::create(container.file(&err)).expect("a file");
            runtime.stdout(Stdio::null()).stderr(file);
            (runtime.spawn().expect("a runtime"), err)
        });
        let mut ends = begun.map(|(mut it, err)| {
            let status = it.wait().expect("its end");
            (status.success(), container.text(&err))
        });
        ends.sort();
        assert_eq!(
            ends.each_ref().map(|it| it.0),
            [false, false, true],
            "{words:?}: {ends:?}"
        );
        for (_, text) in &ends[..2] {
            assert!(text.contains(told), "{text}");
            assert_eq!(text.lines().count(), 1, "{text}");
        }
    }
    assert_eq!(container.status(), "running");
}

fn a_state_that_somebody_else_could_write_is_not_believed() {
    needs::time();
    needs_root();
    let mut container = Bundle::new();
    container.start("true");
    let (root, own) =
        (container.file("state"), container.file("state").join(&container.id));
    let chmod = |place: &Path, mode| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(place, mode).expect("chmod");
    };
    for place in [&root, &own] {
        chmod(place, 0o777);
        let told = container.refused(&["kill"]);
        assert!(told.contains("somebody else"), "{told}");
        chmod(place, 0o711);
    }
    let chown = |uid| {
        std::os::unix::fs::chown(&own, Some(uid), None).expect("chown");
    };
    chown(1);
    for command in ["state", "start", "kill", "delete"] {
        let told = container.refused(&[command]);
        assert!(told.contains("somebody else made it"), "{command}: {told}");
    }
    chown(0);
    // A link to a state is no state, wherever it leads.
    let other = Bundle::new();
    std::os::unix::fs::symlink(&own, root.join(&other.id)).expect("a link");
    let mut runtime = container.runtime();
    let output = runtime.args(["state", &other.id]).output().expect("state");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("somebody else made it"), "{told}");
    assert_eq!(container.status(), "running");
}

fn a_container_outlives_its_create() {
    needs_root();
    let mut container = Bundle::new();
    let pid = container.start("true");
    // Whoever created it is gone, and somebody else has it now.
    let parent = proc::status(pid, "PPid").expect("a parent");
    assert_ne!(parent, std::process::id().to_string());
    assert_eq!(container.status(), "running");
    container.done_with(&["kill"], &["TERM"]);
    assert_eq!(container.status(), "running", "PID 1 has no handler for it");
}

fn what_went_wrong_is_in_the_log_for_an_engine() {
    needs_root();
    let mut container = Bundle::new();
    let missing = format!("/{}", token());
    container.push(
        "/mounts",
        json!({ "destination": "/v", "type": "bind", "source": missing }),
    );
    let told = container.refused(&["create"]);
    let logged = container.logged();
    assert_eq!(logged["level"], "error");
    let text = logged["msg"].as_str().expect("a text");
    assert!(text.contains(&missing) && text.contains("ENOENT"), "{text}");
    assert!(told.contains(text), "{told}");
    let time = logged["time"].as_str().expect("a time");
    let date = Command::new("date").args(["-u", "+%Y-%m-%dT%H"]).output();
    let date = String::from_utf8(date.expect("date").stdout).expect("UTF-8");
    assert!(time.starts_with(date.trim()) && time.ends_with('Z'), "{time}");
}

fn a_command_that_is_not_there_is_127_and_one_that_is_none_126() {
    needs_root();
    let mut container = Bundle::new();
    container.set("/process/args", json!([token()]));
    let output = container.command(&["create"]);
    assert_eq!(output.status.code(), Some(127));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("executable file not found in $PATH"), "{told}");
    container.set("/process/args", json!(["/etc"]));
    let output = container.command(&["create"]);
    assert_eq!(output.status.code(), Some(126));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("permission denied"), "{told}");
}

/// Some part of the tree that is ours, and v1.
fn needs_cgroups() {
    let given = std::env::var("PLAYGROUND_CGROUP");
    if given.is_ok_and(|it| it != "v1" && it != "hybrid") {
        skip("needs cgroups of v1 to give");
    }
    let table = fs::read_to_string("/proc/self/cgroup").expect("a table");
    if !table.contains(":memory") || !table.contains(":freezer") {
        skip("needs cgroups of v1");
    }
}

fn all_is_silent_while_all_is_well() {
    needs_root();
    needs_cgroups();
    let mut container = Bundle::new();
    container.sh("exec sleep 1000");
    for words in [
        &["create", "--pid-file", "pid"][..],
        &["start"],
        &["pause"],
        &["resume"],
        &["delete", "--force"],
    ] {
        let output = container.command(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        assert_eq!(
            (output.stdout.len(), output.stderr.len()),
            (0, 0),
            "{words:?}"
        );
    }
    assert_eq!(container.text("log.json"), "");
}

/// The far end of a terminal, as an engine gets it.
fn receive(listener: &UnixListener) -> File {
    let (socket, _) = listener.accept().expect("a caller");
    let mut bytes = [0; 64];
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = RecvAncillaryBuffer::new(&mut room);
    let (mut one, flags) =
        ([IoSliceMut::new(&mut bytes)], RecvFlags::CMSG_CLOEXEC);
    recvmsg(&socket, &mut one, &mut rights, flags).expect("a message");
    let fd = rights.drain().find_map(|it| match it {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    File::from(fd.expect("a descriptor"))
}

fn the_console_socket_gets_the_terminal() {
    needs_root();
    let mut container = Bundle::new();
    container.set("/process/terminal", json!(true));
    assert!(container.refused(&["create"]).contains("--console-socket"));
    let listener = UnixListener::bind(container.file("tty")).expect("a socket");
    container.set("/process/consoleSize", json!({ "height": 33, "width": 77 }));
    container.sh("tty; stty size; test -c /dev/console && echo c && read line; echo got $line");
    container.done(&["create", "--console-socket", "tty", "--pid-file", "pid"]);
    let mut terminal = receive(&listener);
    container.done(&["start"]);
    let word = token();
    let (mut shown, mut typed) = (String::new(), false);
    let mut bytes = [0; 512];
    // The end of a terminal whose last user is gone is EIO.
    while let Ok(length @ 1..) = terminal.read(&mut bytes) {
        shown += &String::from_utf8_lossy(&bytes[..length]);
        // What is typed sooner is echoed in the midst of what is written.
        if shown.contains("\r\nc\r\n") && !typed {
            terminal.write_all(format!("{word}\n").as_bytes()).expect("type");
            typed = true;
        }
    }
    assert!(shown.contains("/dev/pts/0\r\n"), "{shown:?}");
    assert!(shown.contains("33 77\r\n"), "{shown:?}");
    assert!(typed, "/dev/console is no device: {shown:?}");
    assert!(shown.contains(&format!("got {word}\r\n")), "{shown:?}");
    // Its process is in a session with that terminal, and not with ours.
    assert_eq!(container.text("out"), "");
}

fn each_hook_runs_at_its_point_and_reads_the_state() {
    const TO_NONE: &str = "SigBlk: 0000000000000000 SigIgn: 0000000000000000";
    needs_root();
    let mut container = Bundle::new();
    let log = container.file("hooks");
    // The name of the point, which signals the hook is deaf to, and the state.
    let deaf_to = "$(grep -E 'Sig(Blk|Ign)' /proc/self/status)";
    let hook = |point: &str| {
        let script = format!(
            "read state; echo {point} {deaf_to} $WORD $state >> {}",
            log.display()
        );
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": [format!("WORD={point}x")] }])
    };
    let points = [
        "prestart",
        "createRuntime",
        "createContainer",
        "poststart",
        "poststop",
    ];
    let mut hooks = json!({});
    for point in points {
        hooks[point] = hook(point);
    }
    // This one is looked up in the container, and writes there.
    hooks["startContainer"] = json!([{ "path": "/bin/sh",
        "args": ["sh", "-c", format!("read state; echo startContainer {deaf_to} $state > /hook")] }]);
    container.set("/hooks", hooks);
    container.set("/annotations", json!({ "a": "b" }));
    container.sh("cat /hook; exec sleep 1000");
    container.done(&["create", "--pid-file", "pid"]);
    let pid = container.pid();
    let seen = |container: &Bundle| -> Vec<(String, Value)> {
        let lines = container.text("hooks");
        lines
            .lines()
            .map(|line| {
                let (point, rest) = line.split_once(' ').expect("words");
                let (_, state) = rest.split_once('{').expect("a state");
                assert!(rest.contains(&format!("{point}x")), "{line}");
                assert!(rest.starts_with(TO_NONE), "{line}");
                (
                    point.to_owned(),
                    serde_json::from_str(&format!("{{{state}")).expect("JSON"),
                )
            })
            .collect()
    };
    let names = |container: &Bundle| {
        seen(container).into_iter().map(|it| it.0).collect::<Vec<_>>()
    };
    assert_eq!(names(&container), points[..3]);
    assert_eq!(container.text("out"), "");
    container.done(&["start"]);
    assert_eq!(names(&container), points[..4]);
    eventually("startContainer", || {
        let text = container.text("out");
        let state = text.lines().find(|it| it.starts_with("startContainer"))?;
        assert!(state.contains(TO_NONE), "{state}");
        assert!(state.contains("\"created\""), "{state}");
        Some(())
    });
    container.done(&["delete", "--force"]);
    let all = seen(&container);
    let status: Vec<_> = all
        .iter()
        .map(|(_, it)| it["status"].as_str().expect("a status"))
        .collect();
    assert_eq!(
        status,
        ["creating", "creating", "creating", "running", "stopped"]
    );
    for (point, state) in &all {
        assert_eq!(state["id"], container.id.as_str());
        assert_eq!(state["annotations"]["a"], "b");
        if point != "poststop" {
            assert_eq!(state["pid"], pid, "{point}");
        }
    }
}

fn a_hook_that_fails_or_hangs_ends_create() {
    needs_root();
    let mut container = Bundle::new();
    let word = token();
    let script = format!("echo {word} >&2; exit 3");
    let fails = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }]);
    let hangs = json!([{ "path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1 }]);
    for point in ["prestart", "createRuntime", "createContainer"] {
        container.set("/hooks", json!({ point: fails.clone() }));
        let told = container.refused(&["create"]);
        assert!(told.contains(&word) && told.contains(point), "{told}");
        container.set("/hooks", json!({ point: hangs.clone() }));
        assert!(container.refused(&["create"]).contains("longer than 1 s"));
        container.assert_gone();
    }
}

const KINDS: [(&str, &str); 6] = [
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("mount", "mnt"),
    ("cgroup", "cgroup"),
];

fn each_new_namespace_is_new() {
    needs_root();
    let mut container = Bundle::new();
    container.push("/linux/namespaces", json!({ "type": "time" }));
    container.set(
        "/linux/timeOffsets",
        json!({ "monotonic": { "secs": 5000, "nanosecs": 0 } }),
    );
    let pid = container
        .start("cut -d. -f1 /proc/uptime; cat /proc/self/timens_offsets");
    for (_, name) in KINDS.iter().chain(&[("time", "time")]) {
        assert_ne!(
            proc::namespace(pid, name),
            proc::own_namespace(name),
            "{name}"
        );
    }
    assert_eq!(proc::namespace(pid, "user"), proc::own_namespace("user"));
    assert_eq!(
        proc::status(pid, "NSpid").expect("numbers").split_whitespace().last(),
        Some("1")
    );
    assert!(
        container.text("out").contains("monotonic        5000"),
        "{}",
        container.text("out")
    );
    assert_eq!(container.exec("hostname"), container.id);
}

fn a_namespace_that_is_left_out_is_the_hosts() {
    needs::time();
    needs_root();
    for (kind, name) in KINDS.into_iter().filter(|(kind, _)| *kind != "mount") {
        let mut container = Bundle::new();
        container.without(kind);
        if kind == "uts" {
            assert!(container.refused(&["create"]).contains("uts"));
            container.set("/hostname", Value::Null);
        }
        if kind == "network" {
            // A sysfs is that of a network.
            container.set("/mounts/5", json!({ "destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "ro"] }));
        }
        let pid = container.start("true");
        assert_eq!(
            proc::namespace(pid, name),
            proc::own_namespace(name),
            "{kind}"
        );
    }
}

fn a_namespace_by_path_is_joined() {
    needs::time();
    needs_root();
    let mut first = Bundle::new();
    let pid = first.start("true");
    for (kind, name) in KINDS {
        let mut container = Bundle::new();
        container.without(kind);
        let path = format!("/proc/{pid}/ns/{name}");
        container
            .push("/linux/namespaces", json!({ "type": kind, "path": path }));
        if kind == "mount" {
            // There, the root directory is what the first one sees.
            container.set("/root/path", json!("/tmp"));
            first.exec("mkdir -p /tmp/bin /tmp/lib /tmp/lib64 /tmp/usr");
            continue;
        }
        let own = container.start("true");
        assert_eq!(
            proc::namespace(own, name),
            proc::namespace(pid, name),
            "{kind}"
        );
        for (_, other) in KINDS.into_iter().filter(|(it, _)| *it != kind) {
            assert_ne!(
                proc::namespace(own, other),
                proc::namespace(pid, other),
                "{kind}: {other}"
            );
        }
    }
}

fn a_path_to_another_kind_of_namespace_is_refused() {
    needs_root();
    let mut container = Bundle::new();
    for (kind, path) in [
        ("ipc", "/proc/self/ns/net"),
        ("network", "/proc/self/ns/pid"),
        ("pid", "/etc/passwd"),
        ("uts", "/proc/self/ns/ipc"),
    ] {
        let before = container.config.clone();
        container.without(kind);
        container
            .push("/linux/namespaces", json!({ "type": kind, "path": path }));
        container.refused(&["create"]);
        container.assert_gone();
        container.config = before;
    }
}

fn mounts_have_their_flags_and_data() {
    needs_root();
    let mut container = Bundle::new();
    let word = token();
    fs::create_dir(container.file("v")).expect("mkdir");
    fs::write(container.file("v/f"), &word).expect("write");
    let size = 64 + u64::from_str_radix(&word[1..3], 16).expect("hex") * 4;
    let mounts = [
        json!({ "destination": "/v", "type": "bind", "source": "v", "options": ["rbind", "ro", "nosuid", "noexec"] }),
        json!({ "destination": "/w/x", "type": "none", "source": "v", "options": ["bind", "nodev"] }),
        json!({ "destination": "/t", "type": "tmpfs", "source": "named", "options": ["noatime", "nosuid", format!("size={size}k"), "mode=1770"] }),
        json!({ "destination": "/file", "type": "bind", "source": "v/f", "options": ["bind", "ro"] }),
    ];
    for mount in mounts {
        container.push("/mounts", mount);
    }
    let pid = container.start("cat /v/f /w/x/f /file");
    assert_eq!(container.text("out").matches(&word).count(), 3);
    let all = proc::mounts(pid);
    let options = |place: &str| {
        let mount = all.iter().find(|it| it.place == place);
        mount.unwrap_or_else(|| panic!("{place}: {all:#?}")).options.join(",")
    };
    for word in ["ro", "nosuid", "noexec"] {
        assert!(
            options("/v").split(',').any(|it| it == word),
            "{}",
            options("/v")
        );
    }
    assert!(
        options("/w/x").starts_with("rw") && options("/w/x").contains("nodev")
    );
    assert!(options("/file").starts_with("ro"));
    assert!(
        options("/t").contains("noatime") && options("/t").contains("nosuid")
    );
    let table =
        fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("a table");
    let line = table.lines().find(|it| it.contains(" /t ")).expect("a line");
    assert!(
        line.contains(" tmpfs named ")
            && line.contains(&format!("size={size}k")),
        "{line}"
    );
    assert!(line.contains("mode=1770"), "{line}");
    assert!(
        !container
            .command_with(&["exec"], &["/bin/sh", "-c", "echo > /v/f"])
            .status
            .success()
    );
    container.exec("echo new > /w/x/f");
    assert_eq!(container.text("v/f"), "new\n");
}

fn what_lay_below_a_tmpfs_is_there_again() {
    needs_root();
    let mut container = Bundle::new();
    let (place, word) = (container.file("rootfs/open"), token());
    fs::create_dir_all(place.join("d/e")).expect("mkdir");
    fs::write(place.join("d/f"), &word).expect("write");
    symlink(&word, place.join("d/l")).expect("a link");
    mkfifo(&place.join("d/p"), Mode::S_IRUSR).expect("mkfifo");
    let random = u64::from_str_radix(&word[1..4], 16).expect("hex");
    let (owner, age) = (random as u32 + 1, Duration::from_secs(random));
    for (name, mode) in [("f", 0o6751), ("e", 0o1710)] {
        let path = place.join("d").join(name);
        chown(&path, Some(owner), Some(owner + 1)).expect("chown");
        fs::set_permissions(&path, Permissions::from_mode(mode))
            .expect("chmod");
        let time = SystemTime::UNIX_EPOCH + age;
        let file = File::open(path).expect("open");
        file.set_modified(time).expect("utimensat");
    }
    fs::set_permissions(&place, Permissions::from_mode(0o700)).expect("chmod");
    container.push("/mounts", json!({ "destination": "/open", "type": "tmpfs", "options": ["tmpcopyup"] }));
    let pid = container.start("true");
    let open = PathBuf::from(format!("/proc/{pid}/root/open"));
    let facts = |place: &Path| {
        ["f", "e", "l", "p"].map(|name| {
            let path = place.join("d").join(name);
            let it = fs::symlink_metadata(&path).expect("it is there");
            let time = (!it.is_symlink()).then(|| it.mtime());
            let content = it.is_file().then(|| fs::read(&path).expect("read"));
            let target = fs::read_link(&path).ok();
            (it.mode(), it.uid(), it.gid(), time, content, target)
        })
    };
    assert_eq!(facts(&open), facts(&place));
    // The directory itself is the new one, and what is written there is its.
    assert_eq!(fs::metadata(&open).expect("it").mode() & 0o7777, 0o1777);
    container.exec("echo new > /open/new");
    assert!(!place.join("new").exists());
}

fn mounts_have_their_propagation() {
    needs::time();
    needs_root();
    for (word, mark) in [
        ("rprivate", None),
        ("rslave", Some("master:")),
        ("rshared", Some("shared:")),
    ] {
        let mut container = Bundle::new();
        fs::create_dir_all(container.file("v/sub")).expect("mkdir");
        // A mount of its own, as docker asks for: what is shared is a mount.
        let (v, host) = (container.file("v"), std::process::id() as i32);
        let host = move || proc::mounts(host).len();
        let mount = |words: &[&str]| {
            let done = Command::new("mount").args(words).status();
            assert!(done.expect("mount").success());
        };
        let umount = |place: &std::path::Path| {
            let done = Command::new("umount").arg(place).status();
            assert!(done.expect("umount").success());
        };
        let before = host();
        mount(&[
            "--bind",
            v.to_str().expect("UTF-8"),
            v.to_str().expect("UTF-8"),
        ]);
        container.set(
            "/linux/rootfsPropagation",
            json!(if word == "rshared" { "rshared" } else { "rslave" }),
        );
        container.push("/mounts", json!({ "destination": "/v", "type": "bind", "source": "v", "options": ["rbind", word] }));
        let pid = container.start("true");
        let all = proc::mounts(pid);
        let its = all.iter().find(|it| it.place == "/v").expect("/v");
        let has =
            |mark: &str| its.propagation.iter().any(|it| it.starts_with(mark));
        assert_eq!(
            (has("shared:"), has("master:")),
            (mark == Some("shared:"), mark == Some("master:")),
            "{word}: {its:?}"
        );
        // What the host mounts there later.
        mount(&["-t", "tmpfs", "late", v.join("sub").to_str().expect("UTF-8")]);
        let late = proc::mounts(pid).iter().any(|it| it.place == "/v/sub");
        assert_eq!(late, word != "rprivate", "{word}");
        umount(&v.join("sub"));
        // And the other way round: only what is shared is heard of outside.
        let inside = format!("nsenter -t {pid} -m mount -t tmpfs late /v/sub");
        let done = Command::new("sh").args(["-c", &inside]).status();
        if done.expect("nsenter").success() {
            let heard = host() - before > 1;
            assert_eq!(heard, word == "rshared", "{word}");
        }
        container.done(&["delete", "--force"]);
        if word == "rshared" {
            umount(&v.join("sub"));
        }
        umount(&v);
        assert_eq!(host(), before, "the host keeps its mounts");
    }
}

fn a_link_in_the_root_leads_no_mount_out() {
    needs_root();
    let mut container = Bundle::new();
    fs::create_dir(container.file("secret")).expect("mkdir");
    let secret = fs::canonicalize(container.file("secret")).expect("a path");
    std::os::unix::fs::symlink(&secret, container.file("rootfs/evil"))
        .expect("a link");
    container.push("/mounts", json!({ "destination": "/evil/below", "type": "tmpfs", "source": "tmpfs" }));
    container.command(&["run"]);
    assert_eq!(fs::read_dir(&secret).expect("it").count(), 0);
    // And a link for one of the system's places is refused.
    let container = Bundle::new();
    fs::remove_dir_all(container.file("rootfs/proc")).expect("rmdir");
    std::os::unix::fs::symlink("/tmp", container.file("rootfs/proc"))
        .expect("a link");
    assert!(container.refused(&["create"]).contains("symbolic link"));
    container.assert_gone();
}

/// CVE-2025-31133: what covers would be what the link points to.
fn a_dev_null_that_is_something_else_masks_nothing() {
    needs_root();
    let mut container = Bundle::new();
    let all = container.config["mounts"].as_array().expect("mounts").clone();
    let all: Vec<_> =
        all.into_iter().filter(|it| it["destination"] != "/dev").collect();
    container.set("/mounts", json!(all));
    fs::write(container.file("rootfs/mask"), "secret").expect("write");
    fs::write(container.file("rootfs/shown"), "shown").expect("write");
    fs::create_dir_all(container.file("rootfs/dev")).expect("mkdir");
    let null = container.file("rootfs/dev/null");
    let _ = fs::remove_file(&null);
    std::os::unix::fs::symlink("/shown", null).expect("a link");
    container.set("/linux/maskedPaths", json!(["/mask"]));
    container.sh("cat /mask");
    let told = container.refused(&["create"]);
    assert!(told.contains("/mask is not covered"), "{told}");
    container.assert_gone();
}

/// CVE-2025-52881: the same with the file that a setting is written to.
fn a_setting_is_written_to_the_kernel_and_nowhere_else() {
    needs::time();
    needs_root();
    for (place, file) in
        [("/proc", "v/sys/kernel/msgmax"), ("/proc/sys", "v/kernel/msgmax")]
    {
        for is_link in [false, true] {
            let mut container = Bundle::new();
            let file = container.file(file);
            fs::create_dir_all(file.parent().expect("a parent"))
                .expect("mkdir");
            fs::write(container.file("rootfs/victim"), "kept").expect("write");
            match is_link {
                true => std::os::unix::fs::symlink("/victim", &file),
                false => fs::write(&file, "kept"),
            }
            .expect("a decoy");
            container.push("/mounts", json!({ "destination": place, "type": "bind", "source": "v", "options": ["bind"] }));
            container.set("/linux/maskedPaths", json!([]));
            container.set("/linux/readonlyPaths", json!([]));
            container.set("/linux/sysctl", json!({ "kernel.msgmax": "9000" }));
            let told = container.refused(&["create"]);
            assert!(told.contains("msgmax"), "{told}");
            assert_eq!(container.text("rootfs/victim"), "kept", "{place}");
            if !is_link {
                assert_eq!(fs::read_to_string(&file).expect("it"), "kept");
            }
            container.assert_gone();
        }
    }
}

/// CVE-2019-5736: its program would be open to be written to from inside.
fn the_runtime_itself_is_no_command() {
    needs_root();
    let mut container = Bundle::new();
    for (path, word) in
        [("/bin", "/proc/self/exe"), ("/proc/self", "exe"), ("/bin", "/itself")]
    {
        if word == "/itself" {
            let link = container.file("rootfs/itself");
            std::os::unix::fs::symlink("/proc/self/exe", link).expect("link");
        }
        container.set("/process/env", json!([format!("PATH={path}")]));
        container.set("/process/args", json!([word, "features"]));
        let told = container.refused(&["create"]);
        assert!(told.contains("the runtime itself"), "{word}: {told}");
        container.assert_gone();
    }
    let mut container = Bundle::new();
    container.start("true");
    let output =
        container.command_with(&["exec"], &["/proc/self/exe", "features"]);
    assert_eq!(output.status.code(), Some(126), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("ociVersion"));
}

fn a_root_may_be_read_only() {
    needs_root();
    let mut container = Bundle::new();
    container.set("/root/readonly", json!(true));
    container.sh(
        "touch /new 2>/dev/null && echo written; touch /dev/shm/x && echo shm",
    );
    assert_eq!(container.run(), "shm");
    container.set("/root/readonly", json!(false));
    assert_eq!(container.run(), "written\nshm");
}

fn a_process_is_who_it_shall_be() {
    needs_root();
    let mut container = Bundle::new();
    let word = token();
    let at_random = u32::from_str_radix(&word[1..4], 16).expect("hex");
    let (uid, gid, group) =
        (1000 + at_random, 7000 + at_random, 14000 + at_random);
    container.set("/process/user", json!({ "uid": uid, "gid": gid, "umask": 0o027, "additionalGids": [group] }));
    container.set(
        "/process/env",
        json!([format!("WORD={word}"), "PATH=/bin:/usr/bin"]),
    );
    container.set("/process/cwd", json!(format!("/made/{word}")));
    container.sh("echo $WORD $(id -u) $(id -g) $(id -G) $(umask) $PWD $HOME ${TERM-none}");
    let said = container.run();
    let told =
        format!("{word} {uid} {gid} {gid} {group} 0027 /made/{word} / none");
    assert_eq!(said, told);
}

fn limits_and_the_oom_score_are_set() {
    needs_root();
    let mut container = Bundle::new();
    let at_random = u64::from_str_radix(&token()[1..3], 16).expect("hex");
    let (soft, hard, score) =
        (20 + at_random, 300 + at_random, 100 + at_random);
    container.set(
        "/process/rlimits",
        json!([
            { "type": "RLIMIT_NOFILE", "soft": soft, "hard": hard },
            { "type": "RLIMIT_CORE", "soft": 0, "hard": at_random },
        ]),
    );
    container.set("/process/oomScoreAdj", json!(score));
    container.sh("ulimit -Sn; ulimit -Hn; grep core /proc/self/limits | tr -s ' ' | cut -d' ' -f5,6; cat /proc/self/oom_score_adj");
    assert_eq!(
        container.run(),
        format!("{soft}\n{hard}\n0 {at_random}\n{score}")
    );
    // Not even for its own set-up one descriptor more.
    container.set(
        "/process/rlimits",
        json!([{ "type": "RLIMIT_NOFILE", "soft": 4, "hard": 4 }]),
    );
    container.sh("ulimit -n");
    assert_eq!(container.run(), "4");
}

/// Inheritable, permitted, effective, bounding, ambient.
fn sets(pid: i32) -> [u64; 5] {
    ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|name| {
        let set = proc::status(pid, name).expect("a set");
        u64::from_str_radix(&set, 16).expect("a mask")
    })
}

fn capabilities_are_set_by_set() {
    needs::time();
    needs_root();
    const CHOWN: u64 = 1;
    const KILL: u64 = 1 << 5;
    const NET_BIND: u64 = 1 << 10;
    let mut container = Bundle::new();
    let names = |set: u64| {
        let all = [
            (CHOWN, "CAP_CHOWN"),
            (KILL, "CAP_KILL"),
            (NET_BIND, "CAP_NET_BIND_SERVICE"),
        ];
        all.iter()
            .filter(|(bit, _)| set & bit != 0)
            .map(|(_, name)| *name)
            .collect::<Vec<_>>()
    };
    container.set("/process/capabilities", json!({
        "bounding": names(CHOWN | KILL | NET_BIND), "permitted": names(CHOWN | KILL),
        "effective": names(CHOWN), "inheritable": names(CHOWN | KILL), "ambient": names(KILL),
    }));
    // For whoever is not root, the exec leaves what is ambient.
    container.set("/process/user", json!({ "uid": 1234, "gid": 1234 }));
    let pid = container.start("true");
    let bounding = CHOWN | KILL | NET_BIND;
    assert_eq!(sets(pid), [CHOWN | KILL, KILL, KILL, bounding, KILL]);
    // Root gets what is in the bounding set; `spec` asks for no other sets.
    let mut container = Bundle::new();
    let asked = container.config["process"]["capabilities"].as_object();
    let asked: Vec<_> = asked.expect("sets").keys().cloned().collect();
    assert_eq!(asked, ["bounding", "effective", "permitted"]);
    container.set("/process/capabilities", json!({ "bounding": names(CHOWN), "permitted": names(CHOWN), "effective": names(CHOWN) }));
    let pid = container.start("true");
    assert_eq!(sets(pid), [0, CHOWN, CHOWN, CHOWN, 0]);
    // Without the list there are none; and one that nobody knows is left out.
    let mut container = Bundle::new();
    container.set(
        "/process/capabilities",
        json!({ "bounding": ["CAP_OF_TOMORROW"] }),
    );
    let pid = container.start("true");
    assert_eq!(sets(pid), [0; 5]);
    assert_eq!(container.logged()["level"], "warning");
}

fn a_filter_is_loaded_with_no_new_privs_and_without() {
    needs::time();
    needs_root();
    for no_new_privs in [true, false] {
        let mut container = Bundle::new();
        container.set("/process/noNewPrivileges", json!(no_new_privs));
        // 95 is umask(2) nowhere but in this filter: EXDEV.
        container.set("/linux/seccomp", json!({
            "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
            "syscalls": [
                { "names": ["mkdir", "mkdirat", "a_call_of_tomorrow"], "action": "SCMP_ACT_ERRNO", "errnoRet": 18 },
                { "names": ["setpriority"], "action": "SCMP_ACT_ERRNO", "args": [{ "index": 2, "value": 7, "op": "SCMP_CMP_EQ" }] },
            ],
        }));
        let pid = container.start("mkdir /x 2>&1");
        let text = container.text("out");
        assert!(text.contains("ross-device"), "{text}");
        assert_eq!(proc::status(pid, "Seccomp").as_deref(), Some("2"));
        let expected = if no_new_privs { "1" } else { "0" };
        assert_eq!(proc::status(pid, "NoNewPrivs").as_deref(), Some(expected));
        assert!(
            container.exec("mkdir /x 2>&1 || true").contains("ross-device")
        );
    }
}

fn paths_are_masked_or_read_only() {
    needs_root();
    let mut container = Bundle::new();
    let word = token();
    fs::create_dir_all(container.file("rootfs/masked")).expect("mkdir");
    fs::write(container.file("rootfs/masked/f"), &word).expect("write");
    fs::write(container.file("rootfs/secret"), &word).expect("write");
    fs::create_dir_all(container.file("rootfs/still")).expect("mkdir");
    container
        .set("/linux/maskedPaths", json!(["/masked", "/secret", "/not/there"]));
    container.set("/linux/readonlyPaths", json!(["/still", "/not/there"]));
    container.sh("ls /masked; cat /secret; touch /still/x 2>/dev/null || echo refused; touch /y && echo done");
    assert_eq!(container.run(), "refused\ndone");
}

fn devices_are_made() {
    needs::time();
    needs_root();
    let mut container = Bundle::new();
    if needs::in_first_user_namespace() {
        container.set("/linux/devices", json!([
            { "path": "/dev/own/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 7, "gid": 8 },
            { "path": "/dev/pipe", "type": "p", "major": 0, "minor": 0, "fileMode": 0o600 },
        ]));
    }
    let pid = container.start("true");
    let root = format!("/proc/{pid}/root/dev");
    for (name, minor) in
        [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)]
    {
        let device = fs::metadata(format!("{root}/{name}")).expect(name);
        assert_eq!(
            (device.rdev(), device.mode() & 0o777),
            (nix::sys::stat::makedev(1, minor), 0o666),
            "{name}"
        );
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        assert_eq!(
            fs::read_link(format!("{root}/{name}")).expect(name).to_str(),
            Some(target)
        );
    }
    if needs::in_first_user_namespace() {
        let own =
            fs::metadata(format!("{root}/own/zero")).expect("/dev/own/zero");
        assert_eq!(
            (own.rdev(), own.mode() & 0o777, own.uid(), own.gid()),
            (nix::sys::stat::makedev(1, 5), 0o640, 7, 8)
        );
        let pipe =
            fs::symlink_metadata(format!("{root}/pipe")).expect("/dev/pipe");
        assert_eq!(pipe.mode() & 0o170_777, 0o010_600);
    }
}

fn settings_are_of_namespaces_or_refused() {
    needs_root();
    let mut container = Bundle::new();
    let number = 8192 + u32::from_str_radix(&token()[1..4], 16).expect("hex");
    container.set("/linux/sysctl", json!({ "kernel.msgmax": number.to_string(), "net.ipv4.ip_forward": "1" }));
    container.set("/domainname", json!("of.mine"));
    container.sh("cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/domainname");
    assert_eq!(container.run(), format!("{number}\n1\nof.mine"));
    for (name, without) in [
        ("vm.swappiness", ""),
        ("kernel.pid_max", ""),
        ("kernel.msgmax", "ipc"),
        ("net.ipv4.ip_forward", "network"),
    ] {
        let before = container.config.clone();
        container.without(without);
        // The value that it has: a runtime that is wrong changes no machine.
        let file = Path::new("/proc/sys").join(name.replace('.', "/"));
        let value = fs::read_to_string(file).expect("a setting");
        container.set("/linux/sysctl", json!({ name: value.trim() }));
        assert!(container.refused(&["create"]).contains(name));
        container.config = before;
    }
}

/// Where v1 has the container's cgroup.
fn cgroup(container: &Bundle, controller: &str) -> PathBuf {
    let pid = container.pid();
    let table =
        fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("a table");
    let is_its = |line: &&str| {
        line.split(':')
            .nth(1)
            .is_some_and(|it| it.split(',').any(|it| it == controller))
    };
    if table.lines().find(is_its).is_none() {
        skip(format!("needs the {controller} controller of cgroup v1"));
    }
    cgroup_of(container, controller)
        .unwrap_or_else(|| skip(format!("needs a {controller} cgroup to give")))
}

fn cgroup_of(container: &Bundle, controller: &str) -> Option<PathBuf> {
    let mut found = testbed::watch::cgroups_named(&container.id).into_iter();
    found.find(|it| it.components().any(|it| it.as_os_str() == controller))
}

fn limits_of_the_cgroup_are_set_updated_and_taken_away() {
    needs_root();
    needs_cgroups();
    let mut container = Bundle::new();
    let path = format!("/workshop-{}/{}", container.id, container.id);
    container.set("/linux/cgroupsPath", json!(path));
    let pids = 50 + i64::from_str_radix(&token()[1..3], 16).expect("hex");
    container.set(
        "/linux/resources",
        json!({
            "memory": { "limit": 64 << 20 }, "pids": { "limit": pids },
            "cpu": { "shares": 512, "quota": 50000, "period": 100000 },
        }),
    );
    // The playground has none.
    let cpuset = Path::new("/sys/fs/cgroup/cpuset/tasks").exists();
    if cpuset {
        container.set("/linux/resources/cpu/cpus", json!("0"));
    }
    container.start("true");
    let read = |controller: &str, file: &str| {
        let file = cgroup(&container, controller).join(file);
        fs::read_to_string(&file)
            .unwrap_or_else(|e| panic!("{file:?}: {e}"))
            .trim()
            .to_owned()
    };
    assert!(cgroup(&container, "pids").ends_with(&path[1..]));
    assert_eq!(read("pids", "pids.max"), pids.to_string());
    assert_eq!(read("memory", "memory.limit_in_bytes"), (64 << 20).to_string());
    assert_eq!(read("cpu", "cpu.shares"), "512");
    assert_eq!(read("cpu", "cpu.cfs_quota_us"), "50000");
    if cpuset {
        assert_eq!(read("cpuset", "cpuset.cpus"), "0");
    }
    let processes = container.done(&["ps", "--format", "json"]);
    assert_eq!(processes, format!("[{}]", container.pid()));
    // As docker update says it: on stdin.
    let mut update = container.runtime();
    update
        .args(["update", "--resources", "-", &container.id])
        .stdin(Stdio::piped());
    let mut update = update.spawn().expect("update");
    let new = json!({ "pids": { "limit": pids + 1 }, "memory": { "limit": 32 << 20 } }).to_string();
    update
        .stdin
        .take()
        .expect("stdin")
        .write_all(new.as_bytes())
        .expect("write");
    assert!(update.wait().expect("update").success());
    assert_eq!(read("pids", "pids.max"), (pids + 1).to_string());
    assert_eq!(read("memory", "memory.limit_in_bytes"), (32 << 20).to_string());
    container.done_with(&["update", "--pids-limit", "33"], &[]);
    assert_eq!(read("pids", "pids.max"), "33");
    // It counts those who come later, too.
    container.exec("exit");
    container.done(&["delete", "--force"]);
    container.assert_gone();
    for above in
        testbed::watch::cgroups_named(&format!("workshop-{}", container.id))
    {
        fs::remove_dir(above).expect("rmdir");
    }
}

/// As in a container of an engine, which binds a part of the tree somewhere.
fn another_part_of_the_tree_that_is_mounted_first_is_not_taken() {
    needs_root();
    needs_cgroups();
    let mut container = Bundle::new();
    let table = fs::read_to_string("/proc/self/cgroup").expect("a table");
    let own = table.lines().find_map(|line| line.split_once(":pids:"));
    let own = own.unwrap_or_else(|| skip("needs a pids cgroup of v1")).1;
    let own = format!("/sys/fs/cgroup/pids{own}");
    let other = Path::new(&own).join(format!("other-{}", container.id));
    let made = fs::create_dir(&other);
    made.unwrap_or_else(|_| skip("needs a pids cgroup to divide"));
    for place in ["x", "y"] {
        fs::create_dir(container.file(place)).expect("mkdir");
    }
    container.set("/linux/resources", json!({ "pids": { "limit": 44 } }));
    container.sh("exec sleep 1000");
    let runtime = container.runtime();
    let script = "mount --bind \"$1\" x && mount --bind /sys/fs/cgroup/pids y \
        && umount /sys/fs/cgroup/pids && shift && exec \"$@\" >out 2>&1";
    let mut unshare = Command::new("unshare");
    unshare.args(["-m", "sh", "-c", script, "sh"]).arg(&other);
    unshare.arg(runtime.get_program()).args(runtime.get_args());
    unshare.args(["create", "--pid-file", "pid", &container.id]);
    let done = unshare.current_dir(container.path()).status();
    let said = container.text("out");
    let limit = cgroup_of(&container, "pids")
        .map(|place| fs::read_to_string(place.join("pids.max")));
    container.done(&["delete", "--force"]);
    for place in testbed::watch::cgroups_named(&container.id) {
        let _ = fs::remove_dir(place);
    }
    fs::remove_dir(&other).expect("rmdir");
    assert!(done.expect("unshare").success(), "{said}");
    assert_eq!(limit.expect("a cgroup").expect("a limit"), "44\n");
}

fn devices_are_refused_by_the_cgroup() {
    needs::host_root();
    let mut container = Bundle::new();
    container.set(
        "/linux/resources",
        json!({ "devices": [
        { "allow": false, "access": "rwm" },
        { "allow": true, "type": "c", "major": 1, "minor": 11, "access": "w" },
    ] }),
    );
    container.set("/process/capabilities/effective", json!(["CAP_MKNOD"]));
    for set in ["permitted", "bounding"] {
        container
            .set(&format!("/process/capabilities/{set}"), json!(["CAP_MKNOD"]));
    }
    container.start("true");
    // v2 has no controller for it: there, the kernel asks a program.
    let table = fs::read_to_string("/proc/self/cgroup").expect("a table");
    if table.lines().count() > 1 {
        cgroup(&container, "devices");
    }
    // The kernel's own memory, and its log: to be written only. Not in the root
    // directory, which may lie in a /tmp without devices.
    let script = "cd /dev; mknod m c 1 1; mknod k c 1 11; (: <m) 2>&1; (: <k) 2>&1; (: >k) && echo log; (: <zero) && echo zero";
    let said = container.exec(script);
    assert_eq!(said.matches("Operation not permitted").count(), 2, "{said}");
    assert!(said.contains("log") && said.contains("zero"), "{said}");
}

fn a_container_is_frozen_and_goes_on() {
    needs_root();
    let mut container = Bundle::new();
    container.start("while :; do echo . ; sleep 0.01; done >/ticks & true");
    cgroup(&container, "freezer");
    let ticks = || {
        fs::metadata(container.file("rootfs/ticks")).map_or(0, |it| it.len())
    };
    eventually("ticks", || (ticks() > 0).then_some(()));
    container.done(&["pause"]);
    assert_eq!(container.status(), "paused");
    let before = ticks();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(ticks(), before);
    assert!(container.refused(&["exec"]).contains("paused"));
    container.done(&["resume"]);
    assert_eq!(container.status(), "running");
    eventually("ticks", || (ticks() > before).then_some(()));
    // And one that is frozen can be taken away.
    container.done(&["pause"]);
    container.done(&["delete", "--force"]);
    container.assert_gone();
}

fn users_inside_are_others_outside() {
    needs_root();
    let map = fs::read_to_string("/proc/self/uid_map").expect("a map");
    let last: u64 = map
        .lines()
        .filter_map(|it| it.split_whitespace().last()?.parse::<u64>().ok())
        .sum();
    if last < 70_000 {
        skip("needs more ids than this user namespace has");
    }
    let mut container = Bundle::new();
    let first =
        60_000 + u32::from_str_radix(&token()[1..4], 16).expect("hex") % 1000;
    container.push("/linux/namespaces", json!({ "type": "user" }));
    let mapping = json!([{ "containerID": 0, "hostID": first, "size": 2000 }]);
    container.set("/linux/uidMappings", mapping.clone());
    container.set("/linux/gidMappings", mapping);
    container.set(
        "/process/user",
        json!({ "uid": 77, "gid": 78, "additionalGids": [79] }),
    );
    fs::set_permissions(container.path(), fs::Permissions::from_mode(0o755))
        .expect("chmod");
    let all = Command::new("chown")
        .arg("-R")
        .arg(format!("{first}:{first}"))
        .arg(container.file("rootfs"))
        .status();
    assert!(all.expect("chown").success());
    let pid = container.start("id -u; id -g; id -G; cat /proc/self/uid_map");
    let status = fs::metadata(format!("/proc/{pid}")).expect("a process");
    assert_eq!((status.uid(), status.gid()), (first + 77, first + 78));
    assert_ne!(proc::namespace(pid, "user"), proc::own_namespace("user"));
    assert!(
        container.text("out").starts_with("77\n78\n78 79\n"),
        "{}",
        container.text("out")
    );
    assert_eq!(container.exec("id -u"), "77");
    assert_eq!(
        container.done_with(&["exec", "--user", "0:0"], &["id", "-u"]),
        "0"
    );
    // What is made on the way there belongs to somebody who exists inside.
    let made = ["exec", "--user", "0:0", "--cwd", "/made"];
    assert_eq!(container.done_with(&made, &["stat", "-c", "%u", "."]), "0");
    // Too few ids are no container.
    let mut container = Bundle::new();
    container.push("/linux/namespaces", json!({ "type": "user" }));
    assert!(container.refused(&["create"]).contains("uidMappings"));
}

fn one_more_process_has_all_that_the_first_has() {
    needs_root();
    let mut container = Bundle::new();
    let word = token();
    container.set(
        "/process/env",
        json!([format!("WORD={word}"), "PATH=/bin:/usr/bin:/sbin:/usr/sbin"]),
    );
    let pid = container.start("true");
    let said = container.exec("echo $WORD; for n in pid net ipc uts mnt cgroup user; do readlink /proc/self/ns/$n; done; cat /proc/self/cgroup");
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some(word.as_str()));
    for name in ["pid", "net", "ipc", "uts", "mnt", "cgroup", "user"] {
        assert_eq!(lines.next(), Some(&*proc::namespace(pid, name)), "{name}");
    }
    assert!(lines.all(|it| it.ends_with(":/") || !it.contains(&container.id)));
    let own = sets(pid);
    let theirs =
        container.exec("grep -E '^Cap(Eff|Bnd)' /proc/self/status | cut -f2");
    let theirs: Vec<_> = theirs
        .lines()
        .map(|it| u64::from_str_radix(it, 16).expect("hex"))
        .collect();
    assert_eq!(theirs, [own[2], own[3]]);
    // Its end is ours, and so is its input.
    let output =
        container.command_with(&["exec"], &["/bin/sh", "-c", "exit 37"]);
    assert_eq!(output.status.code(), Some(37));
    let output =
        container.command_with(&["exec"], &["/bin/sh", "-c", "kill -9 $$"]);
    assert_eq!(output.status.code(), Some(137));
    assert_eq!(
        container.command_with(&["exec"], &[&word]).status.code(),
        Some(127)
    );
    let options = [
        "exec", "--env", "B=two", "--cwd", "/tmp", "--user", "12:13", "-g",
        "14",
    ];
    let said = container
        .done_with(&options, &["sh", "-c", "echo $B $PWD $(id -u) $(id -G)"]);
    assert_eq!(said, "two /tmp 12 13 14");
}

fn one_more_process_may_be_left_alone() {
    needs_root();
    let mut container = Bundle::new();
    container.start("true");
    let process = json!({ "cwd": "/", "user": { "uid": 5, "gid": 6 }, "terminal": true,
        "args": ["/bin/sh", "-c", "tty; exec sleep 1000"], "env": ["PATH=/bin:/usr/bin"] });
    fs::write(container.file("process.json"), process.to_string())
        .expect("write");
    let listener = UnixListener::bind(container.file("tty")).expect("a socket");
    let words = [
        "exec",
        "--process",
        "process.json",
        "--detach",
        "--pid-file",
        "second",
        "--console-socket",
        "tty",
    ];
    container.done(&words);
    let mut terminal = receive(&listener);
    let mut bytes = [0; 64];
    let length = terminal.read(&mut bytes).expect("a word");
    assert!(bytes[..length].starts_with(b"/dev/pts/0"));
    let pid: i32 = container.text("second").parse().expect("a pid");
    assert_eq!(
        proc::status(pid, "Uid").expect("ids").split_whitespace().next(),
        Some("5")
    );
    assert_eq!(
        proc::namespace(pid, "mnt"),
        proc::namespace(container.pid(), "mnt")
    );
}

fn annotations_are_in_the_state() {
    needs_root();
    let mut container = Bundle::new();
    let word = token();
    container.set("/annotations", json!({ "org.example": word }));
    container.start("true");
    assert_eq!(container.state()["annotations"]["org.example"], word);
    let all = container
        .runtime()
        .args(["list", "--format", "json"])
        .output()
        .expect("list");
    let all: Value = serde_json::from_slice(&all.stdout).expect("JSON");
    assert_eq!(all[0]["id"], container.id.as_str());
}

fn bad_configurations_are_told() {
    needs_root();
    let mut container = Bundle::new();
    let good = container.config.clone();
    let bad: [(&str, Value, &str); 9] = [
        ("/ociVersion", json!("2.0.0"), "ociVersion"),
        ("/process/args", json!([]), "process.args"),
        ("/process/cwd", json!("tmp"), "process.cwd"),
        ("/root/path", json!("nowhere"), "root.path"),
        ("/root/path", json!("/"), "root.path"),
        ("/mounts/0/destination", json!("proc"), "not absolute"),
        ("/linux/namespaces/1/type", json!("pid"), "twice"),
        ("/linux/rootfsPropagation", json!("public"), "rootfsPropagation"),
        ("/process/user/uid", json!("root"), "config.json"),
    ];
    for (pointer, value, word) in bad {
        container.config = good.clone();
        container.set(pointer, value);
        let told = container.refused(&["create"]);
        assert!(
            told.contains(word) && told.lines().count() == 1,
            "{pointer}: {told}"
        );
    }
    container.config = good;
    let mut runtime = container.runtime();
    let huge = format!("{{ \"a\": \"{}\" }}", "x".repeat(4 << 20));
    fs::write(container.file("config.json"), huge).expect("write");
    let output =
        runtime.args(["create", &container.id]).output().expect("create");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("larger than 4 MB"), "{told}");
    assert!(!container.file("state").join(&container.id).exists());
}

fn the_story_is_told_to_a_file() {
    needs_root();
    let container = Bundle::new();
    let mut runtime = container.runtime();
    runtime
        .args(["run", &container.id])
        .env("WORKSHOP_NARRATE", container.file("story"));
    let output = runtime.output().expect("run");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let story = container.text("story");
    for call in ["clone(", "pivot_root(", "sethostname(", "capset(", "execve("]
    {
        assert!(story.contains(call), "{call}: {story}");
    }
}

/// 01 makes its root directory for root: here is one of a single program.
fn of_a_user() -> Bundle {
    let busybox = needs::command("busybox");
    Bundle::of(&["spec", "--rootless"], |root| {
        fs::create_dir_all(root.join("bin")).expect("mkdir");
        fs::copy(&busybox, root.join("bin/busybox")).expect("copy");
        for name in ["sh", "id", "hostname", "sleep"] {
            let link = root.join("bin").join(name);
            std::os::unix::fs::symlink("busybox", link).expect("a link");
        }
    })
}

/// cgroup2 is not mounted there: as podman's `--cgroupns host` asks for it.
fn a_user_without_a_cgroup_namespace_sees_their_own_cgroup() {
    needs::ordinary_user();
    if !needs::is_cgroup_v2() {
        skip("needs cgroup v2, as the lab has it");
    }
    let mut container = of_a_user();
    container.without("cgroup");
    let mounts = container.config.pointer_mut("/mounts").expect("mounts");
    let mounts = mounts.as_array_mut().expect("a list");
    mounts.retain(|it| it["destination"] != "/sys/fs/cgroup");
    let place = "/sys/fs/cgroup";
    let options = ["nosuid", "nodev", "noexec", "ro"];
    container.push("/mounts", json!({ "destination": place, "type": "cgroup", "source": "cgroup", "options": options }));
    let pid = container.start("true");
    let table = fs::read_to_string(format!("/proc/{pid}/cgroup"));
    let table = table.expect("a table");
    let own = format!("{place}{}", table.trim().replace("0::", ""));
    let inside = format!("/proc/{pid}/root{place}");
    let number = |path| fs::metadata(path).expect("a directory").ino();
    assert_eq!(number(inside), number(own));
    let mounts = proc::mounts(pid);
    let mount = mounts.iter().rfind(|it| it.place == place);
    let mount = mount.expect("a mount");
    let has = |it: &&str| mount.options.iter().any(|option| option == it);
    assert!(options.iter().all(has), "{mount:?}");
}

fn an_ordinary_user_has_a_container() {
    needs::ordinary_user();
    let mut container = of_a_user();
    let pid = container.start("id -u; hostname");
    let said = format!("0\n{}\n", container.id);
    assert!(
        container.text("out").starts_with(&said),
        "{}",
        container.text("out")
    );
    assert_eq!(container.status(), "running");
    assert_ne!(proc::namespace(pid, "user"), proc::own_namespace("user"));
    assert_eq!(container.exec("id -u"), "0");
    container.done(&["delete", "--force"]);
    container.assert_gone();
}
