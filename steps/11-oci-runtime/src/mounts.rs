//! The mounts of a config.json, in its order, and the new root.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use mount_namespace::{
    Mount, NewRoot, Target, make_read_only, mounts, pivot, remount_with,
};
use nix::errno::Errno;
use nix::mount::MsFlags;
use nix::sys::stat::fstat;
use nix::unistd::{fchdir, sethostname, symlinkat};
use oci_spec::runtime::{
    Hook, Linux, LinuxDevice, LinuxNamespaceType as Kind, Mount as Asked,
};
use runtime::process::set_domain_name;
use runtime::{Because, Failure, Feature, Inside, shell, write_below_proc};

use crate::bundle::Bundle;
use crate::console::Console;
use crate::namespaces::Namespaces;
use crate::state::{State, Status};
use crate::{copy_up, devices, hooks};

/// All mounts, and what comes between them and the pivot.
pub struct Mounts {
    mounts: Vec<(Asked, Options)>,
    /// Relative sources begin here.
    bundle: PathBuf,
    devices: Vec<LinuxDevice>,
    read_only: bool,
    propagation: Option<MsFlags>,
    sysctl: Vec<(String, String)>,
    console: Option<Console>,
    /// What is to be seen of the cgroups is only ours.
    has_cgroup_namespace: bool,
    hooks: Vec<Hook>,
    state: String,
    domainname: Option<String>,
    /// In a UTS namespace that was there already.
    joined_hostname: Option<String>,
}

/// The options of one mount, sorted by what they are for.
#[derive(Debug)]
struct Options {
    flags: MsFlags,
    propagation: Vec<MsFlags>,
    read_only_below: bool,
    copy_up: bool,
    data: String,
}

/// As mount(8) writes them: set, or taken away.
const FLAGS: [(&str, MsFlags, bool); 26] = [
    ("ro", MsFlags::MS_RDONLY, true),
    ("rw", MsFlags::MS_RDONLY, false),
    ("nosuid", MsFlags::MS_NOSUID, true),
    ("suid", MsFlags::MS_NOSUID, false),
    ("nodev", MsFlags::MS_NODEV, true),
    ("dev", MsFlags::MS_NODEV, false),
    ("noexec", MsFlags::MS_NOEXEC, true),
    ("exec", MsFlags::MS_NOEXEC, false),
    ("sync", MsFlags::MS_SYNCHRONOUS, true),
    ("async", MsFlags::MS_SYNCHRONOUS, false),
    ("dirsync", MsFlags::MS_DIRSYNC, true),
    ("remount", MsFlags::MS_REMOUNT, true),
    ("mand", MsFlags::MS_MANDLOCK, true),
    ("nomand", MsFlags::MS_MANDLOCK, false),
    ("noatime", MsFlags::MS_NOATIME, true),
    ("atime", MsFlags::MS_NOATIME, false),
    ("nodiratime", MsFlags::MS_NODIRATIME, true),
    ("diratime", MsFlags::MS_NODIRATIME, false),
    ("relatime", MsFlags::MS_RELATIME, true),
    ("norelatime", MsFlags::MS_RELATIME, false),
    ("strictatime", MsFlags::MS_STRICTATIME, true),
    ("nostrictatime", MsFlags::MS_STRICTATIME, false),
    ("bind", MsFlags::MS_BIND, true),
    ("rbind", MsFlags::MS_BIND.union(MsFlags::MS_REC), true),
    ("silent", MsFlags::MS_SILENT, true),
    ("loud", MsFlags::MS_SILENT, false),
];

/// Of these, `r` before the word means: and all below it.
const PROPAGATIONS: [(&str, MsFlags); 4] = [
    ("private", MsFlags::MS_PRIVATE),
    ("slave", MsFlags::MS_SLAVE),
    ("shared", MsFlags::MS_SHARED),
    ("unbindable", MsFlags::MS_UNBINDABLE),
];

/// For `features`.
pub fn options() -> Vec<String> {
    let plain = FLAGS.iter().map(|(name, ..)| (*name).to_owned());
    let deep = PROPAGATIONS
        .iter()
        .flat_map(|(name, _)| [(*name).to_owned(), format!("r{name}")]);
    plain.chain(deep).chain(["rro", "tmpcopyup"].map(str::to_owned)).collect()
}

