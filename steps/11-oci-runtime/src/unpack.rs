//! From an image to a bundle.
//!
//! Its root directory is an overlay: the layers lie in the store, which all
//! bundles share, and what the container writes goes to the bundle. config.json
//! says so, in a mount over `/`, as any other mount.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use image::{Image, become_like};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{SigSet, raise};
use nix::sys::stat::{Mode, umask};
use nix::unistd::geteuid;
use oci_spec::runtime::Spec;
use overlayfs::layer::{escape, must_fit};
use runtime::{Failure, Narrator, Signals};
use serde_json::{Value, json};
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
    let signals = Signals::block().context("signalfd()")?;
    let narrator = Narrator::new(true, false, &signals)?.of_notes();
    let name = bundle.file_name().with_context(taken)?;
    let above = bundle.parent().filter(|it| !it.as_os_str().is_empty());
    let above = fs::canonicalize(above.unwrap_or(Path::new(".")))
        .with_context(|| format!("{}: a place for it", bundle.display()))?;
    // The image says who may read what, and not the caller's umask.
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    sweep(&above);
    // Beside it, so that it comes in one step: half a bundle is nobody's.
    let (new, _lock) = locked(&above)
        .with_context(|| format!("mkdir in {}", above.display()))?;
    let made = Image::open(image, None, &narrator)
        .with_context(|| format!("image {}", image.display()))
        .and_then(|it| fill(new.path(), &above.join(name), &it).map(|()| it));
    let made = match (made, narrator.interrupted()) {
        (Err(_), Err(Failure::Interrupted(signal))) => {
            new.close()?;
            SigSet::all().thread_unblock()?;
            return Ok(raise(signal)?);
        }
        (made, _) => made?,
    };
    fs::rename(new.path(), bundle).with_context(taken)?;
    let _ = new.keep();
    for what in made.layers.left_out()? {
        let _ = writeln!(std::io::stderr(), "left out: {what}");
    }
    Ok(())
}

/// What is in a bundle, while it has another name.
fn fill(new: &Path, bundle: &Path, image: &Image) -> Result<()> {
    for name in ["rootfs", "layers", "upper", "work"] {
        fs::create_dir(new.join(name)).context("mkdir")?;
    }
    for (number, tree) in image.layers.trees().enumerate() {
        let link = new.join("layers").join((number + 1).to_string());
        symlink(tree, link).context("symlink")?;
    }
    image.layers.kept_for(&bundle.join("layers"))?;
    // Of an overlay's directories, the topmost says what they are.
    if let Some((_, root)) = image.layers.find(Path::new("")) {
        become_like(&new.join("upper"), &root)?;
    }
    fs::write(new.join("config.json"), described(image, bundle)?)?;
    fs::set_permissions(new, Permissions::from_mode(0o755))?;
    Ok(())
}

/// The mount that makes the root directory.
fn overlay(image: &Image, bundle: &Path) -> Result<Value> {
    let place = |name: PathBuf| {
        let name = escape(&bundle.join(name)).into_string();
        name.map_err(|it| anyhow::anyhow!("{it:?}: config.json has UTF-8"))
    };
    let count = image.layers.trees().count();
    let from_the_top = (1..=count).rev();
    let names = from_the_top.map(|it| place(format!("layers/{it}").into()));
    let names = names.collect::<Result<Vec<_>>>()?;
    let options = [
        format!("lowerdir={}", names.join(":")),
        format!("upperdir={}", place("upper".into())?),
        format!("workdir={}", place("work".into())?),
        "userxattr".to_owned(),
    ];
    must_fit(count, options.join(",").len())?;
    Ok(json!({
        "destination": "/", "type": "overlay", "source": "overlay",
        "options": options,
    }))
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
fn described(image: &Image, bundle: &Path) -> Result<String> {
    let config = &image.config;
    let for_a_user = !geteuid().is_root();
    let spec: Spec = lifecycle::described(for_a_user);
    let mut spec = serde_json::to_value(spec)?;
    let (uid, gid) = image.user()?;
    let words = [&config.entrypoint, &config.cmd];
    let words: Vec<_> = words.into_iter().flatten().flatten().collect();
    let process = &mut spec["process"];
    if !words.is_empty() {
        process["args"] = json!(words);
    }
    if let Some(env) = config.env.as_ref().filter(|it| !it.is_empty()) {
        process["env"] = json!(env);
    }
    process["cwd"] = json!(config.working_dir().unwrap_or("/"));
    process["user"] = json!({ "uid": uid, "gid": gid });
    spec["root"] = json!({ "path": "rootfs" });
    let mounts = spec["mounts"].as_array_mut().context("no mounts")?;
    // The first: it would hide those before it.
    mounts.insert(0, overlay(image, bundle)?);
    Ok(serde_json::to_string_pretty(&spec)?)
}
