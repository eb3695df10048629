//! From an image to a bundle.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use image::Config;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{Mode, umask};
use nix::unistd::geteuid;
use oci_spec::runtime::Spec;
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::emulate_default_handler;
use tempfile::TempDir;

use crate::command_line::Unpack;
use crate::lifecycle;

const PREFIX: &str = ".unpack-";

/// # Errors
/// When there is no image, or it is not what it says. Nothing is left then.
pub fn unpack(arguments: &Unpack) -> Result<()> {
    let Unpack { image, bundle } = arguments;
    let taken = || {
        format!("{}: is there already, choose another name", bundle.display())
    };
    ensure!(fs::symlink_metadata(bundle).is_err(), taken());
    let stop = Arc::new(AtomicUsize::new(0));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        flag::register_usize(signal, Arc::clone(&stop), signal as usize)?;
    }
    let above = bundle.parent().filter(|it| !it.as_os_str().is_empty());
    let above = above.unwrap_or(Path::new("."));
    // The image says who may read what, and not the caller's umask.
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    sweep(above);
    // Beside it, so that it comes in one step: half a bundle is nobody's.
    let (new, _lock) = locked(above)
        .with_context(|| format!("mkdir in {}", above.display()))?;
    let (root, mut left_out) = (new.path().join("rootfs"), vec![]);
    let made = image::unpack(image, &root, &stop, &mut left_out)
        .with_context(|| format!("image {}", image.display()));
    let signal = stop.load(Ordering::Relaxed);
    if made.is_err() && signal != 0 {
        new.close()?;
        return Ok(emulate_default_handler(signal.try_into()?)?);
    }
    let spec = described(&made?, &root)?;
    fs::write(new.path().join("config.json"), spec)?;
    fs::set_permissions(new.path(), Permissions::from_mode(0o755))?;
    fs::rename(new.path(), bundle).with_context(taken)?;
    let _ = new.keep();
    for what in left_out {
        let _ = writeln!(std::io::stderr(), "left out: {what}");
    }
    Ok(())
}

/// A directory of ours, and the lock that says that we are alive.
fn locked(above: &Path) -> Result<(TempDir, Flock<File>)> {
    loop {
        let new = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(above)?;
        // Somebody who sweeps may have been faster.
        let Ok(file) = File::open(new.path()) else { continue };
        let lock = Flock::lock(file, FlockArg::LockExclusive);
        let lock = lock.map_err(|(_, why)| why)?;
        if new.path().exists() {
            return Ok((new, lock));
        }
    }
}

/// Takes away what an unpack of ours has left that was killed.
fn sweep(above: &Path) {
    let theirs = fs::read_dir(above).into_iter().flatten().flatten();
    for entry in theirs {
        let is_one =
            entry.file_name().as_bytes().starts_with(PREFIX.as_bytes())
                && entry.metadata().is_ok_and(|it| {
                    it.is_dir() && it.uid() == geteuid().as_raw()
                });
        let Some(Ok(file)) = is_one.then(|| File::open(entry.path())) else {
            continue;
        };
        if let Ok(_dead) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// What `spec` writes, with what the image says of its command.
fn described(config: &Config, root: &Path) -> Result<String> {
    let for_a_user = !geteuid().is_root();
    let spec: Spec = lifecycle::described(for_a_user);
    let mut spec = serde_json::to_value(spec)?;
    let (uid, gid) = user(config.user.as_deref().unwrap_or_default(), root)?;
    let words = [&config.entrypoint, &config.cmd];
    let words: Vec<_> = words.into_iter().flatten().flatten().collect();
    let process = &mut spec["process"];
    if !words.is_empty() {
        process["args"] = json!(words);
    }
    if let Some(env) = config.env.as_ref().filter(|it| !it.is_empty()) {
        process["env"] = json!(env);
    }
    let cwd = config.working_dir.as_deref().filter(|it| !it.is_empty());
    process["cwd"] = json!(cwd.unwrap_or("/"));
    process["user"] = json!({ "uid": uid, "gid": gid });
    spec["root"] = json!({ "path": "rootfs" });
    Ok(serde_json::to_string_pretty(&spec)?)
}

/// `UID[:GID]`, each a number or a name of the image's.
fn user(text: &str, root: &Path) -> Result<(u32, u32)> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let found = match user.parse() {
        _ if user.is_empty() => (0, 0),
        Ok(uid) => (uid, 0),
        Err(_) => ids(user, &root.join("etc/passwd"), root)?,
    };
    let gid = match group.map(|it| (it, it.parse())) {
        None => found.1,
        Some((_, Ok(gid))) => gid,
        Some((name, Err(_))) => ids(name, &root.join("etc/group"), root)?.0,
    };
    Ok((found.0, gid))
}

/// The third and fourth field of a name's line.
fn ids(name: &str, file: &Path, root: &Path) -> Result<(u32, u32)> {
    // The image's own file, not one of the host's that a link leads to.
    let real = fs::canonicalize(file).unwrap_or_default();
    let is_inside = fs::canonicalize(root).is_ok_and(|it| real.starts_with(it));
    ensure!(is_inside, "the image's user {name:?} is in no file of the image");
    for line in fs::read_to_string(&real)?.lines() {
        let fields: Vec<_> = line.split(':').collect();
        if let [first, _, id, rest @ ..] = &fields[..] {
            if *first == name {
                let other = rest.first().and_then(|it| it.parse().ok());
                return Ok((id.parse()?, other.unwrap_or(0)));
            }
        }
    }
    bail!("the image's user or group {name:?} is not in its {}", file.display())
}