impl Options {
    fn of(asked: &Asked) -> Options {
        let mut options = Options {
            flags: MsFlags::empty(),
            propagation: vec![],
            read_only_below: false,
            copy_up: false,
            data: String::new(),
        };
        let mut data = vec![];
        if asked.typ().as_deref() == Some("bind") {
            options.flags |= MsFlags::MS_BIND;
        }
        for word in asked.options().iter().flatten().map(String::as_str) {
            let flag = FLAGS.iter().find(|(name, ..)| *name == word);
            match (flag, propagation(word), word) {
                (Some((_, flag, on)), ..) => options.flags.set(*flag, *on),
                (_, Some(flags), _) => options.propagation.push(flags),
                (.., "rro") => options.read_only_below = true,
                (.., "tmpcopyup") => options.copy_up = true,
                (.., "defaults" | "") => {}
                _ => data.push(word),
            }
        }
        options.data = data.join(",");
        options
    }
}

fn propagation(word: &str) -> Option<MsFlags> {
    let (deep, word) = match word.strip_prefix('r') {
        Some(rest) => (MsFlags::MS_REC, rest),
        None => (MsFlags::empty(), word),
    };
    let found = PROPAGATIONS.iter().find(|(name, _)| *name == word);
    found.map(|(_, flag)| *flag | deep)
}

/// How mounts and the host's hang together: what the host mounts is seen inside,
/// and not the other way round, unless the root shall be shared.
///
/// # Errors
/// When linux.rootfsPropagation is none.
pub fn before_the_pivot(linux: &Linux) -> Result<MsFlags> {
    Ok(match asked_propagation(linux)? {
        None => MsFlags::MS_SLAVE,
        Some(flags) if flags.contains(MsFlags::MS_UNBINDABLE) => {
            MsFlags::MS_PRIVATE
        }
        Some(flags) => flags - MsFlags::MS_REC,
    })
}

fn asked_propagation(linux: &Linux) -> Result<Option<MsFlags>> {
    let word = linux.rootfs_propagation().as_deref().unwrap_or_default();
    if word.is_empty() {
        return Ok(None);
    }
    let found = propagation(word);
    found.with_context(|| format!("linux.rootfsPropagation {word:?}")).map(Some)
}

impl Mounts {
    pub fn new(
        bundle: &Bundle,
        state: &State,
        console: Option<Console>,
        namespaces: &Namespaces,
    ) -> Result<Mounts> {
        let Bundle { spec, linux, hooks, .. } = bundle;
        let mounts = spec.mounts().iter().flatten().cloned();
        let root = spec.root().as_ref();
        let hostname = spec.hostname().clone();
        let sysctl = linux.sysctl().clone().unwrap_or_default();
        Ok(Mounts {
            mounts: mounts.map(|it| (it.clone(), Options::of(&it))).collect(),
            bundle: bundle.directory.clone(),
            devices: linux.devices().clone().unwrap_or_default(),
            read_only: root.and_then(|it| it.readonly()).unwrap_or(false),
            propagation: asked_propagation(linux)?,
            sysctl: devices::checked(sysctl, linux)?,
            console,
            has_cgroup_namespace: namespaces.is_new(Kind::Cgroup),
            hooks: hooks.create_container().clone().unwrap_or_default(),
            state: state.told(Status::Creating),
            domainname: spec.domainname().clone(),
            joined_hostname: hostname.filter(|_| !namespaces.is_new(Kind::Uts)),
        })
    }

