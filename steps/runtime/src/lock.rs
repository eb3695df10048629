//! A lock that somebody else may hold
//! ([flock(2)](https://man7.org/linux/man-pages/man2/flock.2.html)). Whoever may
//! open a file may lock it, and keep it locked: nobody waits here without an
//! end, nor without a word.

use std::fs::File;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::failure::{Because, Failure};
use crate::narration::{Narrator, Side};

const PATIENCE: Duration = Duration::from_secs(10);
/// So long a lock may take without a word.
const MOMENT: Duration = Duration::from_millis(500);

impl Narrator<'_> {
    /// Locks a file or directory, of which `path` is the name. Another runtime
    /// that holds it is done within milliseconds.
    ///
    /// # Errors
    /// As flock(2); `EAGAIN` when it stays locked;
    /// [`Failure::Interrupted`] when a signal asks us to stop meanwhile.
    pub fn lock(
        &self,
        file: File,
        how: FlockArg,
        path: &Path,
    ) -> Result<Flock<File>, Failure> {
        self.lock_within(PATIENCE, file, how, path)
    }

    /// As [`Narrator::lock`], where another runtime may be at work for longer.
    pub(crate) fn lock_within(
        &self,
        patience: Duration,
        mut file: File,
        how: FlockArg,
        path: &Path,
    ) -> Result<Flock<File>, Failure> {
        let at_once = match how {
            FlockArg::LockShared => FlockArg::LockSharedNonblock,
            FlockArg::LockExclusive => FlockArg::LockExclusiveNonblock,
            at_once => at_once,
        };
        let (begin, mut told) = (Instant::now(), false);
        loop {
            let errno = match Flock::lock(file, at_once) {
                Ok(locked) => return Ok(locked),
                Err((back, errno)) => {
                    file = back;
                    errno
                }
            };
            let waited = begin.elapsed();
            if errno != Errno::EAGAIN || waited >= patience {
                return Err(Failure::of(format!("flock({path:?})"), errno))
                    .because(
                        Errno::EAGAIN,
                        format!(
                            "another process has kept it locked for {} s; \
                             `sudo lslocks` shows which",
                            waited.as_secs()
                        ),
                    );
            }
            if waited >= MOMENT && !told {
                told = true;
                self.note_now(
                    Side::Host,
                    format!("waiting: another process has locked {path:?}"),
                );
            }
            self.interrupted()?;
            sleep(Duration::from_millis(5));
        }
    }
}
