//! /dev: the few devices that a program may expect, and none of the machine's.

use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::Result;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::mount::MsFlags;
use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknodat};
use nix::unistd::symlinkat;
use runtime::{Because, Failure, Inside, shell};

use crate::mount::{Mount, Target};
use crate::new_root::NewRoot;

type Node = (&'static str, u64, u64, &'static str);

/// Name, major and minor number, and what it is for (the kernel's Documentation/admin-guide/devices.txt).
const NODES: [Node; 6] = [
    ("null", 1, 3, "swallows what is written"),
    ("zero", 1, 5, "endless zeros"),
    ("full", 1, 7, "a full disk (ENOSPC)"),
    ("random", 1, 8, "random bytes"),
    ("urandom", 1, 9, "random bytes"),
    ("tty", 5, 0, "our controlling terminal"),
];

const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Fills /dev of the new root.
///
/// # Errors
/// As mount(2) and mknod(2).
pub fn populate(container: &Inside, root: &NewRoot) -> Result<()> {
    let place = root.system_directory("dev")?;
    let tmpfs =
        |data: &'static str| Mount::new("tmpfs", MsFlags::MS_NOSUID, data);
    tmpfs("mode=755,size=64k").make(
        container,
        place,
        "devices of our choice, gone with the namespace",
    )?;
    let dev = root.existing(Path::new("dev"))?;
    nodes(container, &dev)?;
    links(container, &dev)?;
    for name in ["pts", "shm", "mqueue"] {
        mkdirat(&dev, name, Mode::from_bits_truncate(0o755)).map_err(
            |errno| Failure::of(format!("mkdir(\"dev/{name}\")"), errno),
        )?;
    }
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let devpts = "newinstance,ptmxmode=0666,mode=0620";
    Mount::new("devpts", quiet, devpts).after(["mkdir", "dev/pts"]).make(
        container,
        "dev/pts",
        "terminals of our own",
    )?;
    tmpfs("mode=1777,size=64m").after(["mkdir", "dev/shm"]).make(
        container,
        "dev/shm",
        "POSIX shared memory (shm_overview(7))",
    )?;
    let quiet = quiet | MsFlags::MS_NODEV;
    Mount::new("mqueue", quiet, "").after(["mkdir", "dev/mqueue"]).make(
        container,
        "dev/mqueue",
        "POSIX message queues of our IPC namespace",
    )?;
    console(container, &dev)
}

/// The devices of every container, in a /dev that has none.
///
/// # Errors
/// As mknod(2).
pub fn nodes(container: &Inside, dev: &OwnedFd) -> Result<()> {
    let mut refused = false;
    for node in NODES {
        refused = refused || !make(container, dev, node)?;
        if refused {
            show_the_hosts(container, dev, node)?;
        }
    }
    Ok(())
}

/// Other names of descriptors and terminals.
///
/// # Errors
/// As symlink(2); one that is there already stays.
pub fn links(container: &Inside, dev: &OwnedFd) -> Result<()> {
    for (name, target) in LINKS {
        let link = format!("dev/{name}");
        let made = container.call(
            format!("symlink({target:?}, {link:?})"),
            "a name that programs expect",
            shell(["ln", "-s", target, &link]),
            || symlinkat(target, dev, name),
        );
        match made {
            Err(Failure::Call { errno: Errno::EEXIST, .. }) => {}
            made => made?,
        }
    }
    Ok(())
}

/// A device is its two numbers: whoever may make a node has the device. A user
/// namespace may not: `false` when the kernel says so.
fn make(container: &Inside, dev: &OwnedFd, node: Node) -> Result<bool> {
    let (name, major, minor, why) = node;
    let path = format!("dev/{name}");
    let (device, mode) =
        (makedev(major, minor), Mode::from_bits_truncate(0o666));
    let made = container.call(
        format!("mknod({path:?}, S_IFCHR | 0666, makedev({major}, {minor}))"),
        why,
        format!("mknod -m 666 {path} c {major} {minor}"),
        || mknodat(dev, name, SFlag::S_IFCHR, mode, device),
    );
    match made {
        Err(Failure::Call { errno: Errno::EPERM, .. }) => {
            container.note(
                "no mknod in a user namespace (EPERM): the host's own nodes instead",
            );
            Ok(false)
        }
        made => Ok(made.map(|()| true)?),
    }
}

fn show_the_hosts(container: &Inside, dev: &OwnedFd, node: Node) -> Result<()> {
    let (name, _, _, why) = node;
    let host = Path::new("/dev").join(name);
    bind_over_new_file(container, dev, name, &host, why)
}

/// The terminal that the runtime made lives in the host's /dev/pts. Programs
/// that ask for their terminal's name (ttyname(3)) find it here.
fn console(container: &Inside, dev: &OwnedFd) -> Result<()> {
    match &container.terminal {
        Some(terminal) => bind_over_new_file(
            container,
            dev,
            "console",
            terminal,
            "so that ttyname(3) finds the terminal",
        ),
        None => Ok(()),
    }
}

/// The device by which programs bring a network of their own (a VPN, pasta), if
/// the host has it.
///
/// # Errors
/// As mkdir(2) and mount(2).
pub fn tun(container: &Inside, root: &NewRoot) -> Result<()> {
    let (source, why) =
        (Path::new("/dev/net/tun"), "for programs that are network devices");
    if !source.exists() {
        return Ok(());
    }
    let dev = root.existing(Path::new("dev"))?;
    mkdirat(&dev, "net", Mode::from_bits_truncate(0o755))
        .map_err(|errno| Failure::of("mkdir(\"dev/net\")", errno))?;
    bind_over_new_file(container, &dev, "net/tun", source, why)
}

/// Shows what `source` is at a place where nothing is yet.
fn bind_over_new_file(
    container: &Inside,
    dev: &OwnedFd,
    name: &str,
    source: &Path,
    why: &str,
) -> Result<()> {
    let path = format!("dev/{name}");
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    let place = openat(dev, name, flags, Mode::from_bits_truncate(0o600))
        .map_err(|errno| {
            Failure::of(format!("open({path:?}, O_CREAT)"), errno)
        })?;
    let mount = Mount::bind(source, MsFlags::empty()).after(["touch", &path]);
    let place = Target::Place(place, path.into());
    mount.make(container, place, why).because(
        Errno::ENOENT,
        "the host has none, or --rootfs is the host's own /, whose /dev \
             is covered by now",
    )?;
    Ok(())
}
