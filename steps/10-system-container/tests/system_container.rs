#![forbid(unsafe_code)]
//! Claims of step 10, judged from outside.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, SFlag, major, makedev, minor, mknod};
use nix::unistd::Pid;
use system_container::kept;
use testbed::{
    Running, Step, Terminal, binary, checkout, eventually, needs, proc, skip,
    token,
};

testbed::main!(
    systemd_reaches_multi_user_with_a_bus_and_a_login,
    a_person_at_the_console_is_root_and_ctrl_c_is_for_the_program,
    poweroff_inside_ends_it_with_status_0,
    reboot_inside_boots_it_again_as_another_machine,
    an_exit_status_of_its_own_is_passed_on,
    whoever_stops_the_runtime_halts_the_system,
    another_signal_can_stop_it,
    a_request_in_the_first_moment_is_heard,
    who_asks_twice_does_not_wait,
    busybox_starts_and_stops_too,
    what_was_written_is_gone_after_a_reboot_unless_upper_keeps_it,
    each_machine_has_an_id_of_its_own,
    what_is_in_run_and_tmp_is_its_own,
    the_hosts_programs_are_there_and_nobody_changes_them,
    it_divides_its_cgroup_and_can_not_lift_its_limits,
    containers_run_in_it_with_limits_of_their_own,
    it_has_the_ids_that_it_lends,
    a_machine_boots_in_the_machine,
    a_whole_debian_boots_installs_a_package_and_runs_podman,
    its_network_device_is_host0_which_networkd_knows,
    a_device_is_handed_through_and_no_more_of_it_than_asked_for,
    a_device_that_nobody_named_opens_for_nobody,
    what_a_user_namespace_gives_of_a_device_is_there_and_the_rest_is_told,
    a_loop_device_and_kvm_work_inside_once_the_host_opens_them,
    what_the_host_opens_to_everybody_an_ordinary_user_hands_through,
    a_gpus_render_node_answers_inside_once_the_host_opens_it,
    a_command_runs_in_it_without_an_init,
    root_inside_keeps_what_the_table_says,
    the_table_beside_09_is_that_of_the_two_steps,
    after_sigkill_the_next_start_sweeps,
    what_can_not_boot_is_told_in_one_line,
    without_a_cgroup_systemd_does_not_even_begin,
    an_init_that_dies_at_once_is_told,
    a_console_that_stays_black_says_where_to_look,
);

const STEP: &str = "10-system-container";
const SYSTEMD: &str = "/usr/lib/systemd/systemd";
const LOGIN: &str = "automatic login";

/// Skips where this host has none: then, the root directory is another one.
fn needs_a_root_of_the_hosts() {
    if !Path::new(SYSTEMD).exists() {
        skip("needs systemd on the host, to boot it inside");
    }
}

/// The same, and where we have no cgroup that it could divide.
fn needs_systemd() {
    needs_a_root_of_the_hosts();
    let tried = Step::new(STEP).args(["--", SYSTEMD, "--version"]).output();
    let said = String::from_utf8_lossy(&tried.stderr).into_owned();
    if said.contains("may not divide its cgroup") {
        skip("needs a cgroup that is ours to divide");
    }
}

/// Without KVM, a machine in a machine boots for long: there, the first case is
/// tried, and all of them elsewhere.
fn some_of<T, const N: usize>(cases: [T; N]) -> impl Iterator<Item = T> {
    cases.into_iter().step_by(needs::stride())
}

/// A machine whose console has shown the login.
fn boot(step: Step) -> Running {
    let mut machine = step.start();
    shows_a_login(&mut machine);
    machine
}

fn shows_a_login(machine: &mut Running) {
    let mut empty = 0;
    loop {
        let line = machine.line();
        if line.contains(LOGIN) {
            return;
        }
        // At its end, there is nothing but nothing.
        empty = if line.is_empty() { empty + 1 } else { 0 };
        assert!(empty < 50, "it ended without a login");
    }
}

/// Runs a script in a machine, as its root: the exit status, and stdout.
fn inside(machine: &Running, script: &str) -> (i32, String) {
    let pid = machine.pid().to_string();
    let mut enter = Command::new("nsenter");
    enter.args(["-t", &pid, "-U", "-m", "-p", "-n", "-i", "-u", "-C"]);
    if !needs::is_root() {
        enter.arg("--preserve-credentials");
    }
    enter.args(["sh", "-c", script]);
    let output = enter.output().expect("nsenter");
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.code().expect("a status"), said)
}

/// Until PID 1 is in sigtimedwait(2), where busybox's init spends its life.
fn waits_for_signals(pid: i32) {
    let call = format!("/proc/{pid}/syscall");
    let number = format!("{} ", libc::SYS_rt_sigtimedwait);
    eventually("an init that waits", || {
        let there =
            fs::read_to_string(&call).is_ok_and(|it| it.starts_with(&number));
        there.then_some(())
    });
}

/// Stops a machine as a person would, and says how it ended.
fn stop(machine: Running) -> (i32, String) {
    machine.signal(Signal::SIGTERM);
    machine.finish()
}

/// A directory that whoever is root inside can pass through.
fn shared() -> tempfile::TempDir {
    shared_in(&std::env::temp_dir())
}

/// The same for device nodes: on newer systems, those in /tmp can't be opened.
fn shared_for_nodes() -> tempfile::TempDir {
    shared_in(Path::new("/var/tmp"))
}

fn shared_in(place: &Path) -> tempfile::TempDir {
    let directory = tempfile::tempdir_in(place).expect("a directory");
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&directory, open).expect("chmod");
    directory
}

/// The usual root directory, with busybox, and this for its init.
fn root_with_init(init: impl Fn(&Path)) -> tempfile::TempDir {
    let busybox = needs::command("busybox");
    let list = Command::new(&busybox).arg("--list").output();
    let list =
        String::from_utf8(list.expect("its list").stdout).expect("UTF-8");
    let directory = shared();
    let root = directory.path().join("root");
    for name in ["bin", "etc", "dev", "proc", "root", "run", "sys", "tmp"] {
        fs::create_dir_all(root.join(name)).expect("mkdir");
    }
    symlink("bin", root.join("sbin")).expect("symlink");
    fs::copy(busybox, root.join("bin/busybox")).expect("copy busybox");
    for name in list.lines().filter(|it| !["busybox", "init"].contains(it)) {
        symlink("busybox", root.join("bin").join(name)).expect("symlink");
    }
    // They may belong to somebody who is nobody inside: laid over, not made.
    for name in ["hosts", "resolv.conf", "machine-id"] {
        fs::write(root.join("etc").join(name), "").expect("write");
    }
    init(&root.join("bin/init"));
    directory
}

