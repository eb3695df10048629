//! A server that answers as a claim wants it to, and not always well.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What somebody asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    headers: BTreeMap<String, String>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// What its path ends with, behind `/v2/NAME/blobs/`.
    pub fn blob(&self) -> Option<&str> {
        Some(self.path.split_once("/blobs/")?.1)
    }
}

pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    length: usize,
    hangs: bool,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        let body = body.into();
        let length = body.len();
        Answer { status, headers: vec![], body, length, hangs: false }
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Answer {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// None at all, and stays on the line.
    pub fn none() -> Answer {
        Answer::new(0, "")
    }

    /// Breaks off after so many bytes.
    pub fn cut(mut self, at: usize) -> Answer {
        self.body.truncate(at);
        self
    }

    /// Says no more, and stays on the line.
    pub fn hanging(mut self) -> Answer {
        self.hangs = true;
        self
    }
}

/// Answers until the last claim has ended.
pub struct Server {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    unheard: Arc<AtomicUsize>,
}

impl Server {
    pub fn start<F>(host: &str, answers: F) -> Server
    where
        F: Fn(&Asked) -> Answer + Send + Sync + 'static,
    {
        Server::speaking(None, host, answers)
    }

    /// Speaks HTTPS, or plain HTTP.
    pub fn speaking<F>(
        tls: Option<Arc<ServerConfig>>,
        host: &str,
        answers: F,
    ) -> Server
    where
        F: Fn(&Asked) -> Answer + Send + Sync + 'static,
    {
        let listener = TcpListener::bind((host, 0)).expect("bind");
        let address = listener.local_addr().expect("its address");
        let asked = Arc::new(Mutex::new(vec![]));
        let unheard = Arc::new(AtomicUsize::new(0));
        let (all, left) = (Arc::clone(&asked), Arc::clone(&unheard));
        let answers = Arc::new(answers);
        thread::spawn(move || {
            for line in listener.incoming().flatten() {
                let (all, left) = (Arc::clone(&all), Arc::clone(&left));
                let answers = Arc::clone(&answers);
                let tls = tls.clone().map(|it| {
                    ServerConnection::new(it).expect("a TLS connection")
                });
                thread::spawn(move || {
                    let done = match tls {
                        None => serve(line, &all, &*answers),
                        Some(tls) => {
                            let line = StreamOwned::new(tls, line);
                            serve(line, &all, &*answers)
                        }
                    };
                    left.fetch_add(done.is_err().into(), Ordering::SeqCst);
                });
            }
        });
        Server { address, asked, unheard }
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("what was asked").clone()
    }

    /// How many have hung up in the middle of an answer.
    pub fn unheard(&self) -> usize {
        self.unheard.load(Ordering::SeqCst)
    }

    /// The digests of all blobs that it was asked for.
    pub fn blobs(&self) -> Vec<String> {
        let asked = self.asked();
        asked.iter().filter_map(Asked::blob).map(str::to_owned).collect()
    }
}

fn serve(
    line: impl Read + Write,
    all: &Mutex<Vec<Asked>>,
    answers: &dyn Fn(&Asked) -> Answer,
) -> io::Result<()> {
    let mut lines = BufReader::new(line);
    let mut first = String::new();
    // TLS begins with a byte that is no letter.
    let is_plain = lines.fill_buf().is_ok_and(|it| it.starts_with(b"GET "));
    if is_plain {
        lines.read_line(&mut first).expect("a line");
    }
    let path = first.split(' ').nth(1).filter(|_| is_plain);
    let mut asked = Asked {
        path: path.unwrap_or("not HTTP").to_owned(),
        headers: BTreeMap::new(),
    };
    let mut header = String::new();
    while is_plain
        && lines.read_line(&mut header).is_ok_and(|_| header.trim() != "")
    {
        let (name, value) = header.split_once(':').expect("a header");
        let value = value.trim().to_owned();
        asked.headers.insert(name.to_ascii_lowercase(), value);
        header.clear();
    }
    all.lock().expect("what was asked").push(asked.clone());
    let answer = answers(&asked);
    if answer.status == 0 {
        return lines.read(&mut [0]).map(drop);
    }
    let mut head = format!(
        "HTTP/1.1 {} So\r\nConnection: close\r\nContent-Length: {}\r\n",
        answer.status, answer.length
    );
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let to = lines.get_mut();
    write!(to, "{head}\r\n")?;
    to.write_all(&answer.body)?;
    to.flush()?;
    if answer.hangs {
        return lines.read(&mut [0]).map(drop);
    }
    Ok(())
}
