//! The life of a container that is not tied to ours: each command is one step
//! of it (runtime.md, "Lifecycle").

use std::fs;
use std::io::{Read, Write, stdin};
use std::os::fd::AsFd;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::{getegid, geteuid};
use oci_spec::runtime::{
    Hook, Hooks, LinuxNamespaceType, LinuxResources, Spec,
};
use runtime::process::send_to;
use runtime::{Door, Leave};
use serde_json::json;
use user_namespace::Mapping;

use crate::bundle::{self, Bundle};
use crate::cgroup::Cgroup;
use crate::command_line::{
    Cli, Create, Delete, Kill, List, Ps, Run, SpecArguments, Update,
};
use crate::console::Console;
use crate::state::{Directory, Lock, State, Status, start_time};
use crate::{exec, hooks, log};

/// All of a container but its command. What fails takes away what was made.
///
/// # Errors
/// Any: there is no container then.
pub fn create(cli: &Cli, arguments: &Create) -> Result<()> {
    let id = &arguments.id;
    let bundle = Bundle::load(id, &arguments.bundle)?;
    for warning in &bundle.warnings {
        log::write(cli, "warning", warning);
    }
    let socket = arguments.console_socket.as_deref();
    let console = Console::connect(&bundle.process, socket)?;
    let (directory, lock) = Directory::make(cli, id)?;
    let made = make(cli, arguments, &bundle, &directory, lock.clone(), console);
    made.inspect_err(|_| drop(directory.remove()))
}

fn make(
    cli: &Cli,
    arguments: &Create,
    bundle: &Bundle,
    directory: &Directory,
    lock: Lock,
    console: Option<Console>,
) -> Result<()> {
    let cgroup = match cli.cgroup_manager.as_deref() {
        Some("disabled") => Cgroup::default(),
        _ => Cgroup::plan(&bundle.linux, &arguments.id, cli.systemd_cgroup)?,
    };
    let mut state = State {
        id: arguments.id.clone(),
        bundle: bundle.directory.clone(),
        rootfs: bundle.rootfs.clone(),
        pid: 0,
        start_time: 0,
        created: log::now(),
        cgroup,
        spec: bundle.spec.clone(),
    };
    // Written down before it is made: whoever kills us can have it taken away.
    directory.write(&state)?;
    let planned = state.cgroup.clone();
    let made = state.cgroup.make(&bundle.linux);
    let made = made.and_then(|()| {
        begin(arguments, bundle, directory, state, lock, console)
    });
    made.inspect_err(|_| drop(planned.remove()))
}

fn begin(
    arguments: &Create,
    bundle: &Bundle,
    directory: &Directory,
    mut state: State,
    lock: Lock,
    console: Option<Console>,
) -> Result<()> {
    let preserve_fds = arguments.preserve_fds;
    let container = crate::container(bundle, &state, console, preserve_fds)?;
    let container = container.with(lock);
    let door = Some(Door::make(directory.path())?);
    let (pid_file, place) =
        (arguments.pid_file.clone(), directory.path().to_owned());
    container.leave(Leave {
        door,
        ready: Box::new(move |host| {
            state.pid = host.pid.as_raw();
            state.start_time =
                start_time(state.pid).context("it died early")?;
            state.cgroup.look_up(state.pid)?;
            Directory::at(place).write(&state)?;
            write_pid(pid_file.as_deref(), state.pid)
        }),
    })
}

/// Whole, for whoever looks.
///
/// # Errors
/// As write(2).
pub fn write_pid(file: Option<&Path>, pid: i32) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let new = file.with_file_name(format!(".{name}"));
    fs::write(&new, pid.to_string())
        .and_then(|()| fs::rename(&new, file))
        .with_context(|| format!("--pid-file {file:?}"))
}

/// # Errors
/// When it was not created, or its command can't begin.
pub fn start(cli: &Cli, id: &str) -> Result<()> {
    let directory = Directory::of(cli, id)?;
    let _one_at_a_time = directory.lock()?;
    let state = known(&directory, id)?;
    match state.status(&directory) {
        Status::Created => Door::open(directory.path())?,
        Status::Stopped => bail!("cannot start a container that has stopped"),
        status => bail!("cannot start a container in the {status:?} state"),
    }
    has_become(cli, &state, Status::Running, "poststart", Hooks::poststart);
    Ok(())
}

/// Its hooks are run. That it is so no failure of theirs changes: one that fails
/// is told (runtime.md, "Lifecycle").
fn has_become(
    cli: &Cli,
    state: &State,
    status: Status,
    point: &str,
    hooks: impl Fn(&Hooks) -> &Option<Vec<Hook>>,
) {
    let all = state.spec.hooks().clone().unwrap_or_default();
    let hooks = hooks(&all).as_deref().unwrap_or_default();
    if let Err(error) = hooks::run(point, hooks, &state.told(status)) {
        log::write(cli, "warning", &runtime::told(&error));
    }
}