fn script(text: String) -> impl Fn(&Path) {
    move |place| {
        fs::write(place, &text).expect("write");
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(place, mode).expect("chmod");
    }
}

fn of_root(directory: &tempfile::TempDir) -> Step {
    Step::new(STEP).arg("--rootfs", directory.path().join("root"))
}

/// Every cgroup of a runtime's container.
fn cgroups(runtime: i32) -> Vec<PathBuf> {
    let name = format!("container-{runtime}");
    let mut found = vec![];
    let mut open = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy() == name {
                found.push(entry.path());
            } else if entry.file_type().is_ok_and(|it| it.is_dir()) {
                open.push(entry.path());
            }
        }
    }
    found
}

fn random(from: u32, to: u32) -> u32 {
    let bytes = token().into_bytes().into_iter().map(u32::from);
    from + bytes.fold(7, |sum, it| sum * 31 % 65521 + it) % (to - from)
}

fn systemd_reaches_multi_user_with_a_bus_and_a_login() {
    needs_systemd();
    let began = Instant::now();
    let machine = boot(Step::new(STEP));
    println!("a login after {:.1} s", began.elapsed().as_secs_f32());
    let units = "multi-user.target dbus.service systemd-logind.service";
    let active = format!("systemctl is-active {units}");
    eventually("multi-user, a bus and logind", || {
        let (status, said) = inside(&machine, &active);
        (status == 0 && said == "active\nactive\nactive").then_some(())
    });
    let seen = eventually("a login on the console", || {
        let said = inside(&machine, "loginctl list-sessions --no-legend").1;
        said.contains("root").then_some(said)
    });
    assert!(seen.contains("console"), "{seen}");
    let state = eventually("the end of its start", || {
        let said = inside(&machine, "systemctl is-system-running").1;
        (said != "starting").then_some(said)
    });
    let failed = inside(&machine, "systemctl --failed --no-legend").1;
    assert_eq!(state, "running", "{failed}");
    assert_eq!(
        fs::read_to_string(format!("/proc/{}/comm", machine.pid()))
            .expect("its name"),
        "systemd\n"
    );
    assert_eq!(stop(machine).0, 0);
}

fn a_person_at_the_console_is_root_and_ctrl_c_is_for_the_program() {
    needs_systemd();
    let mut console = Step::new(STEP).on_terminal();
    console.shows("root@container:~#");
    let (word, other) = (token(), token());
    console.types(format!("echo {word}''{other} $(id -u) $(tty)\n"));
    console.shows(&format!("{word}{other} 0 /dev/console"));
    let rare = random(1000, 1_000_000);
    console.types(format!("sleep {rare}; echo {other}''{word}=$?\n"));
    console.shows(&format!("sleep {rare}"));
    let program = the_program_runs(format!("sleep\0{rare}\0").as_bytes());
    console.types("\x03");
    eventually("its end", || (!proc::runs(program)).then_some(()));
    console.types(format!("echo {other}''{word}\n"));
    console.shows(&format!("{other}{word}"));
    console.types("poweroff\n");
    assert_eq!(console.finish().0, 0);
}

/// Somewhere: its words are rare.
fn the_program_runs(words: &[u8]) -> i32 {
    let is_it = |pid: i32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|it| it == words)
    };
    eventually("the program", || {
        proc::all().into_iter().find(|&pid| is_it(pid))
    })
}

fn poweroff_inside_ends_it_with_status_0() {
    needs_systemd();
    let machine = boot(Step::new(STEP));
    let runtime = machine.runtime();
    assert_ne!(cgroups(runtime), Vec::<PathBuf>::new());
    inside(&machine, "systemctl poweroff");
    let (status, said) = machine.finish();
    assert_eq!(status, 0);
    assert!(said.contains("Powering off."), "{said}");
    assert_eq!(cgroups(runtime), Vec::<PathBuf>::new());
}

fn reboot_inside_boots_it_again_as_another_machine() {
    needs_systemd();
    let mut machine = boot(Step::new(STEP));
    let id = inside(&machine, "cat /etc/machine-id; touch /run/here").1;
    let runtime = machine.runtime();
    inside(&machine, "systemctl reboot");
    shows_a_login(&mut machine);
    assert_eq!(machine.runtime(), runtime);
    let (status, said) = inside(&machine, "cat /etc/machine-id; ls /run/here");
    assert_ne!(status, 0, "what was in /run is still there");
    assert_ne!(said, id);
    assert_eq!(said.len(), 32, "{said}");
    assert_eq!(stop(machine).0, 0);
}

fn an_exit_status_of_its_own_is_passed_on() {
    needs_systemd();
    let code = random(1, 120);
    let machine = boot(Step::new(STEP));
    // What lives for less than a second did not come up, and that is told.
    sleep(Duration::from_secs(1));
    inside(&machine, &format!("systemctl exit {code}"));
    assert_eq!(machine.finish().0, code as i32);
}

fn whoever_stops_the_runtime_halts_the_system() {
    needs_systemd();
    let all = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
    for signal in some_of(all) {
        let machine = boot(Step::new(STEP));
        machine.signal(signal);
        let (status, said) = machine.finish();
        assert_eq!(status, 0, "{signal}");
        assert!(said.contains("Halting system."), "{signal}: {said}");
    }
}

fn another_signal_can_stop_it() {
    needs_systemd();
    for (name, said_last) in some_of([
        ("SIGRTMIN+4", "Powering off."),
        ("rtmin+3", "Halting system."),
        ("SIGINT", "Rebooting."),
    ]) {
        let machine = boot(Step::new(STEP).args(["--stop-signal", name]));
        let (status, said) = stop(machine);
        assert_eq!(status, 0, "{name}");
        assert!(said.contains(said_last), "{name}: {said}");
    }
}

