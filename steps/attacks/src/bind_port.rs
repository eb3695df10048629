//! Listens on the host's port, in the place of the service that people expect
//! there. Whether the port is the host's shows when somebody outside connects.

use std::io::Write;
use std::net::TcpListener;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "bind-port",
    tries: "listen on a port of the host, and answer whoever connects to it",
    stopped: StoppedBy::Step(8),
    rule: "ports belong to the network namespace",
    source: "network_namespaces(7), ip(7)",
    arguments: &[
        Argument::new("PORT", "8080", "the port"),
        Argument::new("TEXT", "pwned", "the answer"),
        Argument::new("SECONDS", "10", "how long to wait for somebody"),
    ],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let port: u16 = arguments.number("PORT")?;
    let patience = Duration::from_secs(arguments.number("SECONDS")?);
    let listener = TcpListener::bind(("0.0.0.0", port))
        .or_stopped(format!("bind(0.0.0.0:{port})"))?;
    listener.set_nonblocking(true).context("fcntl(O_NONBLOCK)")?;
    let start = Instant::now();
    while start.elapsed() < patience {
        if let Ok((mut stream, _)) = listener.accept() {
            let _ = writeln!(stream, "{}", arguments.text("TEXT")?);
            return Ok(Outcome::Worked(format!(
                "somebody connected to port {port}"
            )));
        }
        sleep(Duration::from_millis(20));
    }
    Ok(Outcome::Stopped(format!("nobody came to port {port}")))
}
