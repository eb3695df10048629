//! Attacks on the runtime. Each is a real attempt, on files, numbers and
//! processes that do not matter: a runtime with a hole hurts nobody.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{
    FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink,
};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::{Value, json};
use testbed::machine::{Argument, Call, answers, program};
use testbed::{binary, eventually, needs, proc, skip, token};

use crate::bundle::Bundle;
use crate::needs_root;

/// What it says: one line, for a person, and not of a bug.
fn sentence(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let is_one = told.starts_with("11-oci-runtime: ")
        && told.lines().count() == 1
        && told.len() < 4000
        && !told.contains("panicked");
    assert!(is_one && output.status.code().is_some(), "{output:?}");
    told
}

/// A command of the runtime's under strace(1), which makes it slow, or kills it.
fn traced(container: &Bundle, options: &[&str], words: &[&str]) -> Command {
    let runtime = container.runtime();
    let mut traced = Command::new(needs::tracer());
    traced.args(["-qq", "-o", "calls"]).args(options);
    traced.arg(runtime.get_program()).args(runtime.get_args()).args(words);
    traced.current_dir(container.path()).stdin(Stdio::null());
    traced
}

/// Somebody works against us all the while.
struct Meanwhile(Arc<AtomicBool>, Option<JoinHandle<()>>);

impl Meanwhile {
    fn again_and_again(mut work: impl FnMut() + Send + 'static) -> Meanwhile {
        let goes_on = Arc::new(AtomicBool::new(true));
        let until = Arc::clone(&goes_on);
        let thread = spawn(move || {
            while until.load(Ordering::Relaxed) {
                work();
            }
        });
        Meanwhile(goes_on, Some(thread))
    }
}

impl Drop for Meanwhile {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
        let _ = self.1.take().map(JoinHandle::join);
    }
}

/// Names, and what they are, below a directory.
fn all_below(place: &Path) -> BTreeMap<PathBuf, (u32, u64, Vec<u8>)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(place).expect("a directory").flatten() {
        let path = entry.path();
        let about = fs::symlink_metadata(&path).expect("it is there");
        let text = match about.is_file() {
            true => fs::read(&path).expect("a file"),
            false => vec![],
        };
        if about.is_dir() {
            all.extend(all_below(&path));
        }
        all.insert(path, (about.mode(), about.dev(), text));
    }
    all
}

/// As in CVE-2021-30465 and CVE-2025-31133: a place is looked up, and another
/// one is mounted on.
pub fn nothing_lands_outside_while_names_are_exchanged() {
    needs_root();
    needs::real_processor();
    let mut container = Bundle::new();
    let (rootfs, outside) =
        (container.file("rootfs"), container.file("outside"));
    // Where the link leads on the host, where it leads inside, and what it is
    // exchanged with.
    for place in [&outside, &rootfs.join("outside"), &rootfs.join("v")] {
        for name in ["bind", "tmp", "masked", "still"] {
            fs::create_dir_all(place.join(name)).expect("mkdir");
            fs::write(place.join(name).join("kept"), "kept").expect("write");
        }
        fs::write(place.join("secret"), "kept").expect("write");
    }
    symlink("../outside", rootfs.join("evil")).expect("a link");
    fs::create_dir(container.file("volume")).expect("mkdir");
    let name = token();
    let volume = json!({ "destination": "/v/bind", "type": "bind", "source": "volume", "options": ["rbind", "ro"] });
    container.push("/mounts", volume);
    container.push(
        "/mounts",
        json!({ "destination": "/v/tmp", "type": "tmpfs", "source": name }),
    );
    container.set("/linux/maskedPaths", json!(["/v/masked", "/v/secret"]));
    container.set("/linux/readonlyPaths", json!(["/v/still"]));
    let node = json!({ "path": "/v/node", "type": "p", "major": 0, "minor": 0, "fileMode": 0o644 });
    container.set("/linux/devices", json!([node]));
    container.set("/process/cwd", json!("/v/new/below"));
    container.sh("cat /proc/self/mountinfo");

    let before = all_below(&outside);
    let own = std::process::id() as i32;
    let (one, other) = (rootfs.join("v"), rootfs.join("evil"));
    let exchanging = Meanwhile::again_and_again(move || {
        let _ = renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE);
    });
    let (mut starts, mut won) = (0, 0);
    let end = Instant::now() + Duration::from_secs(60);
    while starts < 40 || won < 3 {
        assert!(Instant::now() < end, "{won} of {starts} starts");
        let output = container.command(&["run"]);
        starts += 1;
        assert_eq!(all_below(&outside), before, "{output:?}");
        let seen = proc::mounts(own);
        let below =
            |it: &proc::MountInfo| Path::new(&it.place).starts_with(&outside);
        assert!(!seen.iter().any(below), "{seen:#?}");
        if !output.status.success() {
            sentence(&output);
            continue;
        }
        won += 1;
        let table = String::from_utf8_lossy(&output.stdout);
        let has = |words: &[&str]| {
            table.lines().any(|it| words.iter().all(|word| it.contains(word)))
        };
        assert!(has(&[&format!(" tmpfs {name} ")]), "{table}");
        assert!(has(&["/volume ", " ro,"]), "{table}");
        assert!(has(&["/still ", " ro,"]), "{table}");
        assert!(has(&["/masked ", "size=0k"]), "{table}");
        assert!(has(&["/secret "]), "{table}");
    }
    drop(exchanging);
    println!("{won} of {starts} starts won");
}

/// Directories and links to the host change places while they are copied.
pub fn nothing_of_the_host_is_copied_into_a_tmpfs() {
    needs::time();
    needs_root();
    let mut container = Bundle::new();
    let (secret, outside) = (token(), container.file("outside"));
    fs::create_dir(&outside).expect("mkdir");
    fs::write(outside.join("secret"), &secret).expect("write");
    let place = container.file("rootfs/v");
    let pairs: Vec<_> = (0..50)
        .map(|it| (place.join(format!("d{it}")), place.join(format!("l{it}"))))
        .collect();
    for (directory, link) in &pairs {
        fs::create_dir_all(directory).expect("mkdir");
        symlink(&outside, link).expect("a link");
    }
    let tmpfs = json!({ "destination": "/v", "type": "tmpfs", "options": ["tmpcopyup"] });
    container.push("/mounts", tmpfs);
    container.sh("cat /v/*/secret; true");
    let _exchanging = Meanwhile::again_and_again(move || {
        for (one, other) in &pairs {
            let _ = renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
        }
    });
    let (mut starts, mut won) = (0, 0);
    let end = Instant::now() + Duration::from_secs(60);
    while starts < 20 || won < 3 {
        assert!(Instant::now() < end, "{won} of {starts} starts");
        let output = container.command(&["run"]);
        starts += 1;
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(!said.contains(&secret), "the host's");
        // Of names that change, a directory may list one twice.
        match output.status.success() {
            true => won += 1,
            false => drop(sentence(&output)),
        }
    }
}

