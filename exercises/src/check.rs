//! Takes a program into the playground, and brings back the verdict.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use testbed::Moving;

use crate::judge::Told;
use crate::screen::say;
use crate::{Exercise, Need};

/// The judge has time limits of its own. This is for when it can't keep them.
const PATIENCE: Duration = Duration::from_secs(240);

/// The lab makes its image the first time, and boots.
const LAB_PATIENCE: Duration = Duration::from_secs(900);

/// A host within the pretend host, for one check only.
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

/// Where a program is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a playground of its own, or in the one that we are in.
    Playground,
    /// In a playground of the lab's root, who has everything that a host can
    /// give.
    Lab,
}

/// Judges a program. `binary` is this workspace's `exercise`.
///
/// # Errors
/// When there is no verdict, and why.
pub fn check(
    checkout: &Path,
    binary: &Path,
    place: Place,
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
    match place {
        Place::Playground => {
            let mut command = Command::new("env");
            if std::env::var_os("PLAYGROUND").is_none() {
                let playground = checkout.join("scripts/playground.sh");
                command.arg(playground).arg("--");
            }
            let file = File::open(program)
                .with_context(|| format!("open {}", program.display()))?;
            command.args(OWN_HOST).stdin(file);
            judge(command, checkout, binary, exercise, PATIENCE)
        }
        // Its machine gets what lies beside the programs, and no input.
        Place::Lab => {
            let programs = binary.parent().unwrap_or(checkout);
            let brought = tempfile::Builder::new()
                .prefix("exercise-")
                .tempfile_in(programs)?;
            fs::copy(program, brought.path())
                .with_context(|| format!("copy {}", program.display()))?;
            let mut command = Command::new(checkout.join("scripts/lab.sh"));
            command
                .args(["--user", "root", "--bring"])
                .arg(brought.path())
                .args(["--", "bash", "-c", r#"exec "${@:2}" <"$1""#, "bash"])
                .arg(brought.path())
                .args(["./scripts/playground.sh", "--"])
                .args(OWN_HOST)
                .stdin(Stdio::null());
            say("The lab boots, and the judge goes to work in it: a minute.");
            judge(command, checkout, binary, exercise, LAB_PATIENCE)
        }
    }
}

/// Starts `command`, which takes the judge to its place.
fn judge(
    mut command: Command,
    checkout: &Path,
    binary: &Path,
    exercise: &Exercise,
    patience: Duration,
) -> Result<Told> {
    // Playground and lab show the directory of these programs.
    let programs = binary.parent().unwrap_or(checkout);
    let child = command
        .arg(binary)
        .args(["judge", exercise.name])
        .env("WORKSHOP_BIN", programs)
        .current_dir(checkout)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {:?}", command.get_program()))?;
    let (stdout, stderr) = finish(child, patience)?;
    match Told::from_text(&stdout) {
        Some(told) => Ok(told),
        None => bail!("there is no verdict.\n{}", stderr.trim_end()),
    }
}

/// Waits for its end, and kills it if that does not come: what is in the
/// playground ends with it.
fn finish(mut child: Child, patience: Duration) -> Result<(String, String)> {
    let begin = Instant::now();
    let _moving = Moving::begin(move || {
        format!("the judge is at work: {} s", begin.elapsed().as_secs())
    });
    let stdout = read(child.stdout.take());
    let stderr = read(child.stderr.take());
    let end = Instant::now() + patience;
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
