#![forbid(unsafe_code)]
//! Plays a demo. The script that describes it (scripts/NN-name.sh) starts this
//! program, which starts itself again for each stage:
//!
//! ```text
//!   outside       starts a playground, and another one for each jump: only a new
//!     │           host is in the right state
//!     └▶ on stage   a directory and a bash of the demo's own; it plays, and
//!                   leaves nothing behind, however it ends
//! ```

mod play;
mod scenes;
mod screen;
mod session;
mod stage;

use std::io::{IsTerminal, stdin, stdout};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{SetArg, tcgetattr, tcsetattr};
use nix::unistd::{Pid, geteuid};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use play::{Clock, JUMP, Player};
use scenes::Demo;
use screen::{Screen, speaks_utf8};
use session::{Person, Session};
use stage::Stage;

#[derive(Parser)]
#[command(max_term_width = 80, args_override_self = true, after_help = AFTER)]
struct Options {
    #[arg(hide = true)]
    playground: PathBuf,

    #[arg(hide = true)]
    script: PathBuf,

    /// Play on this host, as root
    #[arg(long)]
    real: bool,

    /// Play without a person; fail if something is not as expected. The default
    /// if stdin is not a terminal
    #[arg(long)]
    auto: bool,

    /// How fast --auto plays: 1 can be followed, 2 is twice as fast, 0 does not
    /// wait [default: 1 on a terminal, 0 elsewhere]
    #[arg(long, value_name = "N")]
    speed: Option<u64>,

    /// Begin with scene N
    #[arg(long, value_name = "N", default_value_t = 1)]
    from: usize,

    /// Show how long each scene took, against the plan
    #[arg(long)]
    rehearse: bool,

    /// For scripts/record.sh: don't wait, and write to stdout what a terminal of
    /// 100 columns shows, and how long each wait would be
    #[arg(long)]
    record: bool,

    /// List the scenes and their minutes
    #[arg(long)]
    list: bool,

    /// Play once, here. A jump is an exit status
    #[arg(long, hide = true)]
    on_stage: bool,

    /// The caller's terminal shows no other characters
    #[arg(long, hide = true)]
    ascii: bool,
}

const AFTER: &str = "\
Keys  Enter continue · s shell · b back one scene · g N go to scene N · r repeat
      this scene · q quit · ? these keys
      To open a second terminal on the same host: scripts/playground.sh --join

Exit status: 0; 1 if an expectation does not hold; 130 after Ctrl-C.";

impl Options {
    fn speed(&self) -> u64 {
        let waits = !self.record && (!self.auto || stdout().is_terminal());
        self.speed.filter(|_| !self.record).unwrap_or(u64::from(waits))
    }
}

