//! The host's files, as the playground sees them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use overlayfs::host_view::HostView;
use runtime::Inside;
use runtime::helper_program::find;
use user_namespace::Mapping;

use crate::environment::Caller;
use crate::etc;

/// A tmpfs over the host's own, for all that is written.
pub const STAGE: &str = "/dev/shm";
/// Where the view is put together: the playground's root.
pub const VIEW: &str = "/dev/shm/view";

/// These are never the host's: they get a file system of their own.
const REPLACED: &str =
    "/proc /sys /dev /run /tmp /snap /var/tmp /var/lib/snapd";
/// And in these a checkout may lie all the same.
const MAY_HOLD_A_CHECKOUT: [&str; 3] = ["/run", "/tmp", "/var/tmp"];
/// Directories of built files: readable is enough.
const BUILT: [&str; 3] = [".git/objects", "target", "node_modules"];

/// Makes it. Returns the home of root inside.
pub fn build(
    caller: &Caller,
    inside: &Inside,
    ids: &Mapping,
    rootless: bool,
) -> Result<PathBuf> {
    let Caller { checkout, programs, own, home, .. } = caller;
    let replaced = REPLACED.split(' ').collect();
    let held = &MAY_HOLD_A_CHECKOUT;
    let mut view = HostView::new(inside, STAGE, ids, rootless, replaced, held)?;
    // With them, the learner inside makes user namespaces.
    view.setuid =
        ["newuidmap", "newgidmap"].into_iter().flat_map(find).collect();
    for name in ["dev", "proc", "run", "sys", "tmp"] {
        view.directory(&view.path(name), 0o755, 0)?;
    }
    view.tmpfs("512m", "1777", &view.path("/tmp"))?;
    view.tmpfs("512m", "755", &view.path("/run"))?;
    view.show(Path::new("/"))?;
    let var_tmp = view.path("/var/tmp");
    if view.path("/var").is_dir() {
        if !var_tmp.is_dir() {
            view.directory(&var_tmp, 0o755, 0)?;
        }
        view.tmpfs("512m", "1777", &var_tmp)?;
    }
    for directory in [checkout, programs, own.parent().unwrap_or(programs)] {
        view.bring_along(directory)?;
    }
    if !rootless {
        give_checkout(&view, checkout, programs);
    }
    let is_ours = !view.is_of_others() && view.path(home).is_dir();
    let home = if is_ours { home } else { Path::new("/root") };
    etc::write(&view, programs, home)?;
    Ok(home.to_owned())
}

/// The way to it, too: a playground in this one copies that up, and only what
/// has an owner can be.
fn give_checkout(view: &HostView, checkout: &Path, programs: &Path) {
    for above in checkout.ancestors().skip(1).filter(|it| it.parent().is_some())
    {
        let _ = view.give(&view.path(above), 0);
    }
    view.give_all(&view.path(checkout), &BUILT);
    for program in fs::read_dir(view.path(programs)).into_iter().flatten() {
        let _ = program.map(|program| view.give(&program.path(), 0));
    }
}