fn a_request_in_the_first_moment_is_heard() {
    needs_systemd();
    for milliseconds in some_of([20, 0, 60, 120, 240]) {
        let mut machine = Step::new(STEP).start();
        let runtime = machine.runtime();
        if milliseconds > 0 {
            let _ = machine.pid();
        }
        sleep(Duration::from_millis(milliseconds));
        if milliseconds == 20 {
            // It has begun, and does not listen yet. Others may have been there
            // before it, for the network.
            let is_it = |pid: i32| {
                let name = fs::read_to_string(format!("/proc/{pid}/comm"));
                name.is_ok_and(|name| name == "systemd\n")
            };
            while !proc::children(runtime).into_iter().any(is_it) {}
        }
        machine.signal(Signal::SIGTERM);
        let status = machine.ended();
        // Before there is an init, the runtime itself ends by it.
        assert!([0, 143].contains(&status), "{milliseconds} ms: {status}");
        assert_eq!(cgroups(runtime), Vec::<PathBuf>::new());
    }
}

fn who_asks_twice_does_not_wait() {
    let root =
        root_with_init(script("#!/bin/sh\necho up\nsleep 1000\n".into()));
    let mut machine = of_root(&root).start();
    assert_eq!(machine.line(), "up");
    // Beside it there may be a process for the network.
    let first = machine.pid();
    machine.signal(Signal::SIGTERM);
    sleep(Duration::from_millis(300));
    let there = proc::children(machine.runtime());
    assert!(there.contains(&first), "it is gone: {there:?}");
    machine.signal(Signal::SIGTERM);
    assert_eq!(machine.ended(), 137);

    // Ctrl-C, by somebody who is in a hurry, before a terminal that is not the
    // machine's.
    let mut machine = of_root(&root).start();
    assert_eq!(machine.line(), "up");
    let runtime = machine.runtime();
    for _ in 0..3 {
        machine.signal(Signal::SIGINT);
        sleep(Duration::from_millis(50));
    }
    assert_eq!(machine.ended(), 137);
    assert_eq!(cgroups(runtime), Vec::<PathBuf>::new());
}

fn busybox_starts_and_stops_too() {
    let word = token();
    let root = root_with_init(|place| {
        symlink("busybox", place).expect("symlink");
    });
    let table = format!(
        "::sysinit:/bin/echo {word}\nconsole::respawn:-/bin/sh\n\
         ::shutdown:/bin/echo end of {word}\n"
    );
    let place = root.path().join("root/etc/inittab");
    fs::write(place, table).expect("write");
    // While it boots, and once it has nothing to do but wait for a signal.
    for rests in [false, true] {
        let mut machine = of_root(&root).start();
        assert_eq!(machine.line().trim_end(), word);
        if rests {
            waits_for_signals(machine.pid());
        }
        let (status, said) = stop(machine);
        assert_eq!(status, 0);
        assert!(said.contains(&format!("end of {word}")), "{said}");
        assert!(said.contains("poweroff"), "{said}");
    }

    let mut console = of_root(&root).on_terminal();
    console.shows(&word);
    // Ctrl-C ends what runs there, and neither the shell nor the machine.
    console.shows(" # ");
    let rare = random(1000, 1_000_000);
    console.types(format!("sleep {rare}\n"));
    the_program_runs(format!("sleep\0{rare}\0").as_bytes());
    console.types(format!("\x03echo {word}''=$?\n"));
    console.shows(&format!("{word}=130"));
    console.types("reboot\n");
    console.shows("Requesting system reboot");
    console.shows(&word);
    console.types("echo \"$container\" is=$(tty)\n");
    console.shows("workshop is=/dev/console");
    console.types("poweroff\n");
    assert_eq!(console.finish().0, 0);
}

fn what_was_written_is_gone_after_a_reboot_unless_upper_keeps_it() {
    let (word, place) = (token(), shared());
    let copied =
        fs::copy(needs::command("busybox"), place.path().join("busybox"));
    copied.expect("copy busybox");
    script(format!(
        "#!/bin/sh\necho begins $(ls /root)\nsleep 1\n\
         [ -e /root/{word} ] && exec /w/busybox poweroff -f\n\
         touch /root/{word}\nexec /w/busybox reboot -f\n"
    ))(&place.path().join("init"));
    let volume = format!("{}:/w", place.path().display());
    let step = || Step::new(STEP).args(["-v", &volume]);
    // It has to belong to root inside, who makes it, and takes it away.
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(&place, open).expect("chmod");
    assert_eq!(step().sh("mkdir /w/upper").stdout(), "");
    let upper = place.path().join("upper");
    let kept = step().arg("--upper", &upper).args(["/w/init"]).output();
    assert_eq!(step().sh("rm -r /w/upper").stdout(), "");
    assert_eq!(kept.status.code(), Some(0), "{kept:?}");
    let said = String::from_utf8_lossy(&kept.stdout).into_owned();
    let boots: Vec<_> = said.lines().map(str::trim_end).collect();
    assert_eq!(boots, ["begins", &format!("begins {word}")], "{kept:?}");
    // Without it, each boot is the first one.
    let mut gone = step().args(["/w/init"]).start();
    for _ in 0..3 {
        assert_eq!(gone.line().trim_end(), "begins");
    }
    gone.signal(Signal::SIGTERM);
    gone.signal(Signal::SIGTERM);
    gone.ended();
}

fn each_machine_has_an_id_of_its_own() {
    let own = root_with_init(script(
        "#!/bin/sh\necho $container $container_uuid $(cat /etc/machine-id)\n\
         sleep 2\n"
            .into(),
    ));
    let mut seen = vec![];
    for _ in 0..3 {
        let said = of_root(&own).start().line();
        let words: Vec<_> = said.split(' ').collect();
        let [container, uuid, id] = words[..] else { panic!("{said}") };
        assert_eq!(container, "workshop");
        assert_eq!(uuid.replace('-', ""), id);
        assert_eq!(
            uuid.split('-').map(str::len).collect::<Vec<_>>(),
            [8, 4, 4, 4, 12]
        );
        assert!(id.bytes().all(|it| it.is_ascii_hexdigit()), "{id}");
        assert!(!seen.contains(&id.to_owned()), "{id} twice");
        seen.push(id.to_owned());
    }
    // One that the root directory has is kept.
    let place = own.path().join("root/etc/machine-id");
    fs::write(place, format!("{}\n", seen[0])).expect("write");
    let said = of_root(&own).start().line();
    assert!(said.ends_with(&format!(" {}", seen[0])), "{said}");
}

fn what_is_in_run_and_tmp_is_its_own() {
    let word = token();
    let hosts = Path::new("/tmp").join(&word);
    fs::write(&hosts, "").expect("write");
    let look = format!(
        "ls /tmp/{word} /run/{word} 2>/dev/null; \
         touch /run/{word} /tmp/{word} && stat -f -c %T /run /tmp; \
         stat -c %a /run /tmp"
    );
    let said = Step::new(STEP).sh(&look).stdout();
    fs::remove_file(hosts).expect("remove it");
    assert_eq!(said, "tmpfs\ntmpfs\n755\n1777");
    assert!(!Path::new("/run").join(&word).exists());
}

