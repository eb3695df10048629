//! A bundle: a root directory, and a config.json that says what to make of it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use least_privilege::find_capability;
use oci_spec::runtime::{Hooks, Linux, LinuxIdMapping, Process, Spec};
use serde::de::DeserializeOwned;
use serde_json::Value;
use user_namespace::Mapping;

/// More than any engine writes.
const LARGEST: u64 = 4 << 20;

/// The same. Those at one place are a list that the kernel goes through each
/// time.
const MOST_MOUNTS: usize = 10_000;

/// What is in it.
#[derive(Debug)]
pub struct Bundle {
    /// What the container is called.
    pub id: String,
    /// Its absolute path.
    pub directory: PathBuf,
    /// The config.json.
    pub spec: Spec,
    /// Of it, what every container has.
    pub process: Process,
    pub linux: Linux,
    pub hooks: Hooks,
    /// The root directory, without links.
    pub rootfs: PathBuf,
    /// What was asked for and can't be.
    pub warnings: Vec<String>,
}

impl Bundle {
    /// # Errors
    /// When there is none, or its config.json says what can't be.
    pub fn load(id: &str, directory: &Path) -> Result<Bundle> {
        let directory = fs::canonicalize(directory)
            .with_context(|| format!("bundle {directory:?}"))?;
        let file = directory.join("config.json");
        let mut warnings = vec![];
        // A FIFO would keep us waiting.
        let about = fs::metadata(&file).with_context(|| format!("{file:?}"))?;
        ensure!(about.is_file(), "{file:?}: not a file");
        let spec = read(&file, |value| {
            prune(value.get_mut("process"), &mut warnings)
        })?;
        Bundle::of(id, directory, spec, warnings)
            .with_context(|| file.display().to_string())
    }

    fn of(
        id: &str,
        directory: PathBuf,
        spec: Spec,
        warnings: Vec<String>,
    ) -> Result<Bundle> {
        let version = spec.version();
        ensure!(
            version.starts_with("1.") && version.split('.').count() >= 3,
            "ociVersion {version:?}: this runtime knows 1.0.0 to 1.2.1"
        );
        let process = spec.process().clone().context("process: is missing")?;
        ensure!(
            process.args().as_ref().is_some_and(|it| !it.is_empty()),
            "process.args: a container has a command"
        );
        let cwd = process.cwd();
        ensure!(cwd.is_absolute(), "process.cwd {cwd:?}: not absolute");
        // The kernel says that of some only when the command begins.
        let words = process.args().iter().chain(process.env()).flatten();
        let words = words.chain(spec.hostname()).chain(spec.domainname());
        for word in words {
            ensure!(!word.contains('\0'), "{word:?} has a NUL byte");
        }
        for mount in spec.mounts().iter().flatten() {
            let place = mount.destination();
            ensure!(place.is_absolute(), "mount at {place:?}: not absolute");
        }
        let linux = spec.linux().clone().context("linux: is missing")?;
        let masked = linux.masked_paths().iter().flatten();
        let paths = masked.chain(linux.readonly_paths().iter().flatten());
        let mut count = spec.mounts().iter().flatten().count();
        for path in paths {
            let it = "linux.maskedPaths and readonlyPaths";
            ensure!(path.starts_with('/'), "{it}: {path:?}: not absolute");
            count += 1;
        }
        ensure!(
            count <= MOST_MOUNTS,
            "mounts: {count} of them, and not more than {MOST_MOUNTS} are made"
        );
        let hooks = spec.hooks().clone().unwrap_or_default();
        let root = spec.root().as_ref().context("root: is missing")?;
        let path = directory.join(root.path());
        let rootfs = fs::canonicalize(&path)
            .with_context(|| format!("root.path {path:?}"))?;
        ensure!(rootfs.is_dir(), "root.path {path:?}: not a directory");
        ensure!(rootfs != Path::new("/"), "root.path: the host's own /");
        let id = id.to_owned();
        Ok(Bundle {
            id,
            directory,
            spec,
            process,
            linux,
            hooks,
            rootfs,
            warnings,
        })
    }

    /// Who inside is who outside.
    ///
    /// # Errors
    /// When nobody is.
    pub fn mapping(&self) -> Result<Mapping> {
        let ids = |of: &Option<Vec<LinuxIdMapping>>| {
            let all = of.iter().flatten();
            all.map(|it| [it.container_id(), it.host_id(), it.size()])
                .collect::<Vec<_>>()
        };
        let uids = ids(self.linux.uid_mappings());
        let gids = ids(self.linux.gid_mappings());
        ensure!(
            !uids.is_empty() && !gids.is_empty(),
            "a new user namespace takes linux.uidMappings and gidMappings"
        );
        Ok(Mapping::of(&uids, &gids))
    }
}

/// JSON from a file of reasonable size, in which no name is there twice: an
/// engine may have read another one of the two. `prune` makes something of what
/// can't be read as it is.
///
/// # Errors
/// When it is none.
pub fn read<T: DeserializeOwned>(
    file: &Path,
    prune: impl FnOnce(&mut Value) -> bool,
) -> Result<T> {
    let name = || format!("{}", file.display());
    let mut text = vec![];
    let open = File::open(file).with_context(name)?;
    open.take(LARGEST + 1).read_to_end(&mut text).with_context(name)?;
    if text.len() as u64 > LARGEST {
        bail!("{}: larger than {} MB", file.display(), LARGEST >> 20);
    }
    let first: Result<T, _> = serde_json::from_slice(&text);
    let known = first.or_else(|why| {
        let mut value = serde_json::from_slice(&text)?;
        if prune(&mut value) { serde_json::from_value(value) } else { Err(why) }
    });
    known.with_context(name)
}

/// A capability that we do not know can't be given; that is no reason not to
/// start (config.md, "capabilities"). Whether there was one.
pub fn prune(process: Option<&mut Value>, warnings: &mut Vec<String>) -> bool {
    let sets = process.and_then(|it| it.get_mut("capabilities"));
    let sets = sets.and_then(Value::as_object_mut);
    let mut unknown = BTreeSet::new();
    for set in sets.into_iter().flat_map(|it| it.values_mut()) {
        let Some(names) = set.as_array_mut() else { continue };
        names.retain(|name| {
            let name = name.as_str().unwrap_or_default();
            let known = find_capability(name).is_ok();
            if !known {
                unknown.insert(name.to_owned());
            }
            known
        });
    }
    let told = |name| format!("capability {name} is not known here: left out");
    let found = !unknown.is_empty();
    warnings.extend(unknown.into_iter().map(told));
    found
}