/// # Errors
/// As `create` and `start`.
pub fn run(cli: &Cli, arguments: &Run) -> Result<u8> {
    let id = &arguments.create.id;
    let take_away = || delete(cli, &Delete { force: true, id: id.clone() });
    create(cli, &arguments.create)?;
    let pid = find(cli, id)?.1.pid;
    let begun = start(cli, id);
    if arguments.detach && begun.is_ok() {
        return Ok(0);
    }
    let end = begun.and_then(|()| exec::accompany(pid));
    if !arguments.keep {
        take_away()?;
    }
    end
}

fn find(cli: &Cli, id: &str) -> Result<(Directory, State)> {
    let directory = Directory::of(cli, id)?;
    let state = known(&directory, id)?;
    Ok((directory, state))
}

/// The same, of one that has not ended.
fn alive(cli: &Cli, id: &str) -> Result<(State, Status)> {
    let (directory, state) = find(cli, id)?;
    let status = state.status(&directory);
    ensure!(status != Status::Stopped, "container not running");
    Ok((state, status))
}

fn known(directory: &Directory, id: &str) -> Result<State> {
    let state = directory.read()?.filter(|it| it.pid != 0);
    state.with_context(|| {
        format!("container {id:?} is not created yet, or that was interrupted")
    })
}

/// # Errors
/// When there is none.
pub fn state(cli: &Cli, id: &str) -> Result<()> {
    let (directory, state) = find(cli, id)?;
    let shown = state.shown(state.status(&directory));
    print(&serde_json::to_string_pretty(&shown)?)
}

/// # Errors
/// As write(2).
pub fn list(cli: &Cli, arguments: &List) -> Result<()> {
    let mut all = vec![];
    for entry in
        fs::read_dir(crate::state::root(cli)?).into_iter().flatten().flatten()
    {
        let id = entry.file_name().to_string_lossy().into_owned();
        let Ok(Some(directory)) = Directory::find(cli, &id) else { continue };
        if let Ok(Some(state)) = directory.read() {
            let status = state.status(&directory);
            all.push((state, status));
        }
    }
    all.sort_by(|(one, _), (other, _)| one.id.cmp(&other.id));
    if arguments.format == "json" {
        let all = all.iter().map(|(state, status)| state.shown(*status));
        return print(&serde_json::to_string(&all.collect::<Vec<_>>())?);
    }
    let mut table = String::new();
    for (state, status) in &all {
        table += &match arguments.quiet {
            true => format!("{}\n", state.id),
            false => format!(
                "{:<24} {:>8} {:<8} {}\n",
                state.id,
                state.pid,
                format!("{status:?}").to_lowercase(),
                state.bundle.display()
            ),
        };
    }
    print(table.trim_end())
}

/// # Errors
/// When it does not run, or there is no such signal.
pub fn kill(cli: &Cli, arguments: &Kill) -> Result<()> {
    let Kill { id, signal, all } = arguments;
    let number = number_of(signal)?;
    if *all {
        find(cli, id)?.1.cgroup.signal(number);
        return Ok(());
    }
    let process = alive(cli, id)?.0.process();
    let process = process.context("container not running")?;
    match send_to(process.as_fd(), number) {
        Err(Errno::ESRCH) => bail!("container not running: no such process"),
        sent => sent.context("kill()"),
    }
}

fn number_of(signal: &str) -> Result<i32> {
    let name = signal.to_uppercase();
    let name =
        if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    let number = signal.parse().ok().filter(|it| (1..=64).contains(it));
    let number =
        number.or_else(|| name.parse::<Signal>().ok().map(|it| it as i32));
    number.with_context(|| format!("unknown signal {signal:?}"))
}

/// # Errors
/// When it still runs.
pub fn delete(cli: &Cli, arguments: &Delete) -> Result<()> {
    let Delete { force, id } = arguments;
    let Some(directory) = Directory::find(cli, id)? else {
        ensure!(force, "container {id:?} does not exist");
        return Ok(());
    };
    let _one_at_a_time = directory.lock()?;
    let state = directory.read()?;
    let Some(state) = state.as_ref().filter(|it| it.pid != 0) else {
        ensure!(
            force,
            "container {id:?} is being created, or that was interrupted: --force takes it away"
        );
        // Its first process died with whoever was creating it.
        state.map_or(Ok(()), |it| it.cgroup.remove())?;
        return directory.remove();
    };
    match state.status(&directory) {
        Status::Stopped => {}
        // Nothing of it has begun.
        Status::Created => end(state)?,
        _ if *force => end(state)?,
        status => bail!(
            "cannot delete container {id} that is not stopped: {status:?}"
        ),
    }
    // Where there is no PID namespace, some may have outlived the first.
    state.cgroup.signal(Signal::SIGKILL as i32);
    state.cgroup.remove()?;
    directory.remove()?;
    has_become(cli, state, Status::Stopped, "poststop", Hooks::poststop);
    Ok(())
}