fn the_hosts_programs_are_there_and_nobody_changes_them() {
    needs_a_root_of_the_hosts();
    let same = "/usr/bin/env";
    let host = fs::metadata(same).expect("a program").len();
    let said = Step::new(STEP).sh(&format!(
        "stat -Lc %s {same}; for place in {same} /usr/lib/systemd/systemd; do \
         chmod 777 $place 2>/dev/null || echo no; done; \
         mount -o remount,rw /usr 2>/dev/null; touch /usr/{} 2>/dev/null || \
         echo no",
        token()
    ));
    assert_eq!(said.stdout(), format!("{host}\nno\nno\nno"));
}

fn it_divides_its_cgroup_and_can_not_lift_its_limits() {
    needs_systemd();
    let count = random(200, 400);
    let machine = boot(Step::new(STEP).args([
        "--pids-limit",
        &count.to_string(),
        "-m",
        "512m",
    ]));
    let own = cgroups(machine.runtime());
    assert!(!own.is_empty(), "no cgroup");
    let limit = |name: &str| {
        let file = own.iter().map(|it| it.join(name)).find(|it| it.exists());
        file.map(|it| fs::read_to_string(it).expect("a limit"))
    };
    let memory = || limit("memory.max").or(limit("memory.limit_in_bytes"));
    let is_so = || {
        assert_eq!(limit("pids.max"), Some(format!("{count}\n")));
        assert_eq!(memory(), Some(format!("{}\n", 512 << 20)));
    };
    is_so();
    let lift = "for name in pids.max memory.max memory.limit_in_bytes; do \
        for file in $(find /sys/fs/cgroup/ -name $name); do \
        echo max >$file; echo -1 >$file; done; done 2>/dev/null; \
        cat /proc/self/cgroup";
    inside(&machine, lift);
    is_so();
    // What it makes of its part is below it: a cgroup for each service.
    let below = own.iter().any(|it| it.join("inside/system.slice").is_dir());
    assert!(below, "{own:?}");
    // A bomb ends there.
    let bomb = format!(
        "for i in $(seq {}); do sleep 20 & done >/dev/null 2>&1; true",
        count * 2
    );
    inside(&machine, &bomb);
    let now = limit("pids.current").expect("a count");
    assert!(now.trim().parse::<u32>().expect("a number") <= count, "{now}");
    drop(machine);
}

fn containers_run_in_it_with_limits_of_their_own() {
    needs_systemd();
    let programs = shared();
    for name in ["08-networking", "09-least-privilege"] {
        let copied = fs::copy(binary(name), programs.path().join(name));
        copied.expect("copy a step");
    }
    let volume = format!("{}:/w", programs.path().display());
    let machine = boot(Step::new(STEP).args(["-v", &volume]));
    let ids = fs::read_to_string(format!("/proc/{}/uid_map", machine.pid()));
    let ids = ids.expect("a map");
    let (count, word) = (random(20, 60), token());
    let run = |command: &str| {
        let command = format!(
            "systemd-run --pipe --wait --quiet --property=Delegate=yes \
             {command} 2>&1"
        );
        inside(&machine, &command)
    };
    let limits = format!("-m 64m --pids-limit {count}");
    let read = "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max \
                2>/dev/null; hostname; cat /proc/self/uid_map";
    // Ids within ids: the nested one has a part of the outer one's. But nobody
    // gets any from newuidmap, which belongs to the root of the host.
    let part = if count_of(&ids) > 1 { " 14000" } else { " 1" };
    let (of_08, of_09) = ("08-networking", "09-least-privilege");
    let all =
        [("root", of_08), ("user", of_09), ("root", of_09), ("user", of_08)];
    // Without KVM, each of them, and each step, once.
    let some = if needs::is_emulated() { 2 } else { 4 };
    for (user, step) in all.into_iter().take(some) {
        let (status, said) = run(&format!(
            "--uid={user} /w/{step} -q {limits} --hostname {word} \
             -- sh -c '{read}'"
        ));
        // Of cgroups v1, systemd hands ordinary users none with limits.
        if user == "user" && !needs::is_cgroup_v2() {
            assert_eq!(status, 125, "{step}: {said}");
            assert!(said.contains("cgroup"), "{step}: {said}");
            let (_, said) = run(&format!("--uid={user} /w/{step} -q id -u"));
            assert_eq!(said, "0", "{step}");
            continue;
        }
        assert_eq!(status, 0, "{user}: {step}: {said}");
        let lines: Vec<_> = said.lines().collect();
        let expected = [count.to_string(), word.clone()];
        assert_eq!(lines[..2], expected, "{user}: {step}: {said}");
        let part = if user == "root" { part } else { " 1" };
        assert!(lines[2].ends_with(part), "{user}: {step}: {said}");
    }
    assert_eq!(stop(machine).0, 0);
}

/// How many ids a user namespace has, by its map.
fn count_of(map: &str) -> u32 {
    let counts = map.lines().map(|line| line.split_whitespace().last());
    counts.map(|it| it.and_then(|it| it.parse::<u32>().ok()).unwrap_or(0)).sum()
}

/// An ordinary user's playground has about half as many to give as a host.
fn it_has_the_ids_that_it_lends() {
    let read = "cat /proc/self/uid_map; echo /; cat /etc/subuid /etc/subgid";
    let said = Step::new(STEP).sh(read).stdout();
    let (map, lent) = said.split_once('/').expect("two files");
    let count = count_of(map);
    if count == 1 {
        skip("needs more ids than one");
    }
    assert_eq!(lent.trim().lines().count(), 4, "{said}");
    for line in lent.trim().lines() {
        let numbers: Vec<u32> = line.split(':').flat_map(str::parse).collect();
        let [first, many] = numbers[..] else { panic!("{line}") };
        assert!(many > 1000 && first + many <= count, "{line} of {count}");
    }
}

