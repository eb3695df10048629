//! The order in which files were used, as the kernel reports it (inotify(7)).

use std::path::Path;

use super::look::soon;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// A look at some files, from the start on.
#[derive(Debug)]
pub struct Order {
    inotify: Inotify,
    files: Vec<WatchDescriptor>,
}

impl Order {
    /// Looks at who writes these files, and who opens (or executes) those.
    ///
    /// # Panics
    /// When one is not there.
    #[must_use]
    pub fn of(written: &[&Path], opened: &[&Path]) -> Order {
        let inotify =
            Inotify::init(InitFlags::IN_NONBLOCK).expect("inotify_init");
        let written = written.iter().map(|it| (it, AddWatchFlags::IN_MODIFY));
        let opened = opened.iter().map(|it| (it, AddWatchFlags::IN_OPEN));
        let watch = |(file, how): (&&Path, _)| {
            inotify.add_watch(*file, how).expect("inotify_add_watch")
        };
        let files = written.chain(opened).map(watch).collect();
        Order { inotify, files }
    }

    /// The files by their place in the two lists, each at its first use: all
    /// of them, or those that were used within a moment.
    pub fn seen(&self) -> Vec<usize> {
        let mut seen = Vec::new();
        soon(|| {
            self.add_to(&mut seen);
            seen.len() == self.files.len()
        });
        seen
    }

    fn add_to(&self, seen: &mut Vec<usize>) {
        while let Ok(events) = self.inotify.read_events() {
            for event in events {
                let which = self.files.iter().position(|it| *it == event.wd);
                seen.extend(which.filter(|which| !seen.contains(which)));
            }
        }
    }
}
