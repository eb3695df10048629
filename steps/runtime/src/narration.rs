//! The container tells what it does: every kernel call, before it is made.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

use colored::Colorize;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use crate::failure::{Because, Failure};
use crate::layout::{INDENT, Kind, Part, block, width_of};
use crate::locale::shown;
use crate::quote::one_line;
use crate::short_name::ShortName;
use crate::signals::Signals;

/// On which side of the wall something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// In the runtime's own process.
    Host,
    /// In the container's first process.
    Inside,
}

/// Words that are put together when somebody reads them: with `--quiet`, nobody
/// does.
#[derive(Debug)]
pub struct Told<F>(pub F);

impl<F: Fn() -> String> Display for Told<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&(self.0)())
    }
}

/// Tells kernel calls, on stderr. stdout belongs to the command.
#[derive(Debug)]
pub struct Narrator<'a> {
    quiet: bool,
    notes: bool,
    /// The calls of every step are told, not only those of this one.
    all: bool,
    /// The step whose calls are told.
    own: &'static str,
    /// Whose calls are made now, if they are not told but counted.
    counting: Cell<Option<&'static str>>,
    /// In the order in which they came, until something is told.
    counted: RefCell<Vec<Counted>>,
    /// Routine calls of our own step, with the side.
    routine: Cell<Option<(Side, u32)>>,
    /// Why calls of our own step were made: one of the same kind is routine.
    reasons: RefCell<Vec<String>>,
    names: RefCell<Vec<ShortName>>,
    /// Where a person presses Enter before each call.
    pause: Option<RefCell<File>>,
    /// Our own descriptor: the command's terminal takes the place of fd 2.
    stderr: RefCell<File>,
    signals: &'a Signals,
    /// By which signal somebody asked us to stop.
    interrupted: Cell<Option<Signal>>,
}

/// What an earlier step did, and was not told.
#[derive(Debug)]
struct Counted {
    side: Side,
    step: &'static str,
    calls: u32,
    notes: u32,
}

/// Stands for a step where routine of our own is counted.
const ROUTINE: &str = "routine";