/// Why a demo ends before its end: with this exit status, or an error.
enum Stop {
    Status(u8),
    Error(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Stop {
    fn from(error: E) -> Stop {
        Stop::Error(error.into())
    }
}

type Played<T> = Result<T, Stop>;

fn main() -> ExitCode {
    let script = std::env::args_os().nth(2).map(PathBuf::from);
    let played = script
        .context("a script in scripts/ starts this program")
        .and_then(|script| Demo::of(&script))
        .map_err(Stop::Error)
        .and_then(|demo| play(&demo, &options(&demo)));
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Status(status)) => status.into(),
        Err(Stop::Error(error)) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn options(demo: &Demo) -> Options {
    let script = format!("scripts/{}.sh", demo.name);
    let mut command = Options::command()
        .override_usage(format!("{script} [OPTIONS]"))
        .about(format!(
            "{}: a demo in {} scenes. It plays in the playground, without sudo.",
            demo.title,
            demo.scenes.len()
        ));
    let matches = command.get_matches_mut();
    let mut options = Options::from_arg_matches(&matches)
        .unwrap_or_else(|error| error.exit());
    if !(1..=demo.scenes.len()).contains(&options.from) {
        let scenes = demo.scenes.len();
        let wrong = format!("--from takes a scene, 1 to {scenes}");
        command.error(ErrorKind::ValueValidation, wrong).exit()
    }
    options.auto |= options.record || !stdin().is_terminal();
    options.ascii |= !options.on_stage && !speaks_utf8();
    options
}

fn play(demo: &Demo, options: &Options) -> Played<()> {
    if options.on_stage {
        return on_stage(demo, options);
    }
    let mut from = options.from;
    loop {
        let status = accompany(&mut outside(demo, options, from)?)?;
        match status.checked_sub(JUMP).map(usize::from) {
            Some(scene @ 1..) if scene <= demo.scenes.len() => from = scene,
            _ => return Err(Stop::Status(status)),
        }
    }
}

/// What plays it on the right host.
fn outside(demo: &Demo, options: &Options, from: usize) -> Played<Command> {
    let mut command = Command::new(&demo.script);
    if !options.real && !in_playground() {
        command = Command::new(&options.playground);
        command.arg("--").arg(&demo.script);
    } else if !geteuid().is_root() {
        let script = demo.script.display();
        eprintln!(
            "{}: --real needs root.\n  Try: sudo {script} --real\n  Or leave it \
             out: the playground needs no sudo.",
            demo.name
        );
        return Err(Stop::Status(2));
    } else if !in_playground() {
        tell_changes(demo);
    }
    command.arg("--on-stage").args(std::env::args_os().skip(3));
    command.args(options.ascii.then_some("--ascii"));
    command.args(["--from", &from.to_string()]);
    let clock = Clock::new();
    command.env("DEMO_STARTED", clock.started.to_string());
    Ok(command)
}

fn in_playground() -> bool {
    std::env::var_os("PLAYGROUND").is_some_and(|it| !it.is_empty())
}

fn tell_changes(demo: &Demo) {
    eprintln!(
        "{}: plays on this very host, as root. At its end, or after Ctrl-C, it \
         puts back what it changes:\n  a directory below /tmp, with mounts and \
         processes in it",
        demo.name
    );
    for (what, _) in &demo.changes {
        eprintln!("  {what}");
    }
}

/// Runs it. A signal to us ends it. What it runs does not ignore what our caller
/// ignores: a signal that we handle has its default there.
fn accompany(command: &mut Command) -> Result<u8> {
    let ours = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD];
    let mut signals = Signals::new(ours).context("handle signals")?;
    let settings = tcgetattr(stdin()).ok();
    let mut child = command
        .spawn()
        .with_context(|| format!("start {:?}", command.get_program()))?;
    let mut stopped = false;
    let mut ended = None;
    while ended.is_none() {
        for signal in signals.wait() {
            if signal != SIGCHLD {
                stopped = true;
                let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
            }
        }
        ended = child.try_wait()?;
    }
    if let Some(settings) = settings {
        let _ = tcsetattr(stdin(), SetArg::TCSANOW, &settings);
    }
    let status = ended.context("it has ended")?;
    let code = status.code().or(status.signal().map(|number| 128 + number));
    Ok(if stopped { 130 } else { code.unwrap_or(1) as u8 })
}

fn on_stage(demo: &Demo, options: &Options) -> Played<()> {
    let undo = demo.changes.iter().map(|(_, command)| command.clone());
    let stage = Stage::new(undo.filter(|it| !it.is_empty()).collect())?;
    let screen = Screen::new(options.record, !options.ascii);
    let mut environment = Vec::new();
    if !stdout().is_terminal() && !options.record {
        // Neither reaches a container.
        environment.extend([("NO_COLOR", "1"), ("TERM", "dumb")]);
    }
    if options.ascii {
        environment.push(("LC_ALL", "C"));
    }
    // Default root directories go away with the stage, too.
    let cache = stage.directory.join(".cache").display().to_string();
    if !in_playground() {
        environment.push(("XDG_CACHE_HOME", &cache));
    }
    let person = match stdin().is_terminal() {
        true => Some(Person::at_the_terminal()?),
        false => None,
    };
    let session = Session::start(&stage, screen, person, &environment)?;
    let scene = options.from - 1;
    Player { demo, options, session, scene, clock: Clock::new() }.play()
}