/// Two volumes change places while one of them becomes read-only.
pub fn the_flags_of_a_volume_are_not_for_another() {
    needs::real_processor();
    needs_root();
    let mut container = Bundle::new();
    let rootfs = container.file("rootfs");
    for name in ["a", "b"] {
        fs::create_dir_all(rootfs.join(name).join("v")).expect("mkdir");
        fs::create_dir(container.file(name)).expect("mkdir");
    }
    container.set("/mounts", json!([container.config["mounts"][0]]));
    container.push("/mounts", json!({ "destination": "/a/v", "type": "bind", "source": "a", "options": ["rbind"] }));
    container.push("/mounts", json!({ "destination": "/b/v", "type": "bind", "source": "b", "options": ["rbind", "ro"] }));
    container.sh("cat /proc/self/mountinfo");
    let (one, other) = (rootfs.join("a"), rootfs.join("b"));
    let exchanging = Meanwhile::again_and_again(move || {
        let _ = renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE);
    });
    // Slow enough for them to change places between two looks.
    let slow = ["-f", "-e", "inject=openat2:delay_enter=10000:when=3+"];
    for _ in 0..12 {
        let run = ["run", &container.id];
        let output = traced(&container, &slow, &run).output();
        let output = output.expect("strace");
        if !output.status.success() {
            sentence(&output);
            continue;
        }
        let table = String::from_utf8_lossy(&output.stdout);
        let volume = container.file("b");
        let volume = volume.strip_prefix("/tmp").unwrap_or(&volume);
        let mut mounts = proc::mounts_of(&table).into_iter();
        let its = mounts.find(|it| Path::new(&it.root).ends_with(volume));
        let its = its.unwrap_or_else(|| panic!("{table}"));
        assert!(its.options.iter().any(|it| it == "ro"), "{its:?}");
    }
    drop(exchanging);
}

/// mknod(2), chown(2) and chmod(2) took names that somebody else could change.
pub fn a_device_is_made_inside_and_nothing_else_changes() {
    needs_root();
    let mut container = Bundle::new();
    let rootfs = container.file("rootfs");
    // Without a mount at /dev, a link in the root directory would be followed.
    for place in [container.file("outside"), rootfs.join("outside")] {
        fs::create_dir_all(place).expect("mkdir");
    }
    fs::remove_dir_all(rootfs.join("dev")).expect("rmdir");
    symlink("../outside", rootfs.join("dev")).expect("a link");
    container.set("/mounts", json!([container.config["mounts"][0]]));
    container.set("/linux/maskedPaths", json!([]));
    container.set("/linux/readonlyPaths", json!([]));
    container.sh("true");
    let output = container.command(&["run"]);
    let outside = fs::read_dir(container.file("outside")).expect("it");
    assert_eq!(outside.count(), 0, "{output:?}");
    assert!(sentence(&output).contains("symbolic link"), "{output:?}");

    // A node becomes a link to a file of the host, before its mode is set. The
    // default root directory keeps the places of volumes: one may be there.
    let mut container = Bundle::new();
    let (rootfs, victim) = (container.file("rootfs"), container.file("victim"));
    fs::create_dir_all(rootfs.join("v")).expect("mkdir");
    fs::write(&victim, "").expect("write");
    let mode = |it| fs::Permissions::from_mode(it);
    fs::set_permissions(&victim, mode(0o600)).expect("chmod");
    symlink(&victim, rootfs.join("v/link")).expect("a link");
    let (node, link) = (rootfs.join("v/node"), rootfs.join("v/link"));
    let exchanging = Meanwhile::again_and_again(move || {
        let about = fs::symlink_metadata(&node);
        if about.is_ok_and(|it| it.file_type().is_fifo()) {
            fs::rename(&link, &node).expect("rename");
        }
    });
    container.set("/linux/devices", json!([{ "path": "/v/node", "type": "p", "major": 0, "minor": 0, "fileMode": 0o666 }]));
    container.sh("true");
    let slow = ["-f", "-e", "inject=fchownat:delay_enter=300000"];
    let output = traced(&container, &slow, &["run", &container.id]).output();
    let output = output.expect("strace");
    eventually("the link in its place", || {
        fs::symlink_metadata(rootfs.join("v/node"))
            .ok()?
            .is_symlink()
            .then_some(())
    });
    drop(exchanging);
    let about = fs::metadata(&victim).expect("it");
    assert_eq!(about.mode() & 0o777, 0o600, "{output:?}");
}

/// The program that an ELF file names as its loader.
fn loader(program: &[u8]) -> Option<PathBuf> {
    let head = &program[..program.len().min(8192)];
    let at = head.windows(4).position(|it| it == b"/lib")?;
    let end = at + head[at..].iter().position(|&it| it == 0)?;
    Some(String::from_utf8_lossy(&head[at..end]).into_owned().into())
}

/// CVE-2019-5736. The runtime is a copy: with a hole in it, only that is hurt.
fn with_a_runtime_of_its_own() -> Bundle {
    let mut container = Bundle::new();
    container.program = container.file("11-oci-runtime");
    fs::copy(binary("11-oci-runtime"), &container.program).expect("copy");
    container
}

const EROFS: i64 = -30;
const EPERM: i64 = -1;