/// It may be frozen: then it does not hear that it is killed.
fn end(state: &State) -> Result<()> {
    let Some(process) = state.process() else { return Ok(()) };
    let _ = send_to(process.as_fd(), Signal::SIGKILL as i32);
    if state.cgroup.is_frozen() {
        state.cgroup.freeze(false)?;
    }
    let end = Instant::now() + Duration::from_secs(10);
    while start_time(state.pid) == Some(state.start_time) {
        ensure!(Instant::now() < end, "process {} does not die", state.pid);
        sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// # Errors
/// When there is none.
pub fn ps(cli: &Cli, arguments: &Ps) -> Result<()> {
    let all = find(cli, &arguments.id)?.1.cgroup.processes();
    if arguments.format == "json" {
        return print(&serde_json::to_string(&all)?);
    }
    let options = match &arguments.options[..] {
        [] => vec!["-ef".to_owned()],
        options => options.to_vec(),
    };
    let said = std::process::Command::new("ps")
        .args(options)
        .output()
        .context("ps")?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let mut lines = said.lines();
    let head = lines.next().unwrap_or_default();
    let column = head
        .split_whitespace()
        .position(|it| it == "PID")
        .context("ps shows no PID")?;
    let is_its = |line: &&str| {
        let pid =
            line.split_whitespace().nth(column).and_then(|it| it.parse().ok());
        pid.is_some_and(|pid| all.contains(&pid))
    };
    let lines = [head].into_iter().chain(lines.filter(is_its));
    print(&lines.collect::<Vec<_>>().join("\n"))
}

/// # Errors
/// When it is not running, or not frozen.
pub fn freeze(cli: &Cli, id: &str, on: bool) -> Result<()> {
    let (directory, state) = find(cli, id)?;
    match (on, state.status(&directory)) {
        (true, Status::Running | Status::Created) | (false, Status::Paused) => {
            state.cgroup.freeze(on)
        }
        (true, _) => bail!("container not running"),
        (false, _) => bail!("container not paused"),
    }
}

/// # Errors
/// As write(2).
pub fn update(cli: &Cli, arguments: &Update) -> Result<()> {
    let (state, _) = alive(cli, &arguments.id)?;
    let resources = match arguments.resources.as_deref() {
        Some(file) if file == Path::new("-") => {
            let mut text = String::new();
            stdin().take(1 << 20).read_to_string(&mut text)?;
            serde_json::from_str(&text).context("--resources -")?
        }
        Some(file) => bundle::read(file, |_| false).context("--resources")?,
        None => typed(arguments)?,
    };
    state.cgroup.update(&resources)
}

fn typed(arguments: &Update) -> Result<LinuxResources> {
    let Update { memory, cpu_quota, cpu_period, cpu_share, .. } = arguments;
    let pids = arguments.pids_limit.unwrap_or_default();
    let cpu = json!({ "quota": cpu_quota, "period": cpu_period, "shares": cpu_share });
    let limit = json!({ "limit": memory });
    let all = json!({ "memory": limit, "cpu": cpu, "pids": { "limit": pids } });
    Ok(serde_json::from_value(all)?)
}

/// # Errors
/// When there is one already.
pub fn spec(arguments: &SpecArguments) -> Result<()> {
    let spec = described(arguments.for_a_user);
    let file = arguments.bundle.join("config.json");
    let mut new = fs::File::create_new(&file)
        .with_context(|| format!("create({file:?})"))?;
    new.write_all(serde_json::to_string_pretty(&spec)?.as_bytes())
        .with_context(|| format!("write({file:?})"))
}

/// What a container has when nobody says anything of it.
#[must_use]
pub fn described(for_a_user: bool) -> Spec {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let mut spec = match for_a_user {
        true => Spec::rootless(uid, gid),
        false => Spec::default(),
    };
    spec.set_version("1.0.2".to_owned())
        .set_hostname(Some("workshop".to_owned()));
    if let Some(process) = spec.process_mut() {
        process.set_terminal(Some(false));
        // By inheritable ones, some programs would get more than they may have
        // (CVE-2022-29162).
        let mut sets = process.capabilities().clone().unwrap_or_default();
        sets.set_inheritable(None).set_ambient(None);
        process.set_capabilities(Some(sets));
    }
    // The group `tty`: a user namespace may have none of that number.
    if Mapping::of_all_to_themselves().outside(5).is_none() {
        for mount in spec.mounts_mut().iter_mut().flatten() {
            let options = mount.options().iter().flatten();
            let kept = options.filter(|it| *it != "gid=5").cloned().collect();
            mount.set_options(Some(kept));
        }
    }
    spec
}

/// # Errors
/// As write(2).
pub fn features() -> Result<()> {
    use LinuxNamespaceType::{
        Cgroup, Ipc, Mount, Network, Pid, Time, User, Uts,
    };
    let hooks = [
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
        "poststart",
        "poststop",
    ];
    print(&serde_json::to_string_pretty(&json!({
        "ociVersionMin": "1.0.0", "ociVersionMax": "1.2.1", "hooks": hooks,
        "mountOptions": crate::mounts::options(),
        "linux": {
            "namespaces": [Cgroup, Ipc, Mount, Network, Pid, Time, User, Uts],
            "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": true },
            "seccomp": { "enabled": true },
            "apparmor": { "enabled": true }, "selinux": { "enabled": true },
        },
    }))?)
}

fn print(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").context("write(stdout)")
}
