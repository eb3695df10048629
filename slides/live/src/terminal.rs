//! One terminal at a time, and in it a demo. It ends with its page.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use pty_process::{Command, OwnedReadPty, OwnedWritePty, Size, open};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::time::timeout;

use crate::door::Door;

/// Of the page: keys and what is pasted come as bytes, the rest as JSON.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Said {
    /// The first one.
    Open {
        token: String,
        demo: usize,
        scene: usize,
        columns: u16,
        rows: u16,
    },
    Size {
        columns: u16,
        rows: u16,
    },
    /// So many bytes of output are on the screen.
    Shown(usize),
}

pub const LONGEST_MESSAGE: usize = 1 << 16;
/// Of keys that the demo has not read: then nobody hears the page out.
const KEYS: usize = 1 << 16;
/// Of output that the page has not shown: then the demo waits, as on any
/// terminal. So Ctrl-C is heard within a screen or two.
const AHEAD: usize = 1 << 17;

pub struct Theatre {
    demos: Vec<PathBuf>,
    /// A page has it until it leaves.
    seat: Semaphore,
    /// A demo has it until everything that it made is gone.
    stage: Mutex<()>,
    closed: watch::Sender<bool>,
}

/// Why a terminal is closed: numbers of our own, and words for the page.
type Farewell = (u16, String);

impl Theatre {
    pub fn of(scripts: &Path) -> Result<Theatre> {
        let scripts = scripts.canonicalize().context("the demos")?;
        let is_demo = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.ends_with(".sh")
                && name.starts_with(|it: char| it.is_ascii_digit())
        };
        let entries = fs::read_dir(&scripts)?.collect::<Result<Vec<_>, _>>()?;
        let paths = entries.iter().map(|entry| entry.path());
        let mut demos: Vec<_> = paths.filter(is_demo).collect();
        demos.sort();
        Ok(Theatre {
            demos,
            seat: Semaphore::new(1),
            stage: Mutex::new(()),
            closed: watch::Sender::new(false),
        })
    }

    /// Ends what plays, and waits until nothing is left of it.
    pub async fn close(&self) {
        self.closed.send_replace(true);
        let _stage = self.stage.lock().await;
    }

    pub async fn play(&self, mut socket: WebSocket, door: &Door) {
        let said = self.play_one(&mut socket, door).await;
        let (code, reason) =
            said.unwrap_or_else(|error| (4500, format!("{error:#}")));
        let frame = CloseFrame { code, reason: reason.into() };
        let _ = socket.send(Message::Close(Some(frame))).await;
    }

    async fn play_one(
        &self,
        socket: &mut WebSocket,
        door: &Door,
    ) -> Result<Farewell> {
        let first = timeout(Duration::from_secs(10), socket.recv()).await;
        let Ok(Some(Ok(Message::Text(first)))) = first else {
            return Ok((4400, "nothing was asked for".into()));
        };
        let Ok(Said::Open { token, demo, scene, columns, rows }) =
            serde_json::from_str(&first)
        else {
            return Ok((4400, "this is no request for a terminal".into()));
        };
        if !door.admits(&token) {
            return Ok((4403, "this is not the token".into()));
        }
        let Some(script) = self.demos.get(demo) else {
            return Ok((4404, format!("there is no demo {demo}")));
        };
        let Ok(seat) = self.seat.try_acquire() else {
            return Ok((4409, "another page has the terminal".into()));
        };
        // The one before may still be putting things away.
        let stage = self.stage.lock().await;
        let mut closed = self.closed.subscribe();
        let mut terminal = Terminal::start(script, scene, columns, rows)?;
        tokio::select! {
            status = terminal.talk(socket) => drop(status),
            _ = closed.wait_for(|closed| *closed) => {}
        }
        drop(seat);
        let status = terminal.end().await;
        drop(stage);
        Ok((1000, status?))
    }
}

struct Terminal {
    child: Child,
    output: OwnedReadPty,
    input: OwnedWritePty,
}

impl Terminal {
    fn start(
        script: &Path,
        scene: usize,
        columns: u16,
        rows: u16,
    ) -> Result<Terminal> {
        let (pty, pts) = open().context("open a terminal")?;
        pty.resize(Size::new(rows.max(1), columns.max(1)))?;
        let child = Command::new(script)
            .args(["--from", &scene.to_string()])
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("NO_COLOR")
            .kill_on_drop(true)
            .spawn(pts)
            .with_context(|| format!("start {}", script.display()))?;
        let (output, input) = pty.into_split();
        Ok(Terminal { child, output, input })
    }

    /// Until the demo ends, or the page goes.
    async fn talk(&mut self, socket: &mut WebSocket) -> Result<()> {
        let (mut keys, mut ahead, mut ended) = (Vec::new(), 0, false);
        let mut bytes = [0; 1 << 14];
        loop {
            tokio::select! {
                said = socket.recv(), if keys.len() < KEYS => {
                    let Some(Ok(said)) = said else { return Ok(()) };
                    match said {
                        Message::Binary(more) => keys.extend_from_slice(&more),
                        Message::Text(text) => {
                            match serde_json::from_str(&text)? {
                                Said::Size { columns, rows } => self.input
                                    .resize(Size::new(rows.max(1), columns.max(1)))?,
                                Said::Shown(length) => {
                                    ahead = usize::saturating_sub(ahead, length);
                                }
                                Said::Open { .. } => return Ok(()),
                            }
                        }
                        Message::Close(_) => return Ok(()),
                        _ => {}
                    }
                }
                length = self.input.write(&keys), if !keys.is_empty() => {
                    keys.drain(..length?);
                }
                // When nobody has it open any more: EIO.
                length = self.output.read(&mut bytes), if ahead < AHEAD => {
                    let Ok(length @ 1..) = length else { return Ok(()) };
                    ahead += length;
                    let output = bytes[..length].to_vec();
                    socket.send(Message::Binary(output.into())).await?;
                }
                // Something that it has left behind may have it open.
                _ = self.child.wait(), if !ended => ended = true,
                _ = tokio::time::sleep(Duration::from_millis(200)), if ended => {
                    return Ok(());
                }
            }
        }
    }

    /// What was closed hangs up on the demo: it ends what it plays, and its host
    /// goes with it.
    async fn end(self) -> Result<String> {
        let Terminal { mut child, output, input } = self;
        drop((output, input));
        let ended = timeout(Duration::from_secs(15), child.wait()).await;
        match ended {
            Ok(status) => Ok(status.context("wait for the demo")?.to_string()),
            Err(_) => {
                child.kill().await.context("kill the demo")?;
                Ok("it did not end, and was killed".into())
            }
        }
    }
}