/// A script makes the runtime its interpreter. The loader that the runtime then
/// gets is the enemy's: it opens /proc/self/exe, and hands that on to a program
/// that waits until nobody executes the runtime, and writes to it.
pub fn a_script_gets_no_hold_of_the_runtime() {
    needs::time();
    needs_root();
    let call = |number: i64, arguments: &[Argument<'static>]| Call {
        arguments: arguments.to_vec(),
        ..Call::plain(number as u32)
    };
    use nix::libc::{
        AT_FDCWD, O_APPEND, O_RDONLY, O_WRONLY, SYS_execve, SYS_openat,
        SYS_write,
    };
    let open = |path, flags: i32| {
        let (here, flags) = (AT_FDCWD as u64, flags as u64);
        let path = Argument::At(path);
        call(SYS_openat, &[Argument::Is(here), path, Argument::Is(flags)])
    };
    let none = Argument::Is(0);
    let execute = call(SYS_execve, &[Argument::At("/write"), none, none]);
    let hold = program(&[open("/proc/self/exe", O_RDONLY), execute], &[]);
    let word = Argument::At("hole");
    let (fifo, again) = (4, 5);
    let write = program(
        &[
            open("/go", O_RDONLY),
            open("/proc/self/fd/3", O_WRONLY | O_APPEND),
            call(SYS_write, &[Argument::Is(again), word, Argument::Is(4)]),
        ],
        &[],
    );
    for by in ["create", "exec", "hook"] {
        let mut container = with_a_runtime_of_its_own();
        let before = fs::read(&container.program).expect("the runtime");
        let Some(loader) = loader(&before) else {
            skip("needs a runtime with a loader")
        };
        let root = container.file("rootfs");
        // This one has a loader of its own, if any: by now it runs.
        container.start("true");
        let put = |name: &Path, text: &[u8]| {
            let place = root.join(name.strip_prefix("/").unwrap_or(name));
            let parent = place.parent().expect("a parent");
            fs::create_dir_all(parent).expect("mkdir");
            let _ = fs::remove_file(&place);
            fs::write(&place, text).expect("write");
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(place, mode).expect("chmod");
        };
        put(&loader, &hold);
        put(Path::new("/write"), &write);
        put(Path::new("/evil"), b"#!/proc/self/exe\n");
        let _ = mkfifo(&root.join("go"), Mode::S_IRWXU);
        let out = File::create(container.file("answers")).expect("a file");
        let err = File::create(container.file("told")).expect("a file");
        let id = container.id.clone();
        if by != "exec" {
            container.done(&["delete", "--force"]);
            container.set("/process/args", json!(["/evil"]));
        }
        if by == "hook" {
            container.set(
                "/hooks",
                json!({ "startContainer": [{ "path": "/evil" }] }),
            );
        }
        let mut attack = container.runtime();
        match by {
            "exec" => attack.args(["exec", "--detach", &id, "/evil"]),
            _ => attack.args(["create", &id]),
        };
        attack.stdin(Stdio::null()).stdout(out).stderr(err);
        let mut attack = attack.spawn().expect("the runtime");
        let starting = (by != "exec").then(|| {
            assert!(attack.wait().expect("create").success());
            let mut start = container.runtime();
            start.args(["start", &id]).stderr(Stdio::null());
            start.spawn().expect("start")
        });
        // A hook that waits keeps `start` waiting: there is nobody to wait for.
        if by != "hook" {
            let last =
                starting.into_iter().chain((by == "exec").then_some(attack));
            for mut it in last {
                it.wait().expect("its end");
            }
        }
        let go = eventually("the enemy's program", || {
            let mut go = File::options();
            go.write(true).custom_flags(OFlag::O_NONBLOCK.bits());
            go.open(root.join("go")).ok()
        });
        drop(go);
        let expected = 3 * 8;
        if by != "hook" {
            eventually("what it could do", || {
                let said = fs::read(container.file("answers")).ok()?;
                (said.len() == expected).then_some(())
            });
            let said = fs::read(container.file("answers")).expect("answers");
            let said = answers(&said);
            assert_eq!(said[0], fifo, "{said:?}");
            // A mount is read-only; to a copy, nobody writes.
            let refused = said[1] == EROFS || said[2] == EPERM;
            assert!(refused, "{by}: {said:?}");
        }
        container.done(&["delete", "--force"]);
        let after = fs::read(&container.program).expect("the runtime");
        assert!(before == after, "{by}: it was written to");
    }
}

/// The same by /proc, while `exec` is inside. Its pid file is a pipe here, so
/// that it stays as long as the enemy needs.
pub fn an_exec_into_a_hostile_container_gives_nothing_away() {
    needs::time();
    needs_root();
    let mut container = with_a_runtime_of_its_own();
    let before = fs::read(&container.program).expect("the runtime");
    let first = container.start(
        "(while [ ! -e /go ]; do sleep 0.02; done
          for it in /proc/[0-9]*; do
              case $(cat $it/comm) in 11-oci*) exec 3<$it/exe && echo held >/held; esac
          done
          while [ ! -e /write ]; do sleep 0.02; done
          echo hole 2>&1 >>/proc/self/fd/3; echo tried) >/tried 2>&1 &
         true",
    );
    let fifo = container.file(".second");
    mkfifo(&fifo, Mode::S_IRWXU).expect("mkfifo");
    let mut exec = container.runtime();
    exec.args(["exec", "--detach", "--pid-file", "second", &container.id]);
    exec.args(["/bin/sh", "-c", "true"]).stdin(Stdio::null());
    let mut exec = exec.stdout(Stdio::null()).spawn().expect("exec");
    // Both are the runtime's, until it has written the number.
    let pid = eventually("a process inside", || {
        let children = proc::children(exec.id() as i32);
        let capabilities = |pid| proc::status(pid, "CapEff");
        let is_ready = |it: &i32| capabilities(*it) == capabilities(first);
        children.into_iter().find(is_ready)
    });
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).expect("fds").flatten()
    {
        let Ok(leads) = fs::metadata(entry.path()) else { continue };
        let name = fs::read_link(entry.path());
        assert!(!leads.is_dir(), "inside, {name:?} of the host is open");
    }
    fs::write(container.file("rootfs/go"), "").expect("write");
    eventually("the runtime's program", || {
        container.file("rootfs/held").exists().then_some(())
    });
    let mut number = String::new();
    let mut reader = File::open(&fifo).expect("the pipe");
    reader.read_to_string(&mut number).expect("a number");
    assert_eq!(number, pid.to_string());
    assert!(exec.wait().expect("exec").success());
    fs::write(container.file("rootfs/write"), "").expect("write");
    eventually("an attempt", || {
        container.text("rootfs/tried").contains("tried").then_some(())
    });
    let tried = container.text("rootfs/tried");
    let after = fs::read(&container.program).expect("the runtime");
    assert!(before == after, "it was written to: {tried}");
    assert!(
        tried.contains("ead-only") || tried.contains("not permitted"),
        "{tried}"
    );
}

/// Whoever waits at the door has nothing open that leads out.
pub fn a_created_container_holds_no_directory_of_the_host() {
    needs_root();
    let container = Bundle::new();
    container.done(&["create", "--pid-file", "pid"]);
    let fds = fs::read_dir(format!("/proc/{}/fd", container.pid()));
    for entry in fds.expect("fds").flatten() {
        let leads = fs::metadata(entry.path()).expect("what it leads to");
        let name = fs::read_link(entry.path()).expect("a name");
        assert!(!leads.is_dir(), "{name:?} of the host is open");
    }
}