    fn mount(
        &self,
        container: &Inside,
        root: &NewRoot,
        asked: &Asked,
        options: &Options,
    ) -> Result<()> {
        ensure!(
            asked.uid_mappings().is_none() && asked.gid_mappings().is_none(),
            "mounts with ids of their own are not known here"
        );
        let place = asked.destination();
        let kind = asked.typ().as_deref().unwrap_or("none");
        let source = asked.source().as_deref().unwrap_or(Path::new(kind));
        if options.flags.contains(MsFlags::MS_BIND) {
            self.bind(
                container,
                root,
                &self.bundle.join(source),
                place,
                options,
            )?;
        } else if kind == "cgroup" {
            self.cgroups(container, root, place, options)?;
        } else {
            // Nobody has a reason to make a link of these.
            let its = ["proc", "sys", "dev"].into_iter();
            let mut its = its.filter(|it| Path::new("/").join(it) == *place);
            let target = match its.next() {
                Some(name) => root.system_directory(name)?,
                None => root.place(place, true)?,
            };
            let below =
                if options.copy_up { root.existing(place).ok() } else { None };
            Mount::new(kind, options.flags, &options.data)
                .called(source.as_os_str())
                .make(container, target, "as config.json says")?;
            if let Some(below) = below {
                copy_up::copy(below, root.existing(place)?)?;
            }
        }
        if options.read_only_below {
            make_read_only(container, &root.existing(place)?, place)?;
        }
        for flags in &options.propagation {
            let there = Target::Place(root.existing(place)?, place.clone());
            Mount::change(*flags).make(
                container,
                there,
                "who hears of what is mounted there",
            )?;
        }
        Ok(())
    }

    /// A bind mount takes its flags only by a second call.
    fn bind(
        &self,
        container: &Inside,
        root: &NewRoot,
        source: &Path,
        place: &Path,
        options: &Options,
    ) -> Result<()> {
        let what = fs::metadata(source)
            .with_context(|| format!("source {source:?}"))?;
        let target = root.place(place, what.is_dir())?;
        let deep = options.flags & MsFlags::MS_REC;
        Mount::bind(source, deep).make(
            container,
            target,
            "a file or directory of the host",
        )?;
        let flags = options.flags - MsFlags::MS_BIND - MsFlags::MS_REC;
        if !flags.is_empty() {
            let there = root.existing(place)?;
            // Somebody inside may exchange two places: the flags of one volume
            // are not for another.
            let found = fstat(&there).context("fstat()")?;
            let same = (found.st_dev, found.st_ino) == (what.dev(), what.ino());
            ensure!(same, "something else lies there by now");
            let there = Target::Place(there, place.to_owned());
            remount_with(flags, container, there, "its flags")?;
        }
        Ok(())
    }

    /// v2 is one tree. Of v1 there is one for each controller, in a tmpfs. In a
    /// namespace of our own, its root is our cgroup; else we show no more.
    fn cgroups(
        &self,
        container: &Inside,
        root: &NewRoot,
        place: &Path,
        options: &Options,
    ) -> Result<()> {
        let trees = cgroups::tree::Trees::read()?;
        let flags = options.flags;
        if trees.controllers().all(str::is_empty) {
            let mount = || {
                let target = root.place(place, true)?;
                let mount = Mount::new("cgroup2", flags, "");
                let mount = mount.called(OsStr::new("cgroup"));
                anyhow::Ok(mount.make(container, target, "what is counted"))
            };
            let (busy, refused) = (Errno::EBUSY, Errno::EPERM);
            return match mount()? {
                // To a new user namespace, the old cgroup namespace lends nothing.
                Err(Failure::Call { errno, .. }) if errno == refused => {
                    let (_, own) = trees.place(None).context("no cgroup2")?;
                    self.bind(container, root, &own, place, options)
                }
                // It came with a bind of the host's /sys, and can't lie on itself.
                Err(Failure::Call { errno, .. }) if errno == busy => {
                    Mount::new("tmpfs", flags, "").make(
                        container,
                        root.place(place, true)?,
                        "over the host's",
                    )?;
                    Ok(mount()??)
                }
                made => Ok(made?),
            };
        }
        let tmpfs = Mount::new("tmpfs", flags - MsFlags::MS_RDONLY, "mode=755");
        tmpfs.make(
            container,
            root.place(place, true)?,
            "a place for one tree per controller",
        )?;
        let tree = root.existing(place)?;
        for controllers in trees.controllers().filter(|it| !it.is_empty()) {
            let names = controllers.trim_start_matches("name=");
            let place = place.join(names);
            match self.has_cgroup_namespace {
                true => Mount::new("cgroup", flags, controllers).make(
                    container,
                    root.place(&place, true)?,
                    "what is counted",
                )?,
                false => {
                    let first = controllers.split(',').next();
                    let Some((_, own)) = trees.place(first) else { continue };
                    self.bind(container, root, &own, &place, options)?;
                }
            }
            for name in names.split(',').filter(|it| *it != names) {
                let _ = symlinkat(names, &tree, name);
            }
        }
        if flags.contains(MsFlags::MS_RDONLY) {
            let there = Target::Place(root.existing(place)?, place.to_owned());
            remount_with(flags, container, there, "complete: read-only now")?;
        }
        Ok(())
    }
}

