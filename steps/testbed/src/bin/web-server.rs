#![forbid(unsafe_code)]
//! A web server of one sentence: for the playground's pretend internet, and
//! for containers that publish a port.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

// Linked like the steps, it carries along what it needs of libgcc_s: the root
// directory of a container may have no such library.
use runtime as _;

const USAGE: &str = "usage: web-server ADDRESS:PORT TEXT

Answers every HTTP request with TEXT and a line feed.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, text] = &arguments[..] else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let listener = match TcpListener::bind(address) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("web-server: bind({address}): {error}");
            return ExitCode::FAILURE;
        }
    };
    for connection in listener.incoming().flatten() {
        // A client that hangs up, or says nothing, is its own problem.
        let _ = answer(connection, text);
    }
    ExitCode::SUCCESS
}

fn answer(mut connection: TcpStream, text: &str) -> std::io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(2)))?;
    let request = BufReader::new(connection.try_clone()?).lines();
    for line in request {
        if line?.is_empty() {
            break;
        }
    }
    let length = text.len() + 1;
    write!(
        connection,
        "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{text}\n"
    )
}
