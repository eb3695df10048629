#![forbid(unsafe_code)]
//! The same container, described by somebody else.
//!
//! So far flags said what a container is. Engines write it down instead: a
//! directory with a root directory and a `config.json` is a *bundle*
//! ([runtime-spec](https://github.com/opencontainers/runtime-spec/blob/main/spec.md)),
//! and whoever can turn one into a process is a runtime for docker, containerd
//! and podman. This one makes it of the features of the steps before.
//!
//! One thing is new: `create` makes all of the container but its command, and
//! goes. `start` comes later, from somebody else, and opens the door.

mod bundle;
mod cgroup;
pub mod command_line;
mod console;
mod copy_up;
mod devices;
pub mod exec;
mod hooks;
pub mod lifecycle;
pub mod log;
mod mounts;
mod namespaces;
mod process;
mod rules;
pub mod sealed;
mod state;
pub mod unpack;

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use least_privilege::{NoNewPrivileges, SessionKeyring};
use mount_namespace::MountNamespace;
use networking::Network;
use oci_spec::runtime::{Linux, LinuxNamespaceType as Kind, Process};
use runtime::{Container, Variable};
use user_namespace::UserNamespace;
use uts_namespace::UtsNamespace;

use bundle::Bundle;
use console::Console;
use hooks::Halfway;
use mounts::Mounts;
use namespaces::Namespaces;
use process::Settings;
use state::State;

/// The container that a bundle describes. Its features act in this order: it
/// is that of all steps.
///
/// # Errors
/// When it describes what can't be.
pub fn container(
    bundle: &Bundle,
    state: &State,
    console: Option<Console>,
    preserve_fds: u32,
) -> Result<Container> {
    let Bundle { spec, process, linux, .. } = bundle;
    let namespaces = Namespaces::new(bundle)?;
    let is_new = |kind| namespaces.is_new(kind);
    let mut container =
        described(process, bundle.rootfs.clone())?.with(state.cgroup.clone());
    if is_new(Kind::User) {
        let mapping = bundle.mapping()?;
        container = container.with(UserNamespace::mapped(mapping));
    }
    if let Some(name) = spec.hostname().as_ref().filter(|_| is_new(Kind::Uts)) {
        let uts = UtsNamespace::named(name);
        container = container.with(uts.map_err(|why| anyhow!(why))?);
    }
    if is_new(Kind::Network) {
        container = container.with(Network::alone());
    }
    if is_new(Kind::Mount) {
        let propagation = mounts::before_the_pivot(linux)?;
        container = container.with(MountNamespace { propagation });
    }
    let mounts = Mounts::new(bundle, state, console, &namespaces)?;
    let container = container
        .with(namespaces)
        .with(Halfway::new(&bundle.hooks, state))
        .with(mounts)
        .with(rules::paths(linux))
        .with(SessionKeyring);
    confined(container, process, linux, preserve_fds)
}

/// What comes last, and holds for `exec` as well: what the process is, and
/// what it may not do.
fn confined(
    container: Container,
    process: &Process,
    linux: &Linux,
    preserve_fds: u32,
) -> Result<Container> {
    let no_new_privileges = process.no_new_privileges().unwrap_or(false);
    let seccomp = rules::seccomp(process, linux)?;
    let container = container
        .with(Settings::new(process, preserve_fds)?)
        .with(rules::capabilities(process)?)
        .with(NoNewPrivileges(no_new_privileges));
    Ok(match seccomp {
        Some(seccomp) => container.with(seccomp),
        None => container,
    })
}

fn described(process: &Process, rootfs: PathBuf) -> Result<Container> {
    let words = process.args().iter().flatten().map(OsString::from).collect();
    let env = process.env().iter().flatten().map(OsString::from);
    let env = env.map(Variable::parse).collect::<Result<Vec<_>, _>>();
    let env = env.map_err(|why| anyhow!("process.env: {why}"))?;
    let cwd = process.cwd().clone();
    Ok(Container::described(rootfs, words, env, cwd, log::story()?))
}