/// CVE-2025-52565, and those who are to take a terminal, and do not.
pub fn a_console_that_is_none_is_told_and_keeps_nobody_waiting() {
    needs::time();
    needs_root();
    let mut container = Bundle::new();
    container.set("/process/terminal", json!(true));
    let create = |container: &Bundle, socket: &str| {
        let output = container.command(&["create", "--console-socket", socket]);
        assert!(!output.status.success(), "{output:?}");
        let told = sentence(&output);
        container.assert_gone();
        told
    };
    fs::write(container.file("file"), "").expect("write");
    fs::create_dir(container.file("dir")).expect("mkdir");
    mkfifo(&container.file("fifo"), Mode::S_IRWXU).expect("mkfifo");
    for (socket, errno) in [
        ("nothing", "ENOENT"),
        ("file", "ECONNREFUSED"),
        ("dir", "ECONNREFUSED"),
        ("fifo", "ECONNREFUSED"),
        (&"x".repeat(300), "ENAMETOOLONG"),
    ] {
        let told = create(&container, socket);
        assert!(
            told.contains(errno) && told.contains("--console-socket"),
            "{told}"
        );
    }
    // Somebody who listens, and takes no call: there is room for some.
    let deaf = UnixListener::bind(container.file("deaf")).expect("a socket");
    rustix::net::listen(&deaf, 0).expect("listen");
    let waiting =
        std::os::unix::net::UnixStream::connect(container.file("deaf"));
    let told = create(&container, "deaf");
    assert!(told.contains("EAGAIN"), "{told}");
    drop((waiting, deaf));
    // Somebody who hangs up at once.
    let rude = UnixListener::bind(container.file("rude")).expect("a socket");
    let hanging_up = spawn(move || drop(rude.accept()));
    let output = container.command(&["create", "--console-socket", "rude"]);
    hanging_up.join().expect("a call");
    if !output.status.success() {
        assert!(sentence(&output).contains("EPIPE"), "{output:?}");
    }
    container.done(&["delete", "--force"]);
    // Sizes that no terminal has.
    let taking = UnixListener::bind(container.file("tty")).expect("a socket");
    container
        .set("/process/consoleSize", json!({ "height": 65_536, "width": 80 }));
    assert!(create(&container, "tty").contains("consoleSize"));
    container.set("/process/consoleSize", Value::Null);

    // Without a devpts, what makes terminals is what the root directory says.
    let mounts = container.config["mounts"].as_array().expect("a list");
    let others = mounts.iter().filter(|it| {
        !it["destination"].as_str().is_some_and(|it| it.starts_with("/dev"))
    });
    let others: Vec<_> = others.cloned().collect();
    container.set("/mounts", json!(others));
    let victim = container.file("victim");
    fs::write(&victim, "kept").expect("write");
    let dev = container.file("rootfs/dev");
    for kind in ["file", "fifo", "link", "null", "dir"] {
        let _ = fs::remove_dir_all(&dev);
        fs::create_dir_all(&dev).expect("mkdir");
        let ptmx = dev.join("ptmx");
        match kind {
            "file" => fs::write(&ptmx, "").expect("write"),
            "fifo" => mkfifo(&ptmx, Mode::S_IRWXU).expect("mkfifo"),
            "link" => symlink(&victim, &ptmx).expect("a link"),
            "null" => symlink("null", &ptmx).expect("a link"),
            _ => fs::create_dir(&ptmx).expect("mkdir"),
        }
        let told = create(&container, "tty");
        assert!(told.contains("ptmx"), "{kind}: {told}");
    }
    assert_eq!(container.text("victim"), "kept");
    drop(taking);

    // And /dev/console, as a link to a file of the host.
    let mut container = Bundle::new();
    container.set("/process/terminal", json!(true));
    let all = container.config["mounts"].as_array().expect("a list");
    let mut all: Vec<_> =
        all.iter().filter(|it| it["destination"] != "/dev").cloned().collect();
    all.retain(|it| {
        !it["destination"]
            .as_str()
            .is_some_and(|it| it.starts_with("/dev/") && it != "/dev/pts")
    });
    container.set("/mounts", json!(all));
    fs::write(container.file("victim"), "kept").expect("write");
    let dev = container.file("rootfs/dev");
    let _ = fs::remove_dir_all(&dev);
    fs::create_dir_all(dev.join("pts")).expect("mkdir");
    symlink(container.file("victim"), dev.join("console")).expect("a link");
    let _taking = UnixListener::bind(container.file("tty")).expect("a socket");
    container.sh("echo hole >/dev/console; true");
    let output = container.command(&["create", "--console-socket", "tty"]);
    match output.status.success() {
        true => drop(container.done(&["start"])),
        false => drop(sentence(&output)),
    }
    assert_eq!(container.text("victim"), "kept");
}

pub fn what_is_no_namespace_is_told() {
    needs_root();
    let mut container = Bundle::new();
    mkfifo(&container.file("fifo"), Mode::S_IRWXU).expect("mkfifo");
    fs::write(container.file("file"), "").expect("write");
    symlink("nowhere", container.file("link")).expect("a link");
    let mut gone = Command::new("true").spawn().expect("true");
    gone.wait().expect("its end");
    let path = |name: &str| container.file(name).display().to_string();
    let paths = [
        (path("fifo"), "no namespace"),
        (path("file"), "no namespace"),
        (path("rootfs"), "no namespace"),
        ("/dev/null".to_owned(), "no namespace"),
        ("/proc/self/exe".to_owned(), "no namespace"),
        (path("link"), "ENOENT"),
        (format!("/proc/{}/ns/net", gone.id()), "ENOENT"),
        ("\0".to_owned(), "NUL"),
        ("/proc/self/ns/uts".to_owned(), "another kind"),
    ];
    for (path, word) in paths {
        for kind in ["network", "pid"] {
            let before = container.config.clone();
            container.without(kind);
            container.push(
                "/linux/namespaces",
                json!({ "type": kind, "path": path }),
            );
            let output = container.command(&["create"]);
            assert!(!output.status.success(), "{path}");
            let told = sentence(&output);
            assert!(told.contains(word), "{path}: {told}");
            container.assert_gone();
            container.config = before;
        }
    }
}

pub fn a_namespace_of_another_user_is_told() {
    needs::ordinary_user();
    let mut container = Bundle::of(&["spec", "--rootless"], |root| {
        fs::create_dir(root).expect("mkdir");
    });
    container.push(
        "/linux/namespaces",
        json!({ "type": "network", "path": "/proc/1/ns/net" }),
    );
    let output = container.command(&["create"]);
    assert!(!output.status.success(), "{output:?}");
    let told = sentence(&output);
    assert!(
        told.contains("/proc/1/ns/net") && told.contains("EACCES"),
        "{told}"
    );
    container.assert_gone();
}

/// Between a look and a deed the first process dies, and its number is another
/// one's. In a PID namespace of this claim's own, where numbers can be chosen.
const AGAIN: &str = r#"
set -eu
echo 1 >/proc/sys/kernel/ns_last_pid 2>/dev/null || { echo no numbers; exit; }
once_gone() {
    kill -9 "$pid"
    while [ -e "/proc/$pid" ]; do /bin/true; done
    echo $((pid - 1)) >/proc/sys/kernel/ns_last_pid
    sleep 1000 3>&- & victim=$!
    [ "$victim" = "$pid" ] || { echo another number; exit; }
}
for round in exec kill all; do
    "$@" create --pid-file pid "$id" </dev/null >/dev/null 2>&1
    "$@" start "$id"
    pid=$(cat pid)
    case $round in
    exec)
        mkfifo process
        "$@" exec --process process "$id" </dev/null & runtime=$!
        exec 3>process
        once_gone
        echo '{"cwd": "/", "args": ["/bin/sh", "-c", "echo entered"], "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin:/usr/bin"]}' >&3
        exec 3>&-
        ;;
    kill)
        strace -qq -o calls -e trace=kill,pidfd_send_signal \
            -e inject=kill,pidfd_send_signal:delay_enter=700000 "$@" kill "$id" KILL & runtime=$!
        until grep -q '(' calls 2>/dev/null; do /bin/true; done
        once_gone
        ;;
    all)
        if [ "$("$@" ps --format json "$id")" = "[]" ]; then
            echo no cgroup
            "$@" delete --force "$id"
            continue
        fi
        strace -qq -o opened -e trace=kill,pidfd_open \
            -e inject=kill,pidfd_open:delay_enter=700000 "$@" kill --all "$id" TERM & runtime=$!
        until grep -q '(' opened 2>/dev/null; do /bin/true; done
        once_gone
        ;;
    esac
    wait "$runtime" || echo "$round refused"
    kill -0 "$victim" && echo "victim lives" || echo "victim is dead"
    kill -9 "$victim" || true
    wait "$victim" || true
    "$@" delete --force "$id"
