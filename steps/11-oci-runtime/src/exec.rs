//! One more process in a container that is there: the same features, but each
//! namespace is entered, and none is made.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::SigSet;
use oci_spec::runtime::{Capability, Process};
use runtime::{Leave, Signals};

use crate::bundle;
use crate::command_line::{Cli, Exec};
use crate::console::Console;
use crate::lifecycle::{child, write_pid};
use crate::namespaces::Namespaces;
use crate::state::{Directory, Status};

/// # Errors
/// When the container does not run, or the command can't begin.
pub fn exec(cli: &Cli, arguments: &Exec) -> Result<u8> {
    let id = &arguments.id;
    let directory = Directory::of(cli, id)?;
    let state = directory.read()?;
    let state =
        state.with_context(|| format!("container {id:?} does not exist"))?;
    match state.status(&directory) {
        Status::Running => {}
        Status::Paused => bail!("cannot exec in a paused container"),
        _ => bail!(
            "cannot exec in a container that is not running: container not running"
        ),
    }
    let usual = state.spec.process().clone().context("process")?;
    let process = asked(arguments, usual)?;
    let socket = arguments.console_socket.as_deref();
    let console = Console::connect(&process, socket)?;
    let namespaces = Namespaces::of(state.pid);
    // Numbers come back. While it lives, what we have opened is its own.
    state.process().context("container not running")?;
    let mut container = crate::described(&process, PathBuf::from("/"))?
        .with(state.cgroup)
        .with(namespaces?);
    if let Some(console) = console {
        container = container.with(console);
    }
    let preserve_fds = arguments.preserve_fds;
    let container =
        crate::confined(container, &process, &state.spec, preserve_fds)?;
    let (pid, its) = (Rc::new(Cell::new(0)), arguments.pid_file.clone());
    let number = Rc::clone(&pid);
    container.leave(Leave {
        door: None,
        ready: Box::new(move |host| {
            number.set(host.pid.as_raw());
            write_pid(its.as_deref(), number.get())
        }),
    })?;
    if arguments.detach { Ok(0) } else { accompany(pid.get()) }
}

/// Passes signals on, and waits for the end of a child of ours.
///
/// # Errors
/// As waitpid(2).
pub fn accompany(pid: i32) -> Result<u8> {
    let mut child = child(pid);
    let signals = Signals::block().context("signalfd()")?;
    let exit = runtime::accompany_plainly(&mut child, &signals)?;
    let _ = SigSet::empty().thread_set_mask();
    Ok(exit.status())
}

/// The process from a file, or from words.
fn asked(arguments: &Exec, usual: Process) -> Result<Process> {
    if let Some(file) = &arguments.process {
        return from_file(file);
    }
    let mut process = usual;
    if arguments.command.is_empty() {
        bail!("name a command, or a --process");
    }
    process.set_args(Some(arguments.command.clone()));
    process.set_terminal(Some(arguments.tty));
    if let Some(cwd) = &arguments.cwd {
        process.set_cwd(cwd.clone());
    }
    let env = process.env().iter().flatten().chain(&arguments.env);
    let env = env.cloned().collect();
    process.set_env(Some(env));
    if let Some(user) = &arguments.user {
        let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
        let number = |it: &str| {
            it.parse::<u32>().with_context(|| format!("--user {user}"))
        };
        process.user_mut().set_uid(number(uid)?).set_gid(number(gid)?);
    }
    if !arguments.additional_gids.is_empty() {
        let groups = arguments.additional_gids.clone();
        process.user_mut().set_additional_gids(Some(groups));
    }
    if arguments.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    more(&mut process, &arguments.cap)?;
    Ok(process)
}

fn from_file(file: &Path) -> Result<Process> {
    bundle::read(file, |it| bundle::prune(Some(it), &mut vec![]))
}

fn more(process: &mut Process, names: &[String]) -> Result<()> {
    for name in names {
        let short = name.to_uppercase();
        let short = short.strip_prefix("CAP_").unwrap_or(&short);
        let one: Capability = short
            .parse()
            .map_err(|_| anyhow!("--cap {name}: there is none"))?;
        let mut sets = process.capabilities().clone().unwrap_or_default();
        let with = |set: &Option<_>| {
            let mut set: oci_spec::runtime::Capabilities =
                set.clone().unwrap_or_default();
            set.insert(one);
            Some(set)
        };
        let (bounding, effective, permitted) = (
            with(sets.bounding()),
            with(sets.effective()),
            with(sets.permitted()),
        );
        sets.set_bounding(bounding)
            .set_effective(effective)
            .set_permitted(permitted);
        process.set_capabilities(Some(sets));
    }
    Ok(())
}
