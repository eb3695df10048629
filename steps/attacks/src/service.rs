//! A service of the host, and what it answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context;

use crate::attack::{OrStopped, Outcome, Try};

/// Nobody waits longer than this on a stage, or for an answer from their own
/// machine.
const PATIENCE: Duration = Duration::from_secs(2);

/// Connects by TCP, and reads a line.
pub fn connect(address: &str) -> Try {
    let parsed: SocketAddr = address
        .parse()
        .with_context(|| format!("{address:?} is no address"))?;
    let stream = TcpStream::connect_timeout(&parsed, PATIENCE)
        .or_stopped(format!("connect({address})"))?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .context("setsockopt(SO_RCVTIMEO)")?;
    greet(&stream, &stream, address)
}

/// A web server waits to be asked; a service that speaks first does not mind.
pub fn greet(mut to: impl Write, from: impl Read, address: &str) -> Try {
    let _ = to.write_all(b"GET / HTTP/1.0\r\n\r\n");
    let mut line = String::new();
    let _ = BufReader::new(from).read_line(&mut line);
    let line = line.trim_end().escape_debug().to_string();
    Ok(Outcome::Worked(format!("{address} answers: {line}")))
}
