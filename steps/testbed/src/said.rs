//! What a program says by a pipe, for listeners whose patience ends.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// All that a program has said, and the pipe by which more comes.
#[derive(Debug)]
pub struct Said {
    pipe: Option<File>,
    pub all: Vec<u8>,
    /// How much of it was asked for.
    heard: usize,
}

impl Said {
    pub fn by(pipe: impl Into<OwnedFd>) -> Said {
        let pipe = Some(File::from(pipe.into()));
        Said { pipe, all: Vec::new(), heard: 0 }
    }

    /// The next line, without its line feed; what there is, at the end.
    pub fn line(&mut self, end: Instant) -> String {
        loop {
            let rest = &self.all[self.heard..];
            if let Some(length) = rest.iter().position(|&byte| byte == b'\n') {
                let line = String::from_utf8_lossy(&rest[..length]).into();
                self.heard += length + 1;
                return line;
            }
            if !listen(&mut [self], end) {
                return self.rest();
            }
        }
    }

    /// What was not asked for yet.
    pub fn rest(&mut self) -> String {
        let rest = String::from_utf8_lossy(&self.all[self.heard..]).into();
        self.heard = self.all.len();
        rest
    }

    fn take(&mut self) {
        let mut bytes = [0; 65536];
        let Some(pipe) = &mut self.pipe else { return };
        match pipe.read(&mut bytes) {
            Ok(0) => self.pipe = None,
            Ok(length) => self.all.extend_from_slice(&bytes[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("read a pipe: {error}"),
        }
    }
}

/// Waits until one of them says more, or ends. False when all have ended.
///
/// # Panics
/// When none does in time, with what they have said.
pub fn listen(them: &mut [&mut Said], end: Instant) -> bool {
    let mut open: Vec<_> =
        them.iter_mut().filter(|it| it.pipe.is_some()).collect();
    let mut fds: Vec<_> = open
        .iter()
        .filter_map(|it| it.pipe.as_ref())
        .map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN))
        .collect();
    if fds.is_empty() {
        return false;
    }
    let left = end.saturating_duration_since(Instant::now());
    let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    let _ = poll(&mut fds, left);
    let ready: Vec<_> =
        fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
    drop(fds);
    let late = !ready.contains(&true) && Instant::now() >= end;
    if late {
        let said = open.iter().map(|it| String::from_utf8_lossy(&it.all));
        let said: Vec<_> = said.collect();
        panic!("nothing more is said. So far: {said:?}");
    }
    for (it, _) in open.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
        it.take();
    }
    true
}
