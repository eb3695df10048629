//! Plays the scenes, and reports what is not as expected.

use std::fs;
use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::scenes::{Demo, Line};
use crate::screen::{BOLD, CYAN, DIM, GREEN, RED};
use crate::session::Session;
use crate::{Options, Played, Stop};

pub struct Player<'a> {
    pub demo: &'a Demo,
    pub options: &'a Options,
    pub session: Session,
    /// The one that is playing, from 0 on.
    pub scene: usize,
    pub clock: Clock,
}

/// How long it took, against the plan.
pub struct Clock {
    /// When this talk began (seconds since the epoch), and how much of it was
    /// planned before this demo.
    pub started: u64,
    pub planned: u64,
    pub told: Vec<String>,
}

impl Clock {
    pub fn new() -> Clock {
        let number = |name| std::env::var(name).ok()?.parse().ok();
        Clock {
            started: number("DEMO_STARTED").unwrap_or_else(now),
            planned: number("DEMO_PLANNED").unwrap_or(0),
            told: Vec::new(),
        }
    }
}

/// Seconds since the epoch.
fn now() -> u64 {
    UNIX_EPOCH.elapsed().unwrap_or_default().as_secs()
}

/// The last command, as it ended.
struct Ended<'a> {
    command: &'a str,
    status: i32,
    output: String,
}

/// One line of a terminal.
const KEYS: &str = "Enter continue · s shell · b back · g N scene N · \
                    r repeat · q quit · ? keys";

const NO_KEY: &str = "\nThis key does nothing. ? shows those that do.\n";

