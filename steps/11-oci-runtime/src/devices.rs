//! The devices of a config.json, and its settings of the kernel.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use mount_namespace::{Mount, NewRoot, Target, dev};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::mount::MsFlags;
use nix::sys::stat::{Mode, SFlag, makedev, mknodat};
use nix::unistd::{Gid, Uid, fchownat};
use oci_spec::runtime::{
    Linux, LinuxDevice, LinuxDeviceType as Type, LinuxNamespaceType as Kind,
};
use runtime::{Failure, Inside};

/// Those of every container, and those that are asked for.
pub fn make(
    container: &Inside,
    root: &NewRoot,
    asked: &[LinuxDevice],
) -> Result<()> {
    let Target::Place(own, _) = root.system_directory("dev")? else {
        bail!("no directory for devices");
    };
    if root.existing(Path::new("/dev/null")).is_err() {
        dev::nodes(container, &own)?;
    }
    dev::links(container, &own)?;
    asked.iter().try_for_each(|device| {
        one(container, root, device).with_context(|| {
            format!("linux.devices: {}", device.path().display())
        })
    })
}

fn one(container: &Inside, root: &NewRoot, device: &LinuxDevice) -> Result<()> {
    let path = device.path();
    let name = path.file_name().context("a device has a name")?;
    if root.existing(path).is_ok() {
        return Ok(());
    }
    let parent = path.parent().context("a device has a directory")?;
    let Target::Place(parent, _) = root.place(parent, true)? else {
        bail!("no directory for it");
    };
    let kind = match device.typ() {
        Type::B => SFlag::S_IFBLK,
        Type::P => SFlag::S_IFIFO,
        Type::C | Type::U => SFlag::S_IFCHR,
        Type::A => bail!("its type is one of b, c, u and p"),
    };
    let number = |it: i64| u32::try_from(it).context("a number of a device");
    let (major, minor) = (number(device.major())?, number(device.minor())?);
    // As it is said: there is no umask yet, and a name is not looked up twice.
    let mode = Mode::from_bits_truncate(device.file_mode().unwrap_or(0o666));
    let made = container.call(
        format!(
            "mknod({path:?}, {kind:?} | {:o}, makedev({major}, {minor}))",
            mode.bits()
        ),
        "a device that was asked for",
        "",
        || {
            mknodat(
                &parent,
                name,
                kind,
                mode,
                makedev(major.into(), minor.into()),
            )
        },
    );
    if let Err(Failure::Call { errno: Errno::EPERM, .. }) = made {
        // In a user namespace: the host's own, where it has one of that name.
        let place = root.place(path, false)?;
        return Ok(Mount::bind(path, MsFlags::empty()).make(
            container,
            place,
            "the host's node",
        )?);
    }
    made?;
    let (uid, gid) = (device.uid().unwrap_or(0), device.gid().unwrap_or(0));
    fchownat(
        &parent,
        name,
        Some(Uid::from_raw(uid)),
        Some(Gid::from_raw(gid)),
        AtFlags::AT_SYMLINK_NOFOLLOW,
    )
    .context("fchownat()")
}

/// Settings that are those of a namespace which is not the host's.
///
/// # Errors
/// When one is the machine's.
pub fn checked(
    sysctl: HashMap<String, String>,
    linux: &Linux,
) -> Result<Vec<(String, String)>> {
    let all = linux.namespaces();
    let has = |kind| all.iter().flatten().any(|it| it.typ() == kind);
    const OF_IPC: [&str; 8] = [
        "msgmax",
        "msgmnb",
        "msgmni",
        "sem",
        "shmall",
        "shmmax",
        "shmmni",
        "shm_rmid_forced",
    ];
    for name in sysctl.keys() {
        let plain = name.replace('/', ".");
        let kind = match plain.split_once('.') {
            Some(("net", _)) => Some(Kind::Network),
            Some(("fs", rest)) if rest.starts_with("mqueue.") => {
                Some(Kind::Ipc)
            }
            Some(("kernel", it)) if OF_IPC.contains(&it) => Some(Kind::Ipc),
            Some(("kernel", "domainname" | "hostname")) => Some(Kind::Uts),
            _ => None,
        };
        ensure!(
            kind.is_some_and(has) && !plain.contains(".."),
            "linux.sysctl: {name} is not in a separate kernel namespace: it would be the machine's"
        );
    }
    Ok(sysctl.into_iter().collect())
}