done
"#;

pub fn a_number_that_came_back_is_nobody_to_enter_or_to_kill() {
    needs_root();
    needs::tracer();
    let mut container = Bundle::new();
    container.sh("exec sleep 1000");
    let runtime = container.runtime();
    let mut script = Command::new("unshare");
    script.args([
        "--fork",
        "--pid",
        "--mount-proc",
        "--kill-child",
        "sh",
        "-c",
        AGAIN,
        "sh",
    ]);
    script.arg(runtime.get_program()).args(runtime.get_args());
    script.env("id", &container.id).current_dir(container.path());
    let output = script.stdin(Stdio::null()).output().expect("unshare");
    let said = String::from_utf8_lossy(&output.stdout);
    if said.contains("no numbers") || said.contains("another number") {
        skip("needs numbers that can be chosen (ns_last_pid)");
    }
    let lines: Vec<_> = said.lines().collect();
    let refused =
        ["exec refused", "victim lives", "kill refused", "victim lives"];
    assert_eq!(lines[..4], refused, "{output:?}");
    // Of all that are there, this one is no more.
    let is_spared = matches!(lines[4..], ["victim lives" | "no cgroup"]);
    assert!(is_spared, "{output:?}");
}

/// A file that is too much, too deep, or no file.
pub fn a_bundle_out_of_all_proportion_is_told_and_costs_little() {
    needs_root();
    needs::real_processor();
    let mut container = Bundle::new();
    let file = container.file("config.json");
    // So much memory and processor time, and no more.
    let told = |container: &Bundle| {
        let runtime = container.runtime_as_it_is();
        let mut bound = Command::new("sh");
        bound.args(["-c", "ulimit -v 400000; ulimit -t 10; exec \"$@\"", "sh"]);
        bound.arg(runtime.get_program()).args(runtime.get_args());
        bound.args(["create", &container.id]).current_dir(container.path());
        // What should not be created would keep a pipe open.
        bound.stdin(Stdio::null()).stdout(Stdio::null());
        let output = bound
            .stderr(File::create(container.file("told")).expect("a file"))
            .output();
        let mut output = output.expect("the runtime");
        output.stderr = container.text("told").into();
        assert!(!output.status.success(), "{output:?}");
        let told = sentence(&output);
        container.assert_gone();
        told
    };
    let text = container.config.to_string();
    let with = |more: &str| format!("{{{more},{}", &text[1..]);
    let many = format!("\"x\":[{}0]", "0,".repeat(2_000_000 - 1000));
    let deep = format!(
        "\"annotations\":{}{}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let twice = r#""linux":{"maskedPaths":["/proc/kcore"]}"#;
    for (text, word) in [
        (with(twice), "duplicate field `linux`"),
        (with(&deep), "recursion limit"),
        (
            with(&many).replace("\"ociVersion\":\"1.", "\"ociVersion\":\"9."),
            "ociVersion",
        ),
        (text[..text.len() - 2].to_owned(), "EOF"),
        (format!("{text}{text}"), "trailing"),
        (String::new(), "EOF"),
        ("\u{feff}".to_owned() + &text, "expected value"),
        ("null".to_owned(), "config.json"),
        ("{}".to_owned(), "config.json"),
    ] {
        fs::write(&file, text).expect("write");
        let told = told(&container);
        assert!(told.contains(word), "{word}: {told}");
    }
    let huge = File::create(&file).expect("create");
    huge.set_len(100 << 20).expect("a hole");
    assert!(told(&container).contains("larger than"));
    fs::remove_file(&file).expect("rm");
    assert!(told(&container).contains("ENOENT"));
    mkfifo(&file, Mode::S_IRWXU).expect("mkfifo");
    assert!(told(&container).contains("not a file"));
    fs::remove_file(&file).expect("rm");
    // More mounts than a namespace has room for.
    let one = json!({ "destination": "/v", "type": "tmpfs" });
    let mounts = vec![one; 100_000];
    container.set("/mounts", json!(mounts));
    fs::write(&file, container.config.to_string()).expect("write");
    assert!(told(&container).contains("mounts"));
}

/// Values that no kernel takes, and that no program should stumble over.
pub fn what_can_t_be_is_told_in_a_sentence() {
    needs_root();
    needs::real_processor();
    let mut container = Bundle::new();
    let good = container.config.clone();
    let long = "x".repeat(200_000);
    let (most, least) = (json!(u64::MAX), json!(i64::MIN));
    let mount = |name: &str, value: Value| {
        let mut mount = json!({ "destination": "/v", "type": "tmpfs", "source": "s", "options": [] });
        mount[name] = value;
        json!([mount])
    };
    let device = |name: &str, value: Value| {
        let mut device =
            json!({ "path": "/dev/x", "type": "c", "major": 1, "minor": 3 });
        device[name] = value;
        json!([device])
    };
    let hook = |name: &str, value: Value| {
        let mut hook = json!({ "path": "/bin/true" });
        hook[name] = value;
        json!({ "createRuntime": [hook] })
    };
    let limit = |soft: u64, hard: u64| json!([{ "type": "RLIMIT_NOFILE", "soft": soft, "hard": hard }]);
    let cases = [
        ("/process/args", json!(["a\0b"])),
        ("/process/args", json!(["/bin/true", "a\0b"])),
        ("/process/args", json!(["/bin/true", long])),
        ("/process/args", json!([""])),
        ("/process/args", json!([long])),
        ("/process/env", json!(["A=\0"])),
        ("/process/env", json!(["=x"])),
        ("/process/env", json!([""])),
        ("/process/cwd", json!("/\0")),
        ("/process/cwd", json!(format!("/{long}"))),
        ("/process/user/uid", json!(-1)),
        ("/process/user/uid", json!(4_294_967_296_u64)),
        ("/process/user/uid", json!(4_294_967_295_u64)),
        ("/process/user/additionalGids", json!(vec![1; 70_000])),
        ("/process/user/umask", most.clone()),
        ("/process/oomScoreAdj", json!(5000)),
        ("/process/oomScoreAdj", least.clone()),
        ("/process/rlimits", limit(5, 4)),
        ("/process/rlimits", json!([limit(4, 5)[0], limit(4, 6)[0]])),
        ("/process/rlimits", limit(u64::MAX, u64::MAX - 1)),
        (
            "/process/rlimits",
            json!([{ "type": "RLIMIT_NONE", "soft": 1, "hard": 1 }]),
        ),
        ("/process/apparmorProfile", json!("a\0b")),
        ("/hostname", json!("")),
        ("/hostname", json!(long)),
        ("/hostname", json!("a\0b")),
        ("/domainname", json!(long)),
        ("/root/path", json!("root\0fs")),
        ("/root/path", json!(long)),
        ("/mounts", mount("destination", json!("/v\0w"))),
        ("/mounts", mount("destination", json!(format!("/{long}")))),
        ("/mounts", mount("source", json!("a\0b"))),
        ("/mounts", mount("type", json!("a\0b"))),
        ("/mounts", mount("type", json!("nothing"))),
        ("/mounts", mount("options", json!(["a\0b"]))),
        ("/mounts", mount("options", json!([long]))),
        ("/mounts", mount("options", json!(["size=-1"]))),
        ("/mounts", mount("options", json!(["remount"]))),
        ("/linux/devices", device("path", json!("/\0"))),
        ("/linux/devices", device("path", json!("/"))),
        ("/linux/devices", device("path", json!(format!("/dev/{long}")))),
        ("/linux/devices", device("major", json!(-1))),
        ("/linux/devices", device("minor", json!(1_u64 << 32))),
        ("/linux/devices", device("type", json!("a"))),
        ("/linux/cgroupsPath", json!("/../../tmp/climbs")),
        ("/linux/cgroupsPath", json!("a\0b")),
        ("/linux/cgroupsPath", json!(long)),
        ("/linux/maskedPaths", json!(["relative"])),
        ("/linux/maskedPaths", json!(["/a\0b"])),
        ("/linux/readonlyPaths", json!(["relative"])),
        ("/linux/readonlyPaths", json!([format!("/{long}")])),
        ("/linux/rootfsPropagation", json!("r")),
        ("/linux/sysctl", json!({ "net.ipv4.\0": "1" })),
        ("/linux/sysctl", json!({ "net.": "1" })),
        ("/linux/sysctl", json!({ "net/../vm/swappiness": "1" })),
        (
            "/linux/timeOffsets",
            json!({ "monotonic": { "secs": 1, "nanosecs": 1 } }),
        ),
        ("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_NONE" })),
        ("/hooks", hook("path", json!("relative"))),
        ("/hooks", hook("path", json!("/\0"))),
        ("/hooks", hook("args", json!(["a\0b"]))),
        ("/hooks", hook("env", json!(["A=\0"]))),
        ("/hooks", hook("timeout", json!(0))),
        ("/hooks", hook("timeout", least.clone())),
        ("/hooks", hook("timeout", most.clone())),
    ];
    let mut taken = vec![];
    for (pointer, value) in cases {
        container.config = good.clone();
        container.set(pointer, value.clone());
        let mut output = container.command(&["create"]);
        // Some things the kernel only says to whoever begins.
        if output.status.success() {
            output = container.command(&["start"]);
        }
        if output.status.success() {
            let what: String = value.to_string().chars().take(60).collect();
            taken.push(format!("{pointer}: {what}"));
        } else {
            sentence(&output);
        }
        container.done(&["delete", "--force"]);
        container.assert_gone();
    }
    assert!(taken.is_empty(), "{taken:#?}");
    // And what can be, though only just.
    container.config = good.clone();
    container.set("/hooks", hook("timeout", json!(i64::MAX)));
    container.sh("true");
    assert_eq!(container.run(), "");
}

