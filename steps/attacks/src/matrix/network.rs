//! Steps 08 and 09: the network.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self as unix, UnixListener};
use std::thread::{sleep, spawn};
use std::time::Duration;

use testbed::token;

use crate::places::{
    Place, Verdict, judge, need_disposable_host, need_root, stdout,
};

/// Answers the first visitor, then is gone. Nobody waits for a visitor who
/// never comes: the thread ends with us.
fn answer<S: Read + Write + Send + 'static>(
    accept: impl FnOnce() -> Option<S> + Send + 'static,
    word: &str,
) {
    let word = word.to_owned();
    spawn(move || {
        if let Some(mut visitor) = accept() {
            let _ = visitor.read(&mut [0; 64]);
            let _ = writeln!(visitor, "{word}");
        }
    });
}

/// A service of the host: its port, and what only it can say.
fn service(address: Ipv4Addr) -> (String, String) {
    let listener = TcpListener::bind((address, 0)).expect("listen");
    let port = listener.local_addr().expect("an address").port();
    let word = token();
    answer(move || Some(listener.accept().ok()?.0), &word);
    (port.to_string(), word)
}

pub fn host_loopback(place: Place) -> Verdict {
    let (port, word) = service(Ipv4Addr::LOCALHOST);
    let output = place.attack("host-loopback", &[&port]);
    judge(&output, stdout(&output).contains(&word))
}

pub fn abstract_socket(place: Place) -> Verdict {
    let (name, word) = (token(), token());
    let address = unix::SocketAddr::from_abstract_name(&name).expect("a name");
    let listener = UnixListener::bind_addr(&address).expect("listen");
    answer(move || Some(listener.accept().ok()?.0), &word);
    let output = place.attack("abstract-socket", &[&name]);
    judge(&output, stdout(&output).contains(&word))
}

/// Somebody on the host connects, and reads who answers.
pub fn bind_port(place: Place) -> Verdict {
    need_disposable_host()?;
    let (port, word) = (free_port(), token());
    let given = [&*port.to_string(), &word, "2"];
    let mut attack = place.spawn("bind-port", &given);
    let mut seen = false;
    while !seen && attack.try_wait().expect("look at it").is_none() {
        seen = is_answered(port, &word);
        sleep(Duration::from_millis(10));
    }
    judge(&attack.wait_with_output().expect("wait for it"), seen)
}

/// Not one that the kernel hands out by itself: a client that asks for such a
/// port often enough might meet itself.
fn free_port() -> u16 {
    let digits = || token().bytes().map(u16::from).sum::<u16>();
    let tries = std::iter::repeat_with(|| 20_000 + digits() * 7 % 10_000);
    let is_free = |port: &u16| TcpListener::bind(("0.0.0.0", *port)).is_ok();
    tries.take(100).find(is_free).expect("a port that is free")
}

fn is_answered(port: u16, word: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.trim_end() == word
}

/// Below step 08 there is no bridge: the host's own address leads there.
pub fn bridge_service(place: Place) -> Verdict {
    need_disposable_host()?;
    let (port, word) = service(Ipv4Addr::UNSPECIFIED);
    let address = hosts_address();
    let given = [&*port, &*address];
    let given = if place.step < 8 { &given[..] } else { &given[..1] };
    let output = place.attack("bridge-service", given);
    judge(&output, stdout(&output).contains(&word))
}

/// The one that packets to the pretend internet would carry. None is sent.
fn hosts_address() -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    let known = socket.connect("203.0.113.10:9");
    let own = known.and_then(|()| socket.local_addr());
    own.map_or("127.0.0.1".into(), |address| address.ip().to_string())
}

/// The host sends the neighbour what only the neighbour should read.
pub fn pose_as_neighbour(place: Place) -> Verdict {
    need_disposable_host()?;
    need_root()?;
    let own_address = "tail -n 1 /etc/hosts; read line";
    let mut neighbour = place.step().sh(own_address).start();
    let line = neighbour.line();
    let address = line.split_whitespace().next().expect("its address");
    let (socket, word) = (UdpSocket::bind("0.0.0.0:0"), token());
    let socket = socket.expect("a socket");
    let mut attack = place.spawn("pose-as-neighbour", &[address]);
    while attack.try_wait().expect("look at it").is_none() {
        let _ = socket.send_to(word.as_bytes(), (address, 9));
        sleep(Duration::from_millis(20));
    }
    let output = attack.wait_with_output().expect("wait for it");
    judge(&output, stdout(&output).contains(&word))
}
