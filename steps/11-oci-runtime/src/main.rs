#![forbid(unsafe_code)]
//! A runtime that docker, containerd and podman drive.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use oci_runtime::command_line::{Cli, Command};
use oci_runtime::{exec, lifecycle, log, sealed, unpack};

fn main() -> ExitCode {
    // It begins anew: so that comes first, when nothing else is done yet.
    let enters =
        |it| ["create", "run", "exec"].map(OsString::from).contains(&it);
    let sealed = match std::env::args_os().any(enters) {
        true => sealed::begin(),
        false => Ok(()),
    };
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let done = sealed.and_then(|()| match &cli.command {
        Command::Create(it) => lifecycle::create(&cli, it).map(|()| 0),
        Command::Start { id } => lifecycle::start(&cli, id).map(|()| 0),
        Command::Run(it) => lifecycle::run(&cli, it),
        Command::State { id } => lifecycle::state(&cli, id).map(|()| 0),
        Command::List(it) => lifecycle::list(&cli, it).map(|()| 0),
        Command::Kill(it) => lifecycle::kill(&cli, it).map(|()| 0),
        Command::Delete(it) => lifecycle::delete(&cli, it).map(|()| 0),
        Command::Exec(it) => exec::exec(&cli, it),
        Command::Ps(it) => lifecycle::ps(&cli, it).map(|()| 0),
        Command::Pause { id } => lifecycle::freeze(&cli, id, true).map(|()| 0),
        Command::Resume { id } => {
            lifecycle::freeze(&cli, id, false).map(|()| 0)
        }
        Command::Update(it) => lifecycle::update(&cli, it).map(|()| 0),
        Command::Spec(it) => lifecycle::spec(it).map(|()| 0),
        Command::Pull(it) => {
            let patience = Duration::from_secs(it.timeout);
            image::pull(&it.image, &it.directory, patience).map(|()| 0)
        }
        Command::Unpack(it) => unpack::unpack(it).map(|()| 0),
        Command::Features => lifecycle::features().map(|()| 0),
    });
    ExitCode::from(done.unwrap_or_else(|error| log::failed(&cli, &error)))
}