/// Of limits in words that the kernel does not know.
pub fn limits_that_can_t_be_are_told() {
    needs::host_root();
    let mut container = Bundle::new();
    let is_v2 = needs::is_cgroup_v2();
    let cases = [
        json!({ "pids": { "limit": i64::MAX } }),
        json!({ "memory": { "limit": i64::MIN } }),
        json!({ "memory": { "limit": 1 << 30, "swap": 1 << 20 } }),
        json!({ "memory": { "swappiness": u64::MAX } }),
        json!({ "cpu": { "quota": i64::MIN, "period": u64::MAX } }),
        json!({ "cpu": { "quota": 1 } }),
        json!({ "cpu": { "period": 1 } }),
        json!({ "cpu": { "cpus": "a\0b" } }),
        json!({ "cpu": { "cpus": "0-99999999" } }),
        json!({ "cpu": { "idle": 7 } }),
        json!({ "hugepageLimits": [{ "pageSize": "../../../x", "limit": 1 }] }),
        json!({ "blockIO": { "throttleReadBpsDevice": [{ "major": -1, "minor": 0, "rate": 1 }] } }),
        json!({ "network": { "priorities": [{ "name": "\0", "priority": 1 }] } }),
    ];
    for resources in cases {
        container.set("/linux/resources", resources.clone());
        let output = container.command(&["create"]);
        // Of v1 alone, and v2 has no file for it.
        let resources = resources.to_string();
        let is_v1s = ["swappiness", "priorities"]
            .iter()
            .any(|it| resources.contains(it));
        match output.status.success() {
            true => assert!(is_v2 && is_v1s, "{resources} is taken"),
            false => drop(sentence(&output)),
        }
        container.done(&["delete", "--force"]);
        container.assert_gone();
    }
}

/// Who creates, starts, kills and deletes at once, by one name.
pub fn runtimes_that_race_at_one_id_leave_nothing() {
    needs_root();
    needs::real_processor();
    let mut container = Bundle::new();
    container.sh("exec sleep 1000");
    container.push("/process/env", json!(format!("MARK={}", container.id)));
    let runtime = container.runtime();
    let command = |words: &[&str]| {
        let mut it = Command::new(runtime.get_program());
        it.args(runtime.get_args()).args(words).arg(&container.id);
        it.current_dir(container.path()).stdin(Stdio::null());
        let err = container.file(&token());
        let file = File::create(&err).expect("a file");
        it.stdout(Stdio::null()).stderr(file);
        (it.spawn().expect("the runtime"), err)
    };
    let words: [&[&str]; 6] = [
        &["create"],
        &["start"],
        &["delete", "--force"],
        &["create"],
        &["kill"],
        &["state"],
    ];
    const KNOWN: [&str; 9] = [
        "already exists",
        "does not exist",
        "is not created yet",
        "cannot start",
        "container not running",
        "the first process died early",
        "ENOENT",
        "it died early",
        "whoever started us is gone",
    ];
    for round in 0..8 {
        // Each round begins with another one of them.
        let order =
            (0..words.len()).map(|it| words[(it + round) % words.len()]);
        let all: Vec<_> = order.map(|it| (it, command(it))).collect();
        for (words, (mut runtime, err)) in all {
            let status = runtime.wait().expect("its end");
            let told = fs::read(&err).expect("what it said");
            fs::remove_file(err).expect("rm");
            if status.success() {
                continue;
            }
            let output = Output { status, stdout: vec![], stderr: told };
            let told = sentence(&output);
            let known = KNOWN.iter().any(|it| told.contains(it));
            assert!(known, "{words:?}: {told}");
        }
        // At most one of them has it.
        let alive = proc::marked(&container.id);
        assert!(alive.len() <= 1, "{alive:?}");
        container.done(&["delete", "--force"]);
        eventually("the end of its processes", || {
            proc::marked(&container.id).is_empty().then_some(())
        });
        container.assert_gone();
    }
}