impl Player<'_> {
    pub fn play(&mut self) -> Played<()> {
        self.session.screen.note("title", &self.demo.title)?;
        let cgroup = std::env::var("PLAYGROUND_CGROUP").unwrap_or_default();
        self.session.screen.note("cgroup", cgroup)?;
        self.catch_up()?;
        for scene in self.scene..self.demo.scenes.len() {
            self.scene = scene;
            self.play_scene(scene == self.options.from - 1)?;
        }
        if self.options.rehearse {
            let told = self.clock.told.join("\n");
            self.session.screen.print(&format!("\n{told}\n"))?;
        }
        Ok(())
    }

    /// The scenes before the first one: only what changes the state, and
    /// invisibly.
    fn catch_up(&mut self) -> Played<()> {
        let demo = self.demo;
        for line in demo.scenes[..self.scene].iter().flat_map(|it| &it.lines) {
            match line.word.as_str() {
                "say" => {}
                "await" => self.wait_until(&line.text)?,
                "background" => {
                    self.quietly(&format!("{} & disown", line.text))?;
                }
                _ => {
                    self.quietly(&line.text)?;
                }
            }
        }
        Ok(())
    }

    fn play_scene(&mut self, is_first: bool) -> Played<()> {
        let (demo, auto) = (self.demo, self.options.auto);
        let scene = &demo.scenes[self.scene];
        let (name, number, all) =
            (&demo.name, self.scene + 1, demo.scenes.len());
        let began = Instant::now();
        let screen = &mut self.session.screen;
        screen.note("scene", &scene.title)?;
        let heading = format!("{name} · {number}/{all} · {}", scene.title);
        screen.heading(&heading, !auto || self.options.record)?;
        if is_first && !auto {
            self.tell_keys()?;
        }
        for line in &scene.lines {
            self.play_line(line)?;
        }
        if self.options.rehearse {
            self.tell_time(began)?;
        }
        let next = demo.scenes.get(number).map_or("end", |it| &it.title);
        let next = self.session.screen.painted(DIM, &format!("⏎ {next}"));
        if auto {
            return self.wait_for_presenter("");
        }
        self.session.screen.print(&next)?;
        self.wait_for_presenter(&next)?;
        self.session.screen.print("\n")
    }

    fn play_line(&mut self, line: &Line) -> Played<()> {
        let text = &line.text;
        match line.word.as_str() {
            "say" => {
                self.session.screen.tell(text)?;
                self.wait_to_read(60 * text.chars().count())?;
                self.session.screen.print("\n")?;
            }
            "run" | "refuse" => {
                let ended = self.run(text)?;
                self.judge(line, &ended)?;
                self.session.screen.print("\n")?;
            }
            "background" => {
                let typed = format!("{text} &");
                self.type_and_wait(&typed)?;
                // Disowned, so that bash says nothing when it ends.
                self.session.run(&format!("{typed} disown"))?;
            }
            "setup" => {
                let (status, output) = self.session.run(text)?;
                self.judge(line, &Ended { command: text, status, output })?;
            }
            _ => self.wait_until(text)?,
        }
        Ok(())
    }

    fn run<'a>(&mut self, command: &'a str) -> Played<Ended<'a>> {
        self.type_and_wait(command)?;
        self.session.screen.mark("\x1b[1;0;0m")?;
        let (status, output) = self.session.run(command)?;
        self.session.screen.mark("\x1b[2;0;0m")?;
        if !output.is_empty() && !output.ends_with('\n') {
            self.session.screen.print("\n")?;
        }
        self.wait_to_read(600 + 8 * output.chars().count())?;
        Ok(Ended { command, status, output })
    }

    fn quietly(&mut self, command: &str) -> Played<bool> {
        let quiet = format!("{{ {command}\n}} >/dev/null 2>&1");
        Ok(self.session.run(&quiet)?.0 == 0)
    }

    fn wait_until(&mut self, condition: &str) -> Played<()> {
        for _ in 0..200 {
            if self.quietly(condition)? {
                return Ok(());
            }
            self.session.wait(Duration::from_millis(50))?;
        }
        let command = &format!("waiting for: {condition}");
        let ended = Ended { command, status: 1, output: String::new() };
        self.failed(&ended, "success within 10 seconds")
    }

    // What a person sees, and when.

    /// With --auto, the time that a person needs to read. A presenter takes
    /// their own time.
    fn wait_to_read(&mut self, ms: usize) -> Played<()> {
        self.session.screen.note("wait", ms)?;
        match (self.options.auto, self.options.speed()) {
            (false, _) | (_, 0) => Ok(()),
            (true, speed) => {
                self.session.wait(Duration::from_millis(ms as u64 / speed))
            }
        }
    }

    /// Pressing Enter meanwhile shows the rest at once, and runs the command.
    fn type_and_wait(&mut self, command: &str) -> Played<()> {
        let host = fs::read_to_string("/proc/sys/kernel/hostname")?;
        let screen = &mut self.session.screen;
        let prompt = format!("{}#", host.trim_end());
        let shown = screen.typed(command, prompt.chars().count() + 1);
        let prompt = screen.painted(GREEN, &prompt);
        let typed = screen.painted(BOLD, &shown);
        let (bold, plain) = typed.split_once(&shown).unwrap_or_default();
        screen.print(&format!("{prompt} {bold}"))?;
        for letter in shown.chars() {
            self.session.screen.print(letter.encode_utf8(&mut [0; 4]))?;
            self.session.screen.note("wait", 30)?;
            let speed = self.options.speed();
            if speed > 0 && !self.session.is_pressed() {
                self.session.wait(Duration::from_millis(20 / speed))?;
            }
        }
        self.session.screen.print(plain)?;
        self.wait_for_presenter(&format!("{prompt} {typed}"))?;
        self.session.screen.print("\n")
    }

    /// Until Enter. After whatever else they do, what waits for it is shown
    /// again.
    fn wait_for_presenter(&mut self, waiting: &str) -> Played<()> {
        if self.options.auto {
            return self.wait_to_read(800);
        }
        loop {
            match self.session.key()? {
                b'\r' | b'\n' | b' ' => return Ok(()),
                b's' => self.open_shell()?,
                b'b' => return jump(self.scene.max(1)),
                b'r' => return jump(self.scene + 1),
                b'g' => self.ask_for_scene()?,
                b'q' => {
                    self.session.screen.print("\n")?;
                    return Err(Stop::Status(0));
                }
                b'?' => {
                    self.session.screen.print("\n")?;
                    self.tell_keys()?;
                }
                _ => self.session.screen.paint(DIM, NO_KEY)?,
            }
            self.session.screen.print(waiting)?;
        }
    }

    fn tell_keys(&mut self) -> Played<()> {
        self.session.screen.tell(KEYS)?;
        self.session.screen.print("\n")
    }

    fn open_shell(&mut self) -> Played<()> {
        let leave = "\nYour shell. To leave it: exit\n";
        self.session.screen.paint(DIM, leave)?;
        self.session.run_with_keys(r"PS1='\h:\w# ' bash --norc </dev/tty")
    }

    fn ask_for_scene(&mut self) -> Played<()> {
        let all = self.demo.scenes.len();
        let question = format!("\ngo to scene (1 to {all}): ");
        self.session.screen.paint(DIM, &question)?;
        let mut number = String::new();
        while let digit @ b'0'..=b'9' = self.session.key()? {
            number.push(digit.into());
            self.session.screen.relay(&[digit])?;
        }
        self.session.screen.print("\n")?;
        match number.parse() {
            Ok(scene) if (1..=all).contains(&scene) => jump(scene),
            _ => Ok(()),
        }
    }

    // What is expected.

    fn judge(&mut self, line: &Line, ended: &Ended) -> Played<()> {
        if line.word == "refuse" {
            if ended.status == 0 {
                self.failed(ended, "a refusal (any exit status but 0)")?;
            }
            if !ended.output.contains(&line.detail) {
                let expected = format!("a refusal with: {}", line.detail);
                self.failed(ended, &expected)?;
            }
            self.session.screen.paint(GREEN, "✔ refused")?;
            let status = format!(" (exit status {})\n", ended.status);
            self.session.screen.print(&status)?;
        } else if line.expected.iter().all(|(what, _)| what != "status") {
            self.expect(ended, "status", "0")?;
        }
        for (what, which) in &line.expected {
            self.expect(ended, what, which)?;
        }
        Ok(())
    }

    fn expect(&mut self, ended: &Ended, what: &str, which: &str) -> Played<()> {
        let (holds, expected) = match what {
            "text" => (ended.output.contains(which), "text:"),
            "absent" => (!ended.output.contains(which), "no such text:"),
            _ => (ended.status.to_string() == which, "exit status"),
        };
        match holds {
            true => Ok(()),
            false => self.failed(ended, &format!("{expected} {which}")),
        }
    }

    /// A person sees that something is wrong, and goes on. A test ends here.
    fn failed(&mut self, ended: &Ended, expected: &str) -> Played<()> {
        let scene = &self.demo.scenes[self.scene].title;
        let (name, number) = (&self.demo.name, self.scene + 1);
        let wrong = format!("✘ {name}, scene {number}: {scene}");
        let Ended { command, status, output } = ended;
        let lines: Vec<_> = output.lines().collect();
        let last = &lines[lines.len().saturating_sub(20)..];
        let seen = last.iter().map(|line| format!("    {line}\n"));
        let report = format!(
            "  command   {command}\n  expected  {expected}\n  seen      \
             exit status {status}, and this output:\n{}",
            seen.collect::<String>()
        );
        if self.options.auto {
            eprint!("\n{wrong}\n{report}");
            return Err(Stop::Status(1));
        }
        self.session.screen.print("\n")?;
        self.session.screen.paint(RED, &wrong)?;
        self.session.screen.print(&format!("\n{report}"))
    }

    fn tell_time(&mut self, began: Instant) -> Played<()> {
        let gone = now().saturating_sub(self.clock.started);
        let planned =
            self.clock.planned + self.demo.planned_before(self.scene + 1);
        let word = if gone > planned { "behind" } else { "ahead" };
        let told = format!(
            "scene {} took {}, plan {} · {} gone, plan {}: {} {word}",
            self.scene + 1,
            minutes(began.elapsed().as_secs()),
            minutes(self.demo.scenes[self.scene].plan),
            minutes(gone),
            minutes(planned),
            minutes(gone.abs_diff(planned)),
        );
        self.session.screen.paint(CYAN, &told)?;
        self.session.screen.print("\n")?;
        self.clock.told.push(told);
        Ok(())
    }
}

/// Only a new host is in the right state: whoever started us makes one, if our
/// exit status asks for it.
fn jump(scene: usize) -> Played<()> {
    Err(Stop::Status(JUMP + scene as u8))
}

pub const JUMP: u8 = 200;

fn minutes(seconds: u64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}
