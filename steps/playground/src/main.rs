#![forbid(unsafe_code)]
//! A pretend host, made of what the steps teach.
//!
//! ```text
//!   outside              a cgroup, and for an ordinary user a user namespace
//!     │                  in which they are root
//!     └▶ the view        mounts of its own: the host's files, below overlays
//!          └▶ PID 1      all namespaces at once, of root's own: /proc, /dev, a
//!               │        new root, a network; then it begins anew as `--init`
//!               └▶ the command
//! ```
//!
//! Each dies with the one above it. A process beside them outlives them all and
//! takes the cgroups away, which are all that the kernel does not.

mod environment;
mod etc;
mod host;
mod internet;
mod join;
mod outside;
mod view;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Error, Result, anyhow};
use clap::Parser;
use nix::sys::signal::{SigSet, Signal};
use runtime::{RUNTIME_FAILED, begin_as_known, told};

/// Runs COMMAND (default: an interactive shell) as root of a pretend host
///
/// It has its own hostname, processes, mounts, network, cgroup, and a
/// throw-away view of your filesystem. It needs no sudo. Nothing done inside
/// reaches the real host, and nothing is left when COMMAND ends. It begins the
/// same on every host: your forwarding, firewall, limits, umask and language
/// do not show through.
#[derive(Parser)]
#[command(bin_name = "scripts/playground.sh", max_term_width = 80)]
#[command(after_help = AFTER, after_long_help = AFTER)]
struct Cli {
    /// Run COMMAND in the playground that you started in another terminal
    ///
    /// It runs as the same root of the same host, and ends when that
    /// playground ends. If several run, PID is that of its playground.sh.
    #[arg(long, value_name = "PID", num_args = 0..=1, require_equals = true)]
    join: Option<Option<i32>>,

    /// [default: an interactive shell]
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    command: Vec<OsString>,
}

const AFTER: &str = "Inside
  PLAYGROUND=1         says where you are
  PLAYGROUND_IDS       how many user ids exist; 1 without an /etc/subuid range
  PLAYGROUND_CGROUP    v1, v2, hybrid, or none if you have no cgroup to give
  PLAYGROUND_INTERNET  the pretend internet's web server, 203.0.113.10
  WORKSHOP_BIN         the directory of the workshop's programs, first in PATH.
                       Set it outside to choose another one.
  XDG_CACHE_HOME       on a tmpfs, where an overlay can have its upper layer

  nsenter --net=/run/netns/internet COMMAND     runs COMMAND in the internet
  scripts/as-learner.sh COMMAND                 runs COMMAND as an ordinary user

The internet has no route back to a network of yours (10.0.0.0/8, say): a
container reaches it through NAT only.

COMMAND starts with every signal at its default, even those that the caller
ignores (nohup does that). To outlive your terminal, start it with: setsid

Exit status: the command's own; 125 when the playground can't start, or when
there is none to join.";

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let ended = match words.next() {
        // What PID 1 starts itself with, and what the lab's machine starts. No
        // person types them.
        Some(word) if word == host::INIT => host::init(words.collect()),
        Some(word) if word == "--internet" => internet::begin().map(|()| 0),
        _ => from_the_command_line(),
    };
    ended.unwrap_or_else(|error| tell(&error)).into()
}

fn from_the_command_line() -> Result<u8> {
    let cli = Cli::try_parse().unwrap_or_else(|error| {
        let _ = error.print();
        let failed = i32::from(error.use_stderr());
        std::process::exit(failed * i32::from(RUNTIME_FAILED))
    });
    begin_as_known()?;
    // Ctrl-C is for the command: we wait for its end.
    let keys = [Signal::SIGINT, Signal::SIGQUIT];
    keys.into_iter().collect::<SigSet>().thread_block()?;
    match cli.join {
        Some(pid) => join::join(pid, cli.command),
        None => outside::start(cli.command),
    }
}

/// Tells why there is no playground, and what to do: the exit status for it.
fn tell(error: &Error) -> u8 {
    let text = error.to_string();
    let lines = match text.contains('\n') {
        true => text.lines().map(|line| told(&anyhow!("{line}"))).collect(),
        false => vec![told(error)],
    };
    eprintln!("playground: {}", lines.join("\n            "));
    RUNTIME_FAILED
}