impl Feature for Mounts {
    fn inside(&self, container: &mut Inside) -> Result<()> {
        if self.propagation.is_some_and(|it| it.contains(MsFlags::MS_SHARED)) {
            keep_apart(container)?;
        }
        let is_root = |(it, options): &&(Asked, Options)| {
            it.destination() == Path::new("/")
                && !options.flags.contains(MsFlags::MS_BIND)
        };
        for (asked, options) in self.mounts.iter().filter(is_root) {
            over_the_root(container, asked, options)?;
        }
        let root = NewRoot::enter(container)?;
        for (asked, options) in self.mounts.iter().filter(|it| !is_root(it)) {
            let place = asked.destination();
            self.mount(container, &root, asked, options)
                .with_context(|| format!("mount at {}", place.display()))?;
        }
        let is_hosts = |(it, options): &(Asked, Options)| {
            it.destination() == Path::new("/dev")
                && options.flags.contains(MsFlags::MS_BIND)
        };
        if !self.mounts.iter().any(is_hosts) {
            devices::make(container, &root, &self.devices)?;
        }
        if let Some(console) = &self.console {
            container.console = Some(console.open(container, &root)?);
        }
        container.ask_the_host()?;
        hooks::run(
            "createContainer",
            &self.hooks,
            &hooks::with_our_pid(&self.state),
        )?;
        if self.read_only {
            remount_with(MsFlags::MS_RDONLY, container, ".", "root.readonly")?;
        }
        let old = File::open("/").context("open(\"/\")")?;
        pivot(container, || {
            fchdir(&old).context("fchdir() to the old root")?;
            // Or else the host would hear that we take its mounts away.
            Mount::change(MsFlags::MS_REC | MsFlags::MS_SLAVE).make(
                container,
                ".",
                "what we take away, the host keeps",
            )?;
            Ok(())
        })?;
        drop(old);
        if let Some(name) = &self.joined_hostname {
            sethostname(name).context("sethostname()")?;
        }
        if let Some(flags) = self.propagation {
            Mount::change(flags).make(
                container,
                "/",
                "linux.rootfsPropagation",
            )?;
        }
        if let Some(name) = &self.domainname {
            set_domain_name(name).context("setdomainname()")?;
        }
        for (name, value) in &self.sysctl {
            let file = format!("sys/{}", name.replace('.', "/"));
            let redirected = "the mounts put something else over the kernel's \
                              own file: leave /proc/sys free";
            container
                .call(
                    format!("write(\"/proc/{file}\", {value:?})"),
                    "a setting of our namespaces",
                    format!("sysctl -w {}", shell([format!("{name}={value}")])),
                    || write_below_proc(&file, value),
                )
                .because(Errno::EXDEV, redirected)
                .because(Errno::ELOOP, redirected)?;
        }
        Ok(())
    }
}

/// Once we have entered the root, names there lead to what lies under a mount
/// over it. So such a mount comes before: the layers of an image, say.
fn over_the_root(
    container: &Inside,
    asked: &Asked,
    options: &Options,
) -> Result<()> {
    let kind = asked.typ().as_deref().unwrap_or("none");
    let source = asked.source().as_deref().unwrap_or(Path::new(kind));
    let mounted = Mount::new(kind, options.flags, &options.data)
        .called(source.as_os_str())
        .make(container, &container.rootfs, "all of the root directory");
    match kind {
        "overlay" => overlayfs::refusal::explained(mounted),
        _ => mounted,
    }
    .context("mount at /")
}

/// pivot_root(2) refuses a root whose parent mount is shared.
fn keep_apart(container: &Inside) -> Result<()> {
    let all = mounts()?;
    let above = |it: &&mount_namespace::Mounted| {
        container.rootfs.starts_with(&it.place)
    };
    let parent =
        all.iter().filter(above).max_by_key(|it| it.place.components().count());
    let parent = parent.context("no mount has the root directory")?;
    Mount::change(MsFlags::MS_PRIVATE).make(
        container,
        &parent.place,
        "the new root's parent must not be shared",
    )?;
    Ok(())
}
