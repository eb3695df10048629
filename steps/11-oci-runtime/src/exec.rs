//! One more process in a container that is there: the same features, but each
//! namespace is entered, and none is made.

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use least_privilege::find_capability;
use nix::sys::signal::SigSet;
use nix::unistd::Pid;
use oci_spec::runtime::Process;
use runtime::process::Child;
use runtime::{Leave, Signals};
use serde_json::{Value, json};

use crate::bundle;
use crate::command_line::{Cli, Exec};
use crate::console::Console;
use crate::lifecycle::write_pid;
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
    let spec = &state.spec;
    let linux = spec.linux().as_ref().context("linux")?;
    let usual = spec.process().as_ref().context("process")?;
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
    let container = crate::confined(container, &process, linux, preserve_fds)?;
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
    let mut child = Child::adopted(Pid::from_raw(pid));
    let signals = Signals::block().context("signalfd()")?;
    let exit = runtime::accompany_plainly(&mut child, &signals)?;
    let _ = SigSet::empty().thread_set_mask();
    Ok(exit.status())
}

/// The process from a file, or the container's own, with other words.
fn asked(arguments: &Exec, usual: &Process) -> Result<Process> {
    match &arguments.process {
        Some(file) => {
            bundle::read(file, |it| bundle::prune(Some(it), &mut vec![]))
        }
        None => serde_json::from_value(changed(arguments, usual)?)
            .context("process"),
    }
}

fn changed(arguments: &Exec, usual: &Process) -> Result<Value> {
    ensure!(!arguments.command.is_empty(), "name a command, or a --process");
    let mut process = serde_json::to_value(usual)?;
    process["args"] = json!(arguments.command);
    process["terminal"] = json!(arguments.tty);
    if let Some(cwd) = &arguments.cwd {
        process["cwd"] = json!(cwd);
    }
    let env = usual.env().iter().flatten().chain(&arguments.env);
    process["env"] = json!(env.collect::<Vec<_>>());
    if let Some(user) = &arguments.user {
        let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
        let number = |it: &str| {
            it.parse::<u32>().with_context(|| format!("--user {user}"))
        };
        process["user"]["uid"] = json!(number(uid)?);
        process["user"]["gid"] = json!(number(gid)?);
    }
    if !arguments.additional_gids.is_empty() {
        process["user"]["additionalGids"] = json!(arguments.additional_gids);
    }
    if arguments.no_new_privs {
        process["noNewPrivileges"] = json!(true);
    }
    for name in &arguments.cap {
        find_capability(name).map_err(|e| anyhow!("--cap {name}: {e}"))?;
        for set in ["bounding", "effective", "permitted"] {
            let set = &mut process["capabilities"][set];
            let names = set.as_array().cloned().unwrap_or_default();
            *set = json!([names, vec![json!(name)]].concat());
        }
    }
    Ok(process)
}