/// Whoever deletes waits for whoever creates: else a third one could create
/// anew, and there would be two by one name.
pub fn what_is_being_created_is_not_deleted() {
    needs_root();
    let mut container = Bundle::new();
    container.sh("exec sleep 1000");
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", "echo > begun; read word < go"] });
    container.set("/hooks", json!({ "createRuntime": [hook] }));
    mkfifo(&container.file("go"), Mode::S_IRWXU).expect("mkfifo");
    let mut create = container.runtime();
    create.args(["create", &container.id]).stdin(Stdio::null());
    create.stdout(Stdio::null()).stderr(Stdio::null());
    let mut create = create.spawn().expect("create");
    eventually("the hook", || container.file("begun").exists().then_some(()));
    let mut delete = container.runtime();
    delete.args(["delete", "--force", &container.id]);
    let mut delete = delete.spawn().expect("delete");
    // When it waits, it sleeps between its looks.
    let pid = delete.id() as i32;
    let naps = || {
        let word = "voluntary_ctxt_switches";
        proc::status(pid, word)?.parse::<u32>().ok()
    };
    let first = naps().unwrap_or(0);
    eventually("naps, or its end", || {
        let is_over = delete.try_wait().expect("delete").is_some();
        (is_over || naps().is_some_and(|it| it > first + 3)).then_some(())
    });
    assert!(delete.try_wait().expect("delete").is_none(), "it did not wait");
    fs::write(container.file("go"), "\n").expect("go");
    assert!(create.wait().expect("create").success());
    assert!(delete.wait().expect("delete").success());
    container.assert_gone();
}

/// All of its commands but `create`, which is another claim's.
pub fn a_command_killed_before_any_call_leaves_nothing_after_a_delete() {
    needs_root();
    needs::real_processor();
    let mut container = Bundle::new();
    container.push("/process/env", json!(format!("MARK={}", container.id)));
    container.sh("exec sleep 1000");
    let id = container.id.clone();
    let status = |options: &[&str], words: &[&str]| {
        let err = File::create(container.file("err")).expect("a file");
        let mut traced = traced(&container, options, words);
        traced.stdout(Stdio::null()).stderr(err).status().expect("strace")
    };
    let again = || {
        let _ = container.command(&["delete", "--force"]);
        container.done(&["create"]);
    };
    let commands: [(&[&str], bool); 4] = [
        (&["start", &id], false),
        (&["exec", &id, "/bin/sh", "-c", "true"], true),
        (&["delete", "--force", &id], true),
        (&["run", "--detach", &id], false),
    ];
    let mut killed = 0;
    for (words, is_started) in commands {
        let ready = || {
            match words[0] {
                "run" => drop(container.command(&["delete", "--force"])),
                _ => again(),
            }
            if is_started {
                container.done(&["start"]);
            }
        };
        ready();
        assert!(status(&[], words).success(), "{words:?}");
        let calls = container.text("calls");
        let names: Vec<_> = calls
            .lines()
            .filter_map(|it| Some(it.split_once('(')?.0))
            .collect();
        // The last ones, after the program is loaded: that is no part of ours.
        let from =
            names.iter().position(|it| *it == "sigaltstack").unwrap_or(0);
        let points = (from..names.len()).collect::<Vec<_>>();
        let most = 10;
        for index in 0..most.min(points.len()) {
            let at = points[index * points.len() / most.min(points.len())];
            let call = names[at];
            let nth = names[..=at].iter().filter(|it| **it == call).count();
            ready();
            let inject = format!("--inject={call}:signal=KILL:when={nth}");
            let status = status(&[&inject], words);
            killed += usize::from(status.code().is_none());
            // Whatever it is now, it has a state that can be told.
            let output = container.command(&["state"]);
            if !output.status.success() {
                sentence(&output);
            }
            container.done(&["delete", "--force"]);
            eventually("the end of its processes", || {
                proc::marked(&id).is_empty().then_some(())
            });
            container.assert_gone();
        }
    }
    println!("{killed} killed");
    assert!(killed > 20, "{killed}");
}

/// What `start` had begun when it was killed is told by the next one.
pub fn a_start_that_was_interrupted_is_told_by_the_next() {
    needs_root();
    let mut container = Bundle::new();
    container.sh("exec sleep 1000");
    container.done(&["create", "--pid-file", "pid"]);
    let kill = ["--inject=unlink:signal=KILL"];
    let status = traced(&container, &kill, &["start", &container.id]).status();
    let status = status.expect("strace");
    assert!(!status.success());
    let pid = container.pid();
    eventually("its command", || {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (name.trim() == "sleep" || name.trim() == "busybox").then_some(())
    });
    let told = container.refused(&["start"]);
    assert!(told.contains("interrupted"), "{told}");
    assert_eq!(container.status(), "running");
}

/// A story is told to whoever listens, and waits for nobody.
pub fn a_story_that_nobody_can_read_keeps_nobody_waiting() {
    needs_root();
    let mut container = Bundle::new();
    container.sh("echo done");
    let run = |story: &str| {
        let mut runtime = container.runtime();
        runtime.env("WORKSHOP_NARRATE", container.file(story));
        runtime.args(["run", &container.id]);
        runtime.stdin(Stdio::null()).output().expect("run")
    };
    fs::create_dir(container.file("dir")).expect("mkdir");
    fs::write(container.file("victim"), "kept").expect("write");
    symlink("victim", container.file("link")).expect("a link");
    mkfifo(&container.file("fifo"), Mode::S_IRWXU).expect("mkfifo");
    for (story, errno) in [
        ("dir", "EISDIR"),
        ("link", "ELOOP"),
        ("fifo", "ENXIO"),
        ("no/where", "ENOENT"),
    ] {
        let output = run(story);
        let told = sentence(&output);
        assert!(told.contains(errno), "{told}");
        assert!(told.contains("WORKSHOP_NARRATE"), "{told}");
        container.assert_gone();
    }
    assert_eq!(container.text("victim"), "kept");
    // One who has opened it, and does not read: there is room for so much.
    let mut deaf = File::options();
    deaf.read(true).write(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let mut deaf = deaf.open(container.file("fifo")).expect("the pipe");
    while deaf.write(&[0; 4096]).is_ok() {}
    for is_full in [true, false] {
        let output = run("fifo");
        assert!(output.stderr.is_empty(), "{output:?}");
        assert_eq!(output.stdout, b"done\n");
        let mut story = vec![];
        // To its end: EAGAIN, as there is one who could write.
        let _ = deaf.read_to_end(&mut story);
        let story = String::from_utf8_lossy(&story);
        assert_eq!(story.contains("clone("), !is_full, "{story}");
    }
    // And one more process tells its own.
    container.start("true");
    let mut exec = container.runtime();
    exec.env("WORKSHOP_NARRATE", container.file("story"));
    let output =
        exec.args(["exec", &container.id, "/bin/sh", "-c", "true"]).output();
    assert!(output.expect("exec").stderr.is_empty());
    assert!(
        container.text("story").contains("setns("),
        "{}",
        container.text("story")
    );
    container.done(&["delete", "--force"]);
    // The log is a pipe that nobody reads: the same words are on stderr.
    let _ = fs::remove_file(container.file("log.json"));
    mkfifo(&container.file("log.json"), Mode::S_IRWXU).expect("mkfifo");
    assert!(container.refused(&["state"]).contains("does not exist"));
}

/// Hooks are programs of others, too.
pub fn a_hook_that_is_a_bad_listener_keeps_nobody_waiting() {
    needs::time();
    needs_root();
    let mut container = Bundle::new();
    container.set("/annotations", json!({ "long": "x".repeat(200_000) }));
    let hook = |script: &str| json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] }]);
    // It does not read; it says more than a pipe has room for; it goes, and what it has started stays.
    let word = token();
    for script in
        ["true", "yes | head -c 300000 >&2", "sleep 1000 & echo $! >> left"]
    {
        container.set("/hooks", json!({ "createRuntime": hook(script) }));
        container.sh("echo done");
        assert_eq!(container.run(), "done", "{script}");
        let failing = format!("{script}; echo {word} >&2; exit 3");
        container.set("/hooks", json!({ "createRuntime": hook(&failing) }));
        let output = container.command(&["create"]);
        let told = sentence(&output);
        assert!(told.contains("exit status: 3"), "{told}");
    }
    for pid in container.text("left").split_whitespace() {
        let pid = Pid::from_raw(pid.parse().expect("a pid"));
        kill(pid, Signal::SIGKILL).expect("it is still there");
    }
}

