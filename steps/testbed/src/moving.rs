//! For what may take longer than two seconds: on a terminal, a line says what
//! is done, and the seconds in it count. So nobody takes it for dead.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The line, as long as this exists.
#[derive(Debug)]
pub struct Moving(Option<(Sender<()>, JoinHandle<()>)>);

impl Moving {
    /// Asks for the line's text anew each second, from the second one on.
    pub fn begin(text: impl Fn() -> String + Send + 'static) -> Moving {
        if !io::stderr().is_terminal() {
            return Moving(None);
        }
        let (over, is_over) = channel();
        let second = Duration::from_secs(1);
        let thread = thread::spawn(move || {
            let mut seen = false;
            let _ = is_over.recv_timeout(second);
            while is_over.recv_timeout(second) == Err(RecvTimeoutError::Timeout)
            {
                show(&text());
                seen = true;
            }
            if seen {
                show("");
            }
        });
        Moving(Some((over, thread)))
    }

    /// For whoever prints a line of their own.
    pub fn make_room(&self) {
        if self.0.is_some() {
            show("");
        }
    }
}

/// As wide as the narrowest terminal that is usual. Whatever is printed next
/// takes its place.
fn show(text: &str) {
    let line = format!("{text:79.79}\r");
    let _ = io::stderr().write_all(line.as_bytes());
}

impl Drop for Moving {
    fn drop(&mut self) {
        if let Some((over, thread)) = self.0.take() {
            drop(over);
            let _ = thread.join();
        }
    }
}