/// 10 in 10: an init below an init, each with a cgroup to divide.
fn a_machine_boots_in_the_machine() {
    needs_systemd();
    needs::real_processor();
    let programs = shared();
    let copied = fs::copy(binary(STEP), programs.path().join(STEP));
    copied.expect("copy the step");
    let volume = format!("{}:/w", programs.path().display());
    let machine = boot(Step::new(STEP).args(["-v", &volume]));
    // Only the runtime is asked to stop: to an init, SIGTERM is something else.
    // Each init gives its services five seconds; the outer one must give the
    // inner one more than that.
    let (status, _) = inside(
        &machine,
        "systemd-run --quiet --unit=inner -p Delegate=yes -p KillMode=mixed \
         -p TimeoutStopSec=1min -p StandardOutput=file:/root/console \
         /w/10-system-container -q",
    );
    assert_eq!(status, 0);
    let console = || inside(&machine, "cat /root/console").1;
    eventually("a login in it", || console().contains(LOGIN).then_some(()));
    // Two processes are the first in numbers of their own.
    let firsts = r"grep -lE '^NSpid:.*\s1$' /proc/[0-9]*/status | wc -l";
    assert_eq!(inside(&machine, firsts).1, "2");
    assert_eq!(inside(&machine, "systemctl stop inner").0, 0);
    let said = console();
    assert!(said.contains("Halting system."), "{said}");
    assert_eq!(stop(machine).0, 0);
}

/// `--rootfs` with what is no directory of ours: packages, accounts, apt, and
/// other people's containers.
fn a_whole_debian_boots_installs_a_package_and_runs_podman() {
    needs_systemd();
    if needs::is_root() && needs::is_emulated() {
        skip("takes long without KVM: an ordinary user boots it here");
    }
    let place = shared();
    let debian = place.path().join("debian");
    // The lab has no network, and gets an archive.
    let archive = binary(STEP).with_file_name("debian.tar");
    let archive = Some(archive).filter(|it| it.exists());
    let script = || Step::script("debian-root.sh");
    let made = script().args([&debian]).args(archive).output();
    if made.status.code() == Some(125) {
        let why = String::from_utf8_lossy(&made.stderr).into_owned();
        skip(format!(
            "needs a Debian, made from packages as the lab is: {why}"
        ));
    }
    assert!(made.status.success(), "{made:?}");
    let busybox = needs::command("busybox").display().to_string();
    let step = Step::new(STEP).arg("--rootfs", debian.join("root"));
    let step = step.args(["-v", &format!("{busybox}:/opt/busybox:ro")]);
    let mut console = step.on_terminal();
    console.shows("debian login:");
    console.types("root\n");
    console.shows("root@debian:~#");
    console.types("systemctl is-system-running --wait; . /etc/os-release\n");
    console.shows("running");
    let word = token();
    console.types(format!("echo $ID''-{word}\n"));
    console.shows(&format!("debian-{word}"));
    // From a file: apt, dpkg and their ordinary users, and no network.
    console.types(format!(
        "mkdir -p p/DEBIAN p/srv; echo in {word} >p/srv/{word}; printf \
         'Package: {word}\\nVersion: 1\\nArchitecture: all\\nMaintainer: \
         you\\nDescription: a word\\n' >p/DEBIAN/control; dpkg-deb -b p \
         /tmp/word.deb; apt-get install -y /tmp/word.deb; cat /srv/{word}; \
         echo {word}''=$?\n"
    ));
    let said = console.shows(&format!("{word}=0"));
    assert!(said.contains(&format!("Setting up {word} (1)")), "{said}");
    assert!(said.contains(&format!("in {word}")), "{said}");
    podman_runs_a_container(&mut console);
    // An ordinary user in it logs in, and is no less.
    console.types("exit\n");
    console.shows("debian login:");
    console.types("user\n");
    console.shows("user@debian:~$");
    podman_runs_a_container(&mut console);
    console.signal(Signal::SIGTERM);
    assert_eq!(console.finish().0, 0);
    let removed = script().args(["--remove".as_ref(), debian.as_os_str()]);
    assert_eq!(removed.stdout(), "");
    assert!(!debian.exists());
}