impl<'a> Narrator<'a> {
    /// # Errors
    /// With `pause` and no terminal to press Enter in, that of opening /dev/tty.
    pub fn new(
        quiet: bool,
        pause: bool,
        signals: &'a Signals,
    ) -> Result<Narrator<'a>, Failure> {
        colored::control::set_override(has_colours());
        let stderr = io::stderr().as_fd().try_clone_to_owned();
        let stderr = stderr.map_err(|e| Failure::of("dup(2) of stderr", e))?;
        let pause = match pause {
            false => None,
            true => Some(RefCell::new(File::open("/dev/tty").map_err(|e| {
                Failure::of("open(\"/dev/tty\")", e)
            })
            .because(
                Errno::ENXIO,
                "--pause waits for Enter in a terminal: start it from one",
            )?)),
        };
        Ok(Narrator {
            quiet,
            notes: !quiet,
            all: false,
            own: "",
            counting: Cell::default(),
            counted: RefCell::default(),
            routine: Cell::default(),
            reasons: RefCell::default(),
            names: RefCell::default(),
            pause,
            stderr: RefCell::new(File::from(stderr)),
            signals,
            interrupted: Cell::default(),
        })
    }

    /// Calls are not told, notes are.
    #[must_use]
    pub fn of_notes(mut self) -> Narrator<'a> {
        self.notes = true;
        self
    }

    /// Into a file, for whoever wants to read it there.
    #[must_use]
    pub fn into_file(mut self, file: File) -> Narrator<'a> {
        self.stderr = RefCell::new(file);
        self
    }

    /// Of all steps but this one calls are counted, unless `all` are told.
    #[must_use]
    pub fn of_step(mut self, own: &'static str, all: bool) -> Narrator<'a> {
        (self.own, self.all) = (own, all);
        self
    }

    /// Whether the calls of a step are told.
    #[must_use]
    pub fn tells(&self, step: &str) -> bool {
        self.all || step == self.own
    }

    /// What `work` calls is part of a step, and told or counted as such.
    pub fn part<T>(&self, step: &'static str, work: impl FnOnce() -> T) -> T {
        let counting = (!self.tells(step)).then_some(step);
        self.while_counting(counting, work)
    }

    /// What `work` calls needs no telling to understand the step that makes it:
    /// one line counts it, at the end of what its side does.
    pub fn routine<T>(&self, work: impl FnOnce() -> T) -> T {
        match self.counting.get() {
            None if !self.all => self.while_counting(Some(ROUTINE), work),
            _ => work(),
        }
    }

    /// What an earlier step's feature does because a later one asked for it: told
    /// as the later one's.
    pub fn of_newest<T>(&self, work: impl FnOnce() -> T) -> T {
        self.while_counting(None, work)
    }

    /// What every step does: routine, but in the `first` that does it.
    pub(crate) fn routine_after<T>(
        &self,
        first: &str,
        work: impl FnOnce() -> T,
    ) -> T {
        match self.tells(first) {
            true => work(),
            false => self.routine(work),
        }
    }

    fn while_counting<T>(
        &self,
        step: Option<&'static str>,
        work: impl FnOnce() -> T,
    ) -> T {
        let before = self.counting.replace(step);
        let done = work();
        self.counting.set(before);
        done
    }

    /// From now on, `$name` is told instead of this path, if that is shorter.
    pub fn name(&self, name: &'static str, path: &Path) {
        self.names.borrow_mut().extend(ShortName::of(name, path));
    }

    /// Makes a kernel call, after saying so.
    ///
    /// `call` has the real arguments, `why` says what it is for, `shell` is
    /// the command that does the same by hand, or empty where none does.
    ///
    /// # Errors
    /// The kernel's answer together with `call`; or [`Failure::Interrupted`]
    /// when a signal asks us to stop during a pause.
    pub fn call<T, E: Into<io::Error>>(
        &self,
        side: Side,
        call: impl Display,
        why: &str,
        shell: impl Display,
        body: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, Failure> {
        self.tell(side, &call, why, &shell)?;
        body().map_err(|error| Failure::of(call, error))
    }

    /// For work that takes its time: whether somebody asked us to stop.
    ///
    /// # Errors
    /// [`Failure::Interrupted`] if so.
    pub fn interrupted(&self) -> Result<(), Failure> {
        // Once asked, we stay so: whoever passes on another error can look.
        while self.interrupted.get().is_none() {
            let Ok(Some(number)) = self.signals.next() else { return Ok(()) };
            self.interrupted.set(Signals::end(number));
        }
        self.interrupted
            .get()
            .map_or(Ok(()), |it| Err(Failure::Interrupted(it)))
    }

    /// Says that something is left out, and why. Nothing to pause for.
    pub fn note(&self, side: Side, text: impl Display) {
        match self.counting.get() {
            Some(step) if self.notes && step != ROUTINE => {
                self.count(side, step, 0, 1);
            }
            _ => self.note_now(side, text),
        }
    }

    /// The same, whoever acts: for a person who waits.
    pub(crate) fn note_now(&self, side: Side, text: impl Display) {
        if self.notes {
            self.tell_count_of_others();
            let text = one_line(text);
            self.block(side, &[("note: ", &text, Kind::Note)]);
        }
    }

    /// Says a call that is about to be made, and waits for Enter if it should.
    ///
    /// # Errors
    /// [`Failure::Interrupted`] when a signal asks us to stop meanwhile.
    pub fn tell(
        &self,
        side: Side,
        call: &impl Display,
        why: &str,
        shell: &impl Display,
    ) -> Result<(), Failure> {
        if self.quiet {
            return Ok(());
        }
        if let Some(step) = self.counting.get() {
            self.count(side, step, 1, 0);
            return Ok(());
        }
        if self.is_a_repetition(why) {
            self.count(side, ROUTINE, 1, 0);
            return Ok(());
        }
        self.tell_count_of_others();
        let (mut call, mut shell) = (one_line(call), one_line(shell));
        for name in self.names.borrow().iter() {
            call = name.shorten_call(&call);
            shell = name.shorten_shell(&shell);
            if let Some((name, path)) =
                name.explanation(&(call.clone() + &shell))
            {
                let parts =
                    [("", &*name, Kind::Call), ("≙ ", &path, Kind::Shell)];
                self.block(side, &parts);
            }
        }
        let parts = [
            ("", &*call, Kind::Call),
            ("– ", why, Kind::Reason),
            ("≙ ", &shell, Kind::Shell),
        ];
        let told = if shell.is_empty() { 2 } else { 3 };
        self.block(side, &parts[..told]);
        match &self.pause {
            Some(terminal) => self.wait_for_enter(&mut terminal.borrow_mut()),
            None => Ok(()),
        }
    }

    fn count(&self, side: Side, step: &'static str, calls: u32, notes: u32) {
        if step == ROUTINE {
            let before = self.routine.get().map_or(0, |(_, calls)| calls);
            self.routine.set(Some((side, before + calls)));
            return;
        }
        let mut counted = self.counted.borrow_mut();
        let is_its = |it: &&mut Counted| (it.side, it.step) == (side, step);
        match counted.iter_mut().find(is_its) {
            Some(its) => {
                its.calls += calls;
                its.notes += notes;
            }
            None => counted.push(Counted { side, step, calls, notes }),
        }
    }

    /// Whether a call of the same kind was told.
    fn is_a_repetition(&self, why: &str) -> bool {
        let mut reasons = self.reasons.borrow_mut();
        let is_known = reasons.iter().any(|reason| reason == why);
        if !is_known {
            reasons.push(why.to_owned());
        }
        is_known && !self.all
    }

    /// Tells of what was only counted, at the end of what a side does: before
    /// the other side speaks, and before the command does.
    pub(crate) fn tell_count(&self) {
        if let Some((side, calls)) = self.routine.take() {
            self.tell_of_step(side, self.own, &some(calls, "more call"));
        }
        self.tell_count_of_others();
    }

    /// Of earlier steps, before anything else is told.
    fn tell_count_of_others(&self) {
        for Counted { side, step, calls, notes } in self.counted.take() {
            let told = [(calls, "call"), (notes, "note")];
            let told = told.into_iter().filter(|(number, _)| *number > 0);
            let told: Vec<_> =
                told.map(|(number, what)| some(number, what)).collect();
            self.tell_of_step(side, step, &told.join(", "));
        }
    }

    fn tell_of_step(&self, side: Side, step: &str, what: &str) {
        let text = format!("{step:<20}  {what}");
        self.block(side, &[("", &text, Kind::Count)]);
    }

    /// Tells why there is no container, to a person or to a program.
    pub(crate) fn error(program: &str, text: &str) {
        let mut stderr = io::stderr();
        colored::control::set_override(has_colours());
        let text = &shown(text);
        // Whoever is no person looks for words in one line.
        let told = match stderr.is_terminal() {
            false => format!("{program}: {text}\n"),
            true => {
                let text = &format!("{program}: {text}");
                let part = Part { mark: "", text, kind: Kind::Error };
                block("".normal(), &[part], width_of(&stderr))
            }
        };
        // In one piece: others may speak, too. stderr may be closed: no reason
        // to panic over an error.
        let _ = stderr.write_all(told.as_bytes());
    }

    fn block(&self, side: Side, parts: &[(&str, &str, Kind)]) {
        let mut stderr = self.stderr.borrow_mut();
        let side = match side {
            Side::Host => "host".blue(),
            Side::Inside => "inside".green(),
        };
        let parts: Vec<_> = parts
            .iter()
            .map(|&(mark, text, kind)| (shown(mark), shown(text), kind))
            .collect();
        let parts: Vec<_> = parts
            .iter()
            .map(|(mark, text, kind)| Part { mark, text, kind: *kind })
            .collect();
        let told = block(side, &parts, width_of(&*stderr));
        // One write a block: host and inside speak at the same time. And if
        // nobody reads it, the container matters more than its story.
        let _ = stderr.write_all(told.as_bytes());
    }

    fn wait_for_enter(&self, terminal: &mut File) -> Result<(), Failure> {
        let enter = shown("⏎ ").dimmed();
        let _ = self
            .stderr
            .borrow_mut()
            .write_all(format!("{:INDENT$}{enter}", "").as_bytes());
        loop {
            let wait = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let mut fds = [wait(terminal.as_fd()), wait(self.signals.as_fd())];
            let ready = poll(&mut fds, PollTimeout::NONE);
            ready.map_err(|errno| {
                Failure::of("poll(2) of the terminal", errno)
            })?;
            let typed = fds[0].any().unwrap_or(true);
            self.interrupted()?;
            if typed {
                let mut line = [0; 256];
                // The end of input is as good an answer as Enter.
                let _ = terminal.read(&mut line);
                return Ok(());
            }
        }
    }
}

/// An error may come in between: what was done before it is counted all the same.
impl Drop for Narrator<'_> {
    fn drop(&mut self) {
        self.tell_count();
    }
}

fn has_colours() -> bool {
    let variable = |name| std::env::var_os(name).unwrap_or_default();
    io::stderr().is_terminal()
        && variable("NO_COLOR").is_empty()
        && variable("TERM") != "dumb"
}

/// `1 call`, `2 calls`.
fn some(number: u32, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
