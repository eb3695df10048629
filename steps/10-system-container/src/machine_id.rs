//! The id of a machine (machine-id(5)): no two have the same.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, bail};
use mount_namespace::NewRoot;
use nix::errno::Errno;
use runtime::{Failure, Inside, Variable};

use crate::MACHINE_ID;

/// The root directory's own, or a new one.
pub fn give_one(container: &mut Inside, root: &NewRoot) -> Result<()> {
    let there = own(root);
    let id = match &there {
        Some(id) if Some(id) == hosts().as_ref() => bail!(
            "{MACHINE_ID} of the root directory is that of this machine: it \
             is taken; empty the file, and each container gets one of its own"
        ),
        Some(id) => id.clone(),
        None => random()?,
    };
    let uuid = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]];
    let uuid = uuid.join("-");
    container.variables.push(Variable::new("container_uuid", uuid));
    if there.is_some() {
        return Ok(());
    }
    let target = root.place(MACHINE_ID.as_ref(), false)?;
    let place = target.path();
    if !fs::metadata(&place).is_ok_and(|it| it.is_file()) {
        bail!("{MACHINE_ID} of the root directory is no file: take it away");
    }
    let line = format!("{id}\n");
    let written = container.routine(|| {
        container.call(
            format!("write({:?}, {id:?})", &MACHINE_ID[1..]),
            "its own",
            format!("echo {id} > {}", &MACHINE_ID[1..]),
            || fs::write(&place, &line),
        )
    });
    match (written, &container.scratch) {
        // It belongs to nobody that is known inside: then one is laid over it.
        (
            Err(Failure::Call {
                errno: Errno::EACCES | Errno::EOVERFLOW, ..
            }),
            Some(scratch),
        ) => {
            let file = scratch.join("machine-id");
            fs::write(&file, &line).context("write(machine-id)")?;
            container.files.push((file, MACHINE_ID.into()));
        }
        (written, _) => written?,
    }
    Ok(())
}

/// Whatever lies there: a pipe must not make us wait, nor a large file.
fn own(root: &NewRoot) -> Option<String> {
    let place = root.existing(MACHINE_ID.as_ref()).ok()?;
    let place = format!("/proc/self/fd/{}", place.as_raw_fd());
    let is_file = fs::metadata(&place).is_ok_and(|it| it.is_file());
    is_file.then(|| read(&place)).flatten()
}

fn hosts() -> Option<String> {
    read(MACHINE_ID)
}

/// 32 digits, or nothing that counts.
fn read(path: &str) -> Option<String> {
    let mut id = String::new();
    File::open(path).ok()?.take(64).read_to_string(&mut id).ok()?;
    let id = id.trim();
    let is_one = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    is_one.then(|| id.to_owned())
}

fn random() -> Result<String> {
    const SOURCE: &str = "/proc/sys/kernel/random/uuid";
    let uuid = fs::read_to_string(SOURCE).context(SOURCE)?;
    Ok(uuid.trim().replace('-', ""))
}