/// One of whoever is at the console. The host sees whose it is, and what it may.
fn podman_runs_a_container(console: &mut Terminal) {
    let (word, count) = (token(), random(20, 200));
    // Of cgroups v1, root of a user namespace gets some, and crun wants all.
    let limit = match needs::is_cgroup_v2() {
        true => format!("--pids-limit {count}"),
        false => "--cgroups disabled".to_owned(),
    };
    let rare = random(1000, 1_000_000);
    console.types(format!(
        "mkdir -p box/bin; cp /opt/busybox box/bin/; ln -sf busybox \
         box/bin/sleep; tar -c -C box . | podman import -q - box && podman \
         run -d --name one --network none {limit} box sleep {rare} && \
         id -u >/tmp/{word}; echo {word}''=$?\n"
    ));
    let said = console.shows(&format!("{word}=0"));
    let pid = the_program_runs(format!("sleep\0{rare}\0").as_bytes());
    // Beside it there may be a process for the network.
    let name = |pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    let mut children = proc::children(console.pid()).into_iter();
    let machine = children.find(|&it| name(it).as_deref() == Some("systemd\n"));
    let machine = machine.expect("PID 1 of the machine");
    // It is the first one in numbers of its own, below those of the machine.
    let numbers = |pid| {
        let numbers = proc::status(pid, "NSpid").expect("its numbers");
        numbers.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(numbers(pid).len(), numbers(machine).len() + 1, "{said}");
    assert_eq!(numbers(pid).last().map(String::as_str), Some("1"), "{said}");
    let inside = format!("/proc/{machine}/root");
    let user = fs::metadata(format!("{inside}/tmp/{word}"));
    let owner = fs::metadata(format!("/proc/{pid}")).expect("it").uid();
    assert_eq!(owner, user.expect("a file of theirs").uid(), "{said}");
    if needs::is_cgroup_v2() {
        let own = fs::read_to_string(format!("/proc/{pid}/cgroup"));
        let own = own.expect("its cgroup");
        let own =
            Path::new("/sys/fs/cgroup/").join(&own.trim()["0::/".len()..]);
        let limits = own.ancestors().map(|it| it.join("pids.max"));
        let limits = limits.filter_map(|it| fs::read_to_string(it).ok());
        let mut limits = limits.filter(|it| it != "max\n");
        assert_eq!(limits.next(), Some(format!("{count}\n")), "{own:?}");
    }
    console.types(format!("podman rm -f -t 0 one; echo {word}''-$?\n"));
    console.shows(&format!("{word}-0"));
    assert!(!proc::runs(pid), "{said}");
}

fn its_network_device_is_host0_which_networkd_knows() {
    needs_systemd();
    let machine = boot(Step::new(STEP));
    let said = inside(&machine, "echo $(ls /sys/class/net)").1;
    if said == "lo" {
        skip("needs a network: root's bridge, or pasta");
    }
    assert_eq!(said, "host0 lo");
    // systemd's own word for it, which Debian has in another package some day.
    let known = "/usr/lib/systemd/network/80-container-host0.network";
    if Path::new(known).exists() {
        assert_eq!(inside(&machine, "systemctl start systemd-networkd").0, 0);
        eventually("networkd to know it", || {
            let said = inside(&machine, "networkctl status host0").1;
            // A newer one has another word for pasta's: host0-tun.
            said.contains("/80-container-host0").then_some(())
        });
    }
    assert_eq!(stop(machine).0, 0);
}

/// A node of a real device, made for a claim, with its own permissions.
fn node(
    directory: &Path,
    name: &str,
    kind: SFlag,
    number: [u64; 2],
    mode: u32,
) -> String {
    let path = directory.join(name);
    let [major, minor] = number;
    mknod(&path, kind, Mode::empty(), makedev(major, minor)).expect("mknod");
    let mode = fs::Permissions::from_mode(mode);
    fs::set_permissions(&path, mode).expect("chmod");
    path.display().to_string()
}

const TUN: [u64; 2] = [10, 200];
const FUSE: [u64; 2] = [10, 229];
const KVM: [u64; 2] = [10, 232];

/// A filesystem whose driver is a program: made for ordinary users.
const USE_FUSE: &str = "\
    mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 \
    none /mnt 3<>/dev/fuse && grep -c ' /mnt fuse ' /proc/mounts";

/// A network device whose cable is a program: as root of the network.
const USE_TUN: &str = "\
    ip tuntap add dev tap7 mode tap && echo made $(ls /sys/class/net)";

/// Skips where the kernel has no driver for it.
fn needs_device(path: &str) {
    if let Err(error) = fs::File::open(path) {
        skip(format!("needs a driver for {path}: {error}"));
    }
}

fn a_device_that_nobody_named_opens_for_nobody() {
    needs::host_root();
    let nodes = shared_for_nodes();
    let tun = node(nodes.path(), "tun", SFlag::S_IFCHR, TUN, 0o666);
    needs_device(&tun);
    let open = |options: &[&str]| {
        let volume = format!("{tun}:/dev/other");
        let step = Step::new(STEP).args(["-v", &volume]).args(options);
        step.sh(": </dev/other; echo it opens").output()
    };
    assert_eq!(open(&[]).stdout, b"it opens\n");
    let said = open(&["--device", "/dev/full"]).stderr;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("not permitted"), "{said}");
    // What every program expects is open all the same.
    let usual = "head -c 1 /dev/urandom /dev/zero >/dev/null && echo usual";
    let step = Step::new(STEP).args(["--device", "/dev/full"]).sh(usual);
    assert_eq!(step.stdout(), "usual");
}

fn what_a_user_namespace_gives_of_a_device_is_there_and_the_rest_is_told() {
    needs::host_root();
    needs_systemd();
    let nodes = shared_for_nodes();
    let make = |name: &str, kind, number, mode| {
        node(nodes.path(), name, kind, number, mode)
    };
    let with = |source: &str, place: &str, script: &str| {
        let device = format!("{source}:{place}");
        let step = Step::telling(STEP).args(["--device", &device]);
        let output = step.sh(script).output();
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).into_owned()
    };
    let fuse = make("fuse", SFlag::S_IFCHR, FUSE, 0o666);
    needs_device(&fuse);
    let said = with(&fuse, "/dev/fuse", USE_FUSE);
    assert!(said.lines().any(|line| line == "1"), "{said}");
    let tun = make("tun", SFlag::S_IFCHR, TUN, 0o666);
    needs_device(&tun);
    let said = with(&tun, "/dev/net/tun", USE_TUN);
    assert!(said.contains("made host0 lo tap7"), "{said}");
    // A disk can be read, and not mounted. (Its number is nobody's.)
    let disk = make("disk", SFlag::S_IFBLK, [7, 1 << 19], 0o666);
    let said = with(&disk, "/dev/disk", "mount -t ext4 /dev/disk /mnt");
    assert!(said.contains("permission denied"), "{said}");
    assert!(said.contains("only the machine's own root mounts it"), "{said}");
    // A group of the host's does not come along: kvm, render.
    for (name, number) in [("kvm", KVM), ("dri/renderD128", [226, 128])] {
        let source = name.replace('/', "-");
        let source = make(&source, SFlag::S_IFCHR, number, 0o660);
        let place = format!("/dev/{name}");
        let said = with(&source, &place, &format!(": <{place}"));
        assert!(said.contains("Permission denied"), "{said}");
        assert!(said.contains("no group of the host comes along"), "{said}");
    }
    // A mount may have no devices, whatever their modes.
    let place = nodes.path().display();
    let closed = format!(
        "exec unshare --mount sh -c 'mount -t tmpfs -o nodev none {place} &&
             mknod -m 666 {place}/it c 1 5 && exec \"$@\"' sh \"$@\""
    );
    let step =
        Step::telling(STEP).arg("--device", format!("{place}/it:/dev/it"));
    let output = step.sh(": </dev/it").in_shell(&closed).output();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("Permission denied"), "{said}");
    assert!(said.contains("a mount without devices (nodev)"), "{said}");
}

/// A file of the host as a disk, for as long as a claim runs.
struct Loop(String);

impl Loop {
    fn over(file: &Path) -> Loop {
        let made = Command::new(needs::command("losetup"))
            .args(["--find", "--show"])
            .arg(file)
            .output()
            .expect("losetup");
        if !made.status.success() {
            skip("needs a loop device (modprobe loop)");
        }
        let name = String::from_utf8(made.stdout).expect("UTF-8");
        Loop(name.trim().to_owned())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.0]).status();
    }
}

