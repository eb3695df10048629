//! Takes a program into the playground, and brings back the verdict.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::judge::Told;
use crate::{Exercise, Need};

/// The judge has limits of its own. This is for when it can't keep them.
const PATIENCE: Duration = Duration::from_secs(120);

/// A host within the pretended host, for one check only.
const OWN_HOST: [&str; 9] = [
    "unshare",
    "--mount",
    "--uts",
    "--ipc",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--",
];

/// Judges a program: in a playground of its own, or in the one that we are in.
/// `exercise` is this workspace's program of that name.
///
/// # Errors
/// When no verdict can be had, and why.
pub fn check(
    checkout: &Path,
    binary: &Path,
    exercise: &Exercise,
    program: &Path,
) -> Result<Told> {
    let attacks = binary.with_file_name("attack-matrix");
    if exercise.needs.contains(&Need::Programs) && !attacks.is_file() {
        bail!(
            "{} needs the workshop's own programs. Build them: cargo build \
             --workspace",
            exercise.name
        );
    }
    let file = File::open(program)
        .with_context(|| format!("open {}", program.display()))?;
    let mut command = match std::env::var_os("PLAYGROUND") {
        Some(_) => Command::new(OWN_HOST[0]),
        None => {
            let script = checkout.join("scripts/playground.sh");
            let mut playground = Command::new(script);
            playground.args(["--", OWN_HOST[0]]);
            // The playground shows the directory of these programs.
            let programs = binary.parent().unwrap_or(checkout);
            playground.env("WORKSHOP_BIN", programs);
            playground
        }
    };
    command.args(&OWN_HOST[1..]).arg(binary).args(["judge", exercise.name]);
    let child = command
        .current_dir(checkout)
        .stdin(file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {:?}", command.get_program()))?;
    let (stdout, stderr) = finish(child)?;
    match Told::from_text(&stdout) {
        Some(told) => Ok(told),
        None => bail!("there is no verdict.\n{}", stderr.trim_end()),
    }
}

/// Waits for its end, and kills it when it does not come: what is in the
/// playground ends with it.
fn finish(mut child: Child) -> Result<(String, String)> {
    let stdout = read(child.stdout.take());
    let stderr = read(child.stderr.take());
    let end = Instant::now() + PATIENCE;
    while child.try_wait()?.is_none() {
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            bail!(
                "the judge hung, and was stopped: {}",
                stderr.join().unwrap_or_default()
            );
        }
        thread::sleep(Duration::from_millis(2));
    }
    let said =
        |text: thread::JoinHandle<String>| text.join().unwrap_or_default();
    Ok((said(stdout), said(stderr)))
}

fn read<R: Read + Send + 'static>(
    pipe: Option<R>,
) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The checkout that we are in.
///
/// # Errors
/// When we are in none.
pub fn checkout() -> Result<PathBuf> {
    let here = std::env::current_dir()?;
    let mut above = here.ancestors();
    let found = above.find(|it| it.join("scripts/playground.sh").is_file());
    found
        .map(Path::to_owned)
        .context("go to the workshop's directory, and start again")
}
