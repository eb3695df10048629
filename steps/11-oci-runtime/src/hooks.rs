//! Programs of others, at the points in a container's life that the
//! specification names. Each reads the container's state from stdin.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use oci_spec::runtime::{Hook, Hooks};
use runtime::process::hear_all_signals;
use runtime::{Feature, Host, Inside};
use rustix::fs::{MemfdFlags, memfd_create};

use crate::state::{State, Status};

/// The hooks of `create` that act on the host, and those of `start` inside.
pub struct Halfway {
    /// By their old name: docker sets a network up by one.
    prestart: Vec<Hook>,
    create_runtime: Vec<Hook>,
    start_container: Vec<Hook>,
    creating: String,
    created: String,
}

impl Halfway {
    #[allow(deprecated)]
    pub fn new(hooks: &Hooks, state: &State) -> Halfway {
        let list = |of: &Option<Vec<Hook>>| of.clone().unwrap_or_default();
        Halfway {
            prestart: list(hooks.prestart()),
            create_runtime: list(hooks.create_runtime()),
            start_container: list(hooks.start_container()),
            creating: state.told(Status::Creating),
            created: state.told(Status::Created),
        }
    }
}

impl Feature for Halfway {
    fn halfway(&mut self, container: &Host) -> Result<()> {
        let state = with_pid(&self.creating, container.pid.as_raw());
        run("prestart", &self.prestart, &state)?;
        run("createRuntime", &self.create_runtime, &state)
    }

    fn called(&self, _: &Inside) -> Result<()> {
        let state = with_our_pid(&self.created);
        run("startContainer", &self.start_container, &state)
    }
}

/// A state, with this pid.
fn with_pid(state: &str, pid: i32) -> String {
    let mut state: serde_json::Value =
        serde_json::from_str(state).unwrap_or_default();
    state["pid"] = pid.into();
    state.to_string()
}

/// With ours, in the host's numbers as long as the host's /proc is to be seen.
#[must_use]
pub fn with_our_pid(state: &str) -> String {
    let own = std::fs::read_link("/proc/self").unwrap_or_default();
    let own = own.to_string_lossy().parse().unwrap_or(0);
    with_pid(state, own)
}

/// One after the other; the first that fails is the last.
///
/// # Errors
/// When one can't be started, fails, or takes too long.
pub fn run(point: &str, hooks: &[Hook], state: &str) -> Result<()> {
    for hook in hooks {
        one(hook, state).with_context(|| {
            format!("{point} hook {}", hook.path().display())
        })?;
    }
    Ok(())
}

fn one(hook: &Hook, state: &str) -> Result<()> {
    ensure!(hook.path().is_absolute(), "its path is not absolute");
    let timeout = hook.timeout();
    ensure!(timeout.is_none_or(|it| it > 0), "timeout: at least one second");
    let mut program = Command::new(hook.path());
    let words = hook.args().iter().flatten().collect::<Vec<_>>();
    if let Some((name, words)) = words.split_first() {
        program.arg0(name).args(words);
    }
    program.env_clear();
    for variable in hook.env().iter().flatten() {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        program.env(name, value);
    }
    // No pipes: nobody waits for a hook that does not read, or says too much.
    let (mut stdin, mut stderr) = (memory()?, memory()?);
    stdin.write_all(state.as_bytes())?;
    stdin.rewind()?;
    program.stdin(stdin).stdout(Stdio::null()).stderr(stderr.try_clone()?);
    let mut child = hear_all_signals(&mut program).spawn()?;
    let limit = timeout.map(|it| Duration::from_secs(it.unsigned_abs()));
    let end = limit.and_then(|it| Instant::now().checked_add(it));
    let status = loop {
        match (child.try_wait()?, end) {
            (Some(status), _) => break status,
            (None, Some(end)) if Instant::now() >= end => {
                child.kill()?;
                child.wait()?;
                bail!("it took longer than {} s", hook.timeout().unwrap_or(0));
            }
            (None, Some(_)) => sleep(Duration::from_millis(2)),
            (None, None) => break child.wait()?,
        }
    };
    if status.success() {
        return Ok(());
    }
    let mut said = vec![];
    stderr.rewind()?;
    stderr.take(4096).read_to_end(&mut said)?;
    bail!("{status}: {}", String::from_utf8_lossy(&said).trim())
}

fn memory() -> Result<File> {
    let memory = memfd_create("hook", MemfdFlags::CLOEXEC);
    Ok(memory.context("memfd_create()")?.into())
}