fn a_loop_device_and_kvm_work_inside_once_the_host_opens_them() {
    needs::host_root();
    needs_systemd();
    let nodes = shared_for_nodes();
    let (word, image) = (token(), nodes.path().join("image"));
    fs::write(&image, format!("{word:4096}")).expect("write");
    let disk = Loop::over(&image);
    let number = fs::metadata(&disk.0).expect("its node").rdev();
    let disk = [major(number), minor(number)];
    let disk = node(nodes.path(), "disk", SFlag::S_IFBLK, disk, 0o666);
    let run = |device: &str, script: &str| {
        let step = Step::new(STEP).args(["--device", device]);
        step.sh(script).output()
    };
    let read = format!("head -c {} /dev/disk", word.len());
    let output = run(&format!("{disk}:/dev/disk"), &read);
    assert_eq!(output.stdout, word.as_bytes(), "{output:?}");
    let write = "printf x | dd of=/dev/disk conv=fsync";
    let output = run(&format!("{disk}:/dev/disk:r"), write);
    assert!(!output.status.success(), "{output:?}");
    assert!(run(&format!("{disk}:/dev/disk"), write).status.success());
    assert!(fs::read(&image).expect("the image").starts_with(b"x"));
    // KVM_GET_API_VERSION: a virtual machine could run in the container.
    if !Path::new("/dev/kvm").exists() {
        println!("no /dev/kvm here");
        return;
    }
    let kvm = node(nodes.path(), "kvm", SFlag::S_IFCHR, KVM, 0o666);
    let ask = "perl -e 'open(K, \"+<\", \"/dev/kvm\") or die $!; \
               print ioctl(K, 0xAE00, 0)'";
    let output = run(&format!("{kvm}:/dev/kvm"), ask);
    assert_eq!(output.stdout, b"12", "{output:?}");
    let output = run(&format!("{kvm}:/dev/kvm:r"), ask);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("not permitted"), "{said}");
}

fn what_the_host_opens_to_everybody_an_ordinary_user_hands_through() {
    let opens = |path| fs::File::options().read(true).write(true).open(path);
    for path in ["/dev/fuse", "/dev/net/tun"] {
        let mode = fs::metadata(path).map_or(0, |it| it.mode() & 0o666);
        if mode != 0o666 || opens(path).is_err() {
            skip(format!("needs {path} open to everybody, as in the lab"));
        }
    }
    let with = |device: &str, script: &str| {
        Step::new(STEP).args(["--device", device]).sh(script).stdout()
    };
    assert_eq!(with("/dev/fuse", USE_FUSE), "1");
    let said = with("/dev/net/tun", USE_TUN);
    assert!(said.starts_with("made ") && said.ends_with(" tap7"), "{said}");
}

/// A GPU without a GPU: the kernel's driver for none has a render node, too.
fn a_gpus_render_node_answers_inside_once_the_host_opens_it() {
    const NODE: &str = "/dev/dri/renderD128";
    needs::lab();
    needs_systemd();
    let on_host = |script: &str| {
        let output = Command::new("sudo").args(["sh", "-c", script]).output();
        output.expect("sudo").status.success()
    };
    if !on_host("modprobe vgem && udevadm settle") {
        skip("needs vgem, a module that kernels for clouds lack");
    }
    assert!(on_host(&format!("setfacl --remove-all {NODE}")));
    let outside = fs::File::options().read(true).write(true).open(NODE);
    outside.expect("learner is in the group render");
    // DRM_IOCTL_VERSION: which driver is it?
    let ask = format!(
        "perl -e 'open(D, \"+<\", \"{NODE}\") or die $!; \
         my $name = \"\\0\" x 9; my $ask = pack(\"x16 Q P x32\", 8, $name); \
         ioctl(D, 0xC0406400, $ask) or die $!; print unpack(\"Z*\", $name)'"
    );
    let run = |options: &[&str]| {
        let output = Step::telling(STEP).args(options).sh(&ask).output();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (String::from_utf8_lossy(&output.stdout).into_owned(), said)
    };
    let (driver, said) = run(&[]);
    assert!(driver.is_empty() && said.contains("No such file"), "{said}");
    // A group opens it outside, and none comes along.
    let (driver, said) = run(&["--device", NODE]);
    assert!(driver.is_empty(), "{driver}");
    assert!(said.contains("Permission denied"), "{said}");
    let way = said.split('`').find(|it| it.starts_with("sudo setfacl "));
    assert!(on_host(way.expect("what opens it")), "{said}");
    let (driver, said) = run(&["--device", NODE]);
    assert_eq!(driver, "vgem", "{said}");
    // A volume brings the node, too; root's rules are about what it opens.
    let other = ["--device", "/dev/full", "-v", &format!("{NODE}:{NODE}")];
    let (driver, said) = run(&other);
    if needs::is_root() {
        assert!(driver.is_empty() && said.contains("not permitted"), "{said}");
    } else {
        assert_eq!(driver, "vgem", "{said}");
    }
}

fn a_device_is_handed_through_and_no_more_of_it_than_asked_for() {
    let name = token();
    let open = |access: &str, script: &str| {
        let device = format!("/dev/full:/dev/{name}{access}");
        Step::new(STEP).args(["--device", &device]).sh(script).output()
    };
    let write = format!("dd if=/dev/zero of=/dev/{name} count=1");
    let read = format!("head -c 3 /dev/{name} | od -An -c");
    let said = open("", &write);
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(text.contains("No space left on device"), "{text}");
    let said = open("", &read);
    assert_eq!(said.stdout, b"  \\0  \\0  \\0\n");
    let part = open(":r", &format!("{read}; {write}"));
    let text = String::from_utf8_lossy(&part.stderr).into_owned();
    if part.status.code() == Some(125) {
        assert!(text.contains("leave :r out"), "{text}");
        return;
    }
    let said = String::from_utf8_lossy(&part.stdout).into_owned();
    assert_eq!(said, "  \\0  \\0  \\0\n");
    assert!(text.contains("not permitted"), "{text}");
}

fn a_command_runs_in_it_without_an_init() {
    let (code, word) = (random(1, 120), token());
    let script = format!("echo {word}; echo $$; exit {code}");
    let output = Step::new(STEP).sh(&script).output();
    assert_eq!(output.status.code(), Some(code as i32));
    assert_eq!(output.stdout, format!("{word}\n1\n").as_bytes());
    assert!(output.stderr.is_empty(), "{output:?}");
}

fn root_inside_keeps_what_the_table_says() {
    let read =
        "grep -E '^(Cap(Prm|Eff|Bnd)|NoNewPrivs|Seccomp):' /proc/1/status";
    let said = Step::new(STEP).sh(read).stdout();
    let known = kept::kept().iter_names().map(|(_, set)| set.bits());
    let kept = format!("{:016x}", known.fold(0, |all, bit| all | bit));
    let values: Vec<_> =
        said.lines().filter_map(|it| it.split_once(":\t")).collect();
    let all = ["CapPrm", "CapEff", "CapBnd"].map(|name| (name, &*kept));
    assert_eq!(
        values,
        [&all[..], &[("NoNewPrivs", "0"), ("Seccomp", "0")]].concat()
    );
}

