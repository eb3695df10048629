//! Step 05, and what belongs to the whole machine: only in the lab, whose
//! machine is thrown away. What an attack has changed is put right all the
//! same, so that the next column begins where this one did.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::kmod::{DeleteModuleFlags, delete_module};
use nix::libc::SYS_kexec_load;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};
use tempfile::TempDir;
use testbed::token;

use crate::places::{
    Impossible, Place, Root, Verdict, copy_program, directory, impossible,
    judge, need_command, run, stdout, text,
};
use crate::users::need_the_machines_root;

const CORE_PATTERN: &str = "/proc/sys/kernel/core_pattern";

pub fn core_pattern(place: Place) -> Verdict {
    need_the_machines_root()?;
    let before = fs::read(CORE_PATTERN).expect("read core_pattern");
    let pattern = token();
    let output = place.attack("core-pattern", &[&pattern]);
    let now = fs::read_to_string(CORE_PATTERN).expect("read core_pattern");
    fs::write(CORE_PATTERN, before).expect("restore core_pattern");
    judge(&output, now.trim() == pattern)
}

/// Seen in the kernel's log, from which only new records are read.
pub fn sysrq(place: Place) -> Verdict {
    need_the_machines_root()?;
    let log = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open("/dev/kmsg");
    let mut log = log.expect("open /dev/kmsg");
    log.seek(SeekFrom::End(0)).expect("the log's end");
    let output = place.attack("sysrq", &[]);
    judge(&output, says_help(&mut log))
}

fn says_help(log: &mut File) -> bool {
    let mut record = [0; 8192];
    while let Ok(length) = log.read(&mut record) {
        if String::from_utf8_lossy(&record[..length]).contains("sysrq: HELP") {
            return true;
        }
    }
    false
}

/// The clock that nobody can set says how much later it should be.
pub fn set_clock(place: Place) -> Verdict {
    const FORWARD: i64 = 30;
    need_the_machines_root()?;
    let now = |clock| clock_gettime(clock).expect("a clock");
    let start = || now(ClockId::CLOCK_REALTIME) - now(ClockId::CLOCK_BOOTTIME);
    let before = start();
    let output = place.attack("set-clock", &[&FORWARD.to_string()]);
    let moved = start() - before;
    let seen = moved > TimeSpec::new(FORWARD / 2, 0);
    if seen {
        let right = before + now(ClockId::CLOCK_BOOTTIME);
        clock_settime(ClockId::CLOCK_REALTIME, right).expect("set the clock");
    }
    judge(&output, seen)
}

/// The host's table names the file, wherever it is.
pub fn swapon(place: Place) -> Verdict {
    need_the_machines_root()?;
    need_command("mkswap")?;
    need_command("swapoff")?;
    // On newer systems, /tmp lies in memory: nothing is swapped to a file there.
    let on_a_disk = TempDir::new_in("/var/tmp").expect("a directory");
    let root = root_with_perl(on_a_disk)?;
    let name = token();
    let file = root.path().join(&name);
    make_swap(&file);
    let output = match place.step {
        0 => place.attack("swapon", &[&text(&file)]),
        _ => root.command(place, "swapon", &[&format!("/{name}")]).output(),
    };
    let table = fs::read_to_string("/proc/swaps").expect("read /proc/swaps");
    let seen = table.contains(&name);
    if seen {
        succeed("swapoff", [&file]);
    }
    judge(&output, seen)
}

/// Written in full: the kernel swaps to no file that has holes.
fn make_swap(file: &Path) {
    fs::write(file, vec![0; 1 << 20]).expect("write a file");
    let owners_only = Permissions::from_mode(0o600);
    fs::set_permissions(file, owners_only).expect("close it to others");
    succeed("mkswap", [file]);
}

pub fn kexec(place: Place) -> Verdict {
    need_the_machines_root()?;
    let root = root_with_perl(directory())?;
    assert!(!is_a_kernel_ready(), "a kernel is ready before the attack");
    let output = match place.step {
        0 => place.attack("kexec", &[]),
        _ => root.command(place, "kexec", &[]).output(),
    };
    let seen = is_a_kernel_ready();
    if seen {
        // None in its place: no segments.
        let none = format!("syscall({SYS_kexec_load}, 0, 0, 0, 0)");
        succeed("perl", ["-e", &none]);
        assert!(!is_a_kernel_ready(), "it can't be taken away");
    }
    judge(&output, seen)
}

fn is_a_kernel_ready() -> bool {
    let said = fs::read_to_string("/sys/kernel/kexec_loaded");
    said.expect("read kexec_loaded").trim() == "1"
}

/// The host's, and the libraries that it needs.
fn root_with_perl(place: TempDir) -> Result<Root, Impossible> {
    let perl = need_command("perl")?;
    let root = Root::in_a(place);
    let libraries = succeed("ldd", [&perl]);
    let libraries = libraries.split_whitespace().map(Path::new);
    for file in libraries.filter(|word| word.is_absolute()) {
        let to = root.path().join(file.strip_prefix("/").expect("absolute"));
        let above = to.parent().expect("a directory");
        fs::create_dir_all(above).expect("a directory for a library");
        copy_program(file, &to);
    }
    copy_program(&perl, &root.path().join("bin/perl"));
    Ok(root)
}

fn succeed<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
) -> String {
    let output = run(program, arguments);
    assert!(output.status.success(), "{program}: {output:?}");
    stdout(&output)
}

/// Modules that do nothing until somebody asks for a device of theirs.
const HARMLESS: [&str; 3] = ["dummy", "ifb", "nlmon"];

pub fn load_module(place: Place) -> Verdict {
    need_the_machines_root()?;
    need_command("modinfo")?;
    let Some((name, file)) = HARMLESS.iter().find_map(|name| {
        let found = run("modinfo", ["-n", name]);
        let path = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        let usable = found.status.success() && !is_loaded(name);
        usable.then(|| (*name, PathBuf::from(path)))
    }) else {
        return impossible("this kernel has no harmless module to spare");
    };
    let output = if place.step == 0 {
        let place_for_it = directory();
        let copy = place_for_it.path().join("module.ko");
        unpack(&file, &copy);
        place.attack("load-module", &[&text(copy)])
    } else {
        let root = Root::new();
        unpack(&file, &root.path().join("module.ko"));
        root.command(place, "load-module", &["/module.ko"]).output()
    };
    let seen = is_loaded(name);
    if seen {
        let name = std::ffi::CString::new(name).expect("a name");
        delete_module(&name, DeleteModuleFlags::empty()).expect("unload it");
    }
    judge(&output, seen)
}

fn is_loaded(name: &str) -> bool {
    Path::new("/sys/module").join(name).exists()
}

fn unpack(module: &Path, to: &Path) {
    if module.extension().is_some_and(|end| end == "xz") {
        let unpacked = run("busybox", [Path::new("xzcat"), module]);
        assert!(unpacked.status.success(), "{unpacked:?}");
        fs::write(to, unpacked.stdout).expect("write the module");
    } else {
        fs::copy(module, to).expect("copy the module");
    }
}