/// All that `spec` writes is so in the container (the suite's "default").
pub fn a_container_is_what_its_file_says() {
    needs_root();
    let mut container = Bundle::new();
    let pid = container.start("true");
    let config = container.config.clone();
    let table = proc::mounts(pid);
    let mut after = 0;
    for mount in config["mounts"].as_array().expect("mounts") {
        let place = mount["destination"].as_str().expect("a place");
        let at = table.iter().position(|it| it.place == place);
        let at = at.unwrap_or_else(|| panic!("{place}: {table:#?}"));
        assert!(at >= after, "{place}: not in its order");
        after = at;
        let words = mount["options"].as_array().into_iter().flatten();
        for word in words.filter_map(Value::as_str) {
            if ["nosuid", "noexec", "nodev", "ro"].contains(&word) {
                let has = table[at].options.iter().any(|it| it == word);
                assert!(has, "{place}: {word}");
            }
        }
    }
    let root = format!("/proc/{pid}/root");
    for path in config["linux"]["maskedPaths"].as_array().expect("a list") {
        let path = format!("{root}{}", path.as_str().expect("a path"));
        let Ok(about) = fs::metadata(&path) else { continue };
        let is_null = about.rdev() == nix::sys::stat::makedev(1, 3);
        let is_empty = || fs::read_dir(&path).is_ok_and(|it| it.count() == 0);
        assert!(is_null || is_empty(), "{path}");
    }
    for path in config["linux"]["readonlyPaths"].as_array().expect("a list") {
        let path = path.as_str().expect("a path");
        if !Path::new(&format!("{root}{path}")).exists() {
            continue;
        }
        let mount = table.iter().rfind(|it| it.place == path);
        let mount = mount.unwrap_or_else(|| panic!("{path}: {table:#?}"));
        assert!(mount.options.iter().any(|it| it == "ro"), "{path}");
    }
    let limits =
        fs::read_to_string(format!("/proc/{pid}/limits")).expect("limits");
    let limit = &config["process"]["rlimits"][0];
    let line = limits
        .lines()
        .find(|it| it.starts_with("Max open files"))
        .expect("a line");
    let mut numbers = line.split_whitespace().skip(3);
    for name in ["soft", "hard"] {
        assert_eq!(numbers.next(), Some(&*limit[name].to_string()), "{line}");
    }
    let names = |set: &str| {
        config["process"]["capabilities"][set].as_array().expect("a set").len()
            as u32
    };
    for (set, word) in [
        ("effective", "CapEff"),
        ("bounding", "CapBnd"),
        ("permitted", "CapPrm"),
    ] {
        let mask = proc::status(pid, word).expect("a set");
        let mask = u64::from_str_radix(&mask, 16).expect("a mask");
        assert_eq!(mask.count_ones(), names(set), "{set}");
    }
    assert_eq!(proc::status(pid, "NoNewPrivs").as_deref(), Some("1"));
    let cwd = fs::read_link(format!("/proc/{pid}/cwd")).expect("a directory");
    let own = fs::read_link(format!("/proc/{pid}/root")).expect("a root");
    assert_eq!(cwd, own);
    let refused =
        container.command_with(&["exec"], &["/bin/sh", "-c", "echo > /new"]);
    let is_read_only = config["root"]["readonly"] == true;
    assert_eq!(refused.status.success(), !is_read_only);
}

/// What the suite asks of paths that can't be masked, and of `kill`.
pub fn paths_that_hide_nothing_are_refused() {
    needs_root();
    let mut container = Bundle::new();
    symlink("loop", container.file("rootfs/loop")).expect("a link");
    let good = container.config.clone();
    for name in ["maskedPaths", "readonlyPaths"] {
        for (path, word) in [("loop", "not absolute"), ("/loop", "ELOOP")] {
            container.config = good.clone();
            container.set(&format!("/linux/{name}"), json!([path]));
            let told = container.refused(&["create"]);
            assert!(told.contains(word), "{name}: {told}");
            container.assert_gone();
        }
    }
}

pub fn a_created_container_can_be_killed() {
    needs_root();
    let mut container = Bundle::new();
    container.sh("echo begun");
    container.done(&["create", "--pid-file", "pid"]);
    container.done_with(&["kill"], &["KILL"]);
    container.becomes("stopped");
    for command in ["kill", "start", "pause", "ps"] {
        if command != "ps" {
            container.refused(&[command]);
        }
        assert_eq!(container.status(), "stopped", "{command}");
    }
    assert_eq!(container.text("out"), "");
    container.done(&["delete"]);
    container.assert_gone();
}

pub fn a_user_namespace_by_path_is_joined() {
    needs_root();
    let map = fs::read_to_string("/proc/self/uid_map").expect("a map");
    let ids: u64 = map
        .lines()
        .filter_map(|it| it.split_whitespace().last()?.parse::<u64>().ok())
        .sum();
    if ids < 70_000 {
        skip("needs more ids than this user namespace has");
    }
    let mapping = json!([{ "containerID": 0, "hostID": 60_000, "size": 2000 }]);
    let of_others = |container: &mut Bundle| {
        container.push("/linux/namespaces", json!({ "type": "user" }));
        container.set("/linux/uidMappings", mapping.clone());
        container.set("/linux/gidMappings", mapping.clone());
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(container.path(), open).expect("chmod");
        let mut chown = Command::new("chown");
        chown.args(["-R", "60000:60000"]).arg(container.file("rootfs"));
        assert!(chown.status().expect("chown").success());
    };
    let mut first = Bundle::new();
    of_others(&mut first);
    let pid = first.start("true");
    let mut second = Bundle::new();
    of_others(&mut second);
    second.without("user");
    let path = format!("/proc/{pid}/ns/user");
    second.push("/linux/namespaces", json!({ "type": "user", "path": path }));
    let own = second.start("id -u");
    assert_eq!(proc::namespace(own, "user"), proc::namespace(pid, "user"));
    assert!(second.text("out").starts_with("0\n"), "{}", second.text("out"));
    assert_eq!(fs::metadata(format!("/proc/{own}")).expect("it").uid(), 60_000);
}