/// `LESSONS=overwrite` puts it right.
fn the_table_beside_09_is_that_of_the_two_steps() {
    let page = checkout().join("steps/10-system-container/README.md");
    let text = fs::read_to_string(&page).expect("the lesson");
    let begin = "<!-- generated: beside step 09 -->\n";
    let (before, rest) = text.split_once(begin).expect("a place for it");
    let (there, after) = rest.split_once("<!-- end -->").expect("its end");
    let table = kept::beside_09();
    if there != table && std::env::var_os("LESSONS").is_some() {
        let text = format!("{before}{begin}{table}<!-- end -->{after}");
        fs::write(&page, text).expect("write the lesson");
    } else {
        assert_eq!(there, table, "LESSONS=overwrite puts it right");
    }
}

fn after_sigkill_the_next_start_sweeps() {
    needs_systemd();
    let machine = boot(Step::new(STEP));
    let (runtime, first) = (machine.runtime(), machine.pid());
    assert_ne!(cgroups(runtime), Vec::<PathBuf>::new());
    machine.signal(Signal::SIGKILL);
    assert_eq!(machine.finish().0, 137);
    eventually("the end of its PID 1", || {
        (!Path::new(&format!("/proc/{first}")).exists()).then_some(())
    });
    eventually("nothing of it", || {
        assert_eq!(stop(boot(Step::new(STEP))).0, 0);
        cgroups(runtime).is_empty().then_some(())
    });
}

/// 125, one line that says why, and no cgroup.
fn is_told(step: Step, status: i32, why: &str) {
    let running = step.output();
    let said = String::from_utf8_lossy(&running.stderr).into_owned();
    assert_eq!(running.status.code(), Some(status), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(why), "{why:?} is not in {said:?}");
}

fn what_can_not_boot_is_told_in_one_line() {
    let none = root_with_init(|_| {});
    is_told(of_root(&none), 127, "no /sbin/init");
    let asked = |words: &[&str]| Step::new(STEP).args(words);
    is_told(asked(&["--device", "/dev/not-there"]), 125, "no such device");
    is_told(asked(&["--device", "/etc/passwd:/dev/x"]), 125, "is no device");
    is_told(asked(&["--device", "/dev/null:/etc/x"]), 125, "not below /dev");
    let twice =
        ["--device", "/dev/null:/dev/a", "--device", "/dev/zero:/dev/a"];
    is_told(asked(&twice), 125, "two devices");
    is_told(asked(&["--stop-signal", "SIGNOT"]), 125, "no such signal");
    let empty = shared();
    let run = format!("{}:/run:ro", empty.path().display());
    is_told(asked(&["-v", &run]), 125, "/run is read-only");
    // Root of the host owns /etc there, and is nobody inside, unless there is one
    // id: it can't be changed, not even where everybody may write.
    let ids = fs::read_to_string("/proc/self/uid_map").expect("our ids");
    let has_one_id = ids.split_whitespace().nth(2) == Some("1");
    if needs::is_root() && !has_one_id {
        let etc = none.path().join("root/etc");
        fs::remove_file(etc.join("hosts")).expect("remove it");
        let open = fs::Permissions::from_mode(0o777);
        fs::set_permissions(&etc, open).expect("chmod");
        is_told(of_root(&none), 125, "sudo chown -R");
        fs::write(etc.join("hosts"), "").expect("write");
    }
    let Ok(hosts) = fs::read_to_string("/etc/machine-id") else { return };
    if hosts.trim().len() == 32 {
        let place = none.path().join("root/etc/machine-id");
        fs::write(place, hosts).expect("write");
        is_told(of_root(&none), 125, "it is taken");
    }
}

fn without_a_cgroup_systemd_does_not_even_begin() {
    needs_a_root_of_the_hosts();
    let home = tempfile::tempdir().expect("a directory");
    let somebody = || {
        let mut step = Step::new(STEP).as_somebody(home.path());
        step.command().env_remove("XDG_RUNTIME_DIR");
        step
    };
    let tried = somebody().args(["--", SYSTEMD, "--version"]).output();
    if tried.status.success() && !needs::is_root() {
        skip("needs an ordinary user without a cgroup");
    }
    is_told(somebody(), 125, "may not divide its cgroup");
    // It is the init that needs one, and no other command.
    let word = token();
    assert_eq!(somebody().sh(&format!("echo {word}")).stdout(), word);
}

fn an_init_that_dies_at_once_is_told() {
    let code = random(1, 100);
    let root = root_with_init(script(format!("#!/bin/sh\nexit {code}\n")));
    is_told(of_root(&root), code as i32, "the init ended after 0.");
    // No init does this to itself: nobody would know what became of it.
    let waits = "#!/bin/sh\necho up\nexec sleep 1000\n";
    let root = root_with_init(script(waits.into()));
    let mut step = of_root(&root);
    let told = root.path().join("told");
    step.command().stderr(fs::File::create(&told).expect("a file"));
    let mut machine = step.start();
    assert_eq!(machine.line(), "up");
    sleep(Duration::from_secs(1));
    let first = Pid::from_raw(machine.pid());
    kill(first, Signal::SIGKILL).expect("kill");
    assert_eq!(machine.ended(), 137);
    let said = fs::read_to_string(told).expect("what was told");
    assert!(said.contains("out of memory"), "{said}");
}

fn a_console_that_stays_black_says_where_to_look() {
    needs::real_processor();
    let silent = script("#!/bin/sh\nexec sleep 13\n".into());
    let speaks = script("#!/bin/sh\necho up; exec sleep 13\n".into());
    let said = |root: &tempfile::TempDir| {
        let mut step = of_root(root);
        step.command().stderr(std::process::Stdio::piped());
        let output = step.output();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let roots = [root_with_init(silent), root_with_init(speaks)];
    let [silent, speaks] = std::thread::scope(|scope| {
        let both = roots.each_ref().map(|root| scope.spawn(|| said(root)));
        both.map(|one| one.join().expect("no panic"))
    });
    assert!(silent.contains("10 s without a word from PID 1"), "{silent}");
    assert_eq!(silent.lines().count(), 1, "{silent}");
    assert_eq!(speaks, "");
}
