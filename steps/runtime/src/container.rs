//! The life of a container, as one story.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind::NotFound;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::builder::{OsStringValueParser, TypedValueParser};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{
    Gid, Pid, Uid, chdir, close, getcwd, getegid, geteuid, mkdir, pipe2, read,
    setgroups, setresgid, setresuid, setsid, write,
};

use crate::boot::Booted;
use crate::channel::Message;
use crate::command::{Command, Variable, home_of};
use crate::door::{self, Leave};
use crate::failure::{
    Because, Failure, NO_FILTERS, NO_MORE_NAMESPACES, NOT_EXECUTABLE,
    RUNTIME_FAILED, status_of, told,
};
use crate::feature::{Birthplace, Boot, End, Feature, Host, Init, Inside};
use crate::line::{GONE, Line};
use crate::narration::{Narrator, Side};
use crate::other_process::is_confined;
use crate::process::{self, Child, Exit, Instruction};
use crate::quote::{self, shell};
use crate::rootfs::RootDirectory;
use crate::signals::Signals;
use crate::step;
use crate::supervise::{accompany, wait_for_start};
use crate::terminal::{Terminal, become_terminal};

/// What every container has, whatever kernel features it uses.
#[derive(clap::Args)]
pub struct Container {
    /// Directory that becomes the container's / [default: one made on first use from this
    /// machine's own tools]
    #[arg(long, value_name = "DIR")]
    rootfs: Option<PathBuf>,

    /// Print only errors
    #[arg(short, long)]
    quiet: bool,

    /// Show every kernel call, not only those of this step's own feature
    #[arg(long, conflicts_with = "quiet")]
    all: bool,

    /// Wait for Enter before each kernel call that is shown
    #[arg(long, conflicts_with = "quiet")]
    pause: bool,

    /// Set an environment variable; K alone passes on your own value
    #[arg(short, long = "env", value_name = "K=V",
          value_parser = OsStringValueParser::new().try_map(Variable::parse))]
    env: Vec<Variable>,

    /// Working directory inside; made if it does not exist [default: /]
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,

    /// Command to run inside, and its arguments [default: /bin/sh]
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    command: Vec<OsString>,

    #[arg(skip)]
    features: Vec<Part>,

    /// It stays when we go.
    #[arg(skip)]
    leave: Option<Leave>,

    /// Where its story goes, if not to stderr.
    #[arg(skip)]
    story: Option<File>,
}

/// A feature, and the step that teaches it.
struct Part {
    step: &'static str,
    feature: Box<dyn Feature>,
}

impl Part {
    fn of<F: Feature + 'static>(feature: F) -> Part {
        Part { step: step::of::<F>(), feature: Box::new(feature) }
    }
}

impl Container {
    /// What somebody else describes, and not a command line: all of its
    /// environment is `env`, and its story is told to a file, if at all.
    #[must_use]
    pub fn described(
        rootfs: PathBuf,
        command: Vec<OsString>,
        env: Vec<Variable>,
        workdir: PathBuf,
        story: Option<File>,
    ) -> Container {
        Container {
            rootfs: Some(rootfs),
            quiet: story.is_none(),
            all: true,
            pause: false,
            env,
            workdir: Some(workdir),
            command,
            features: Vec::new(),
            leave: None,
            story,
        }
    }

    /// Starts the container and leaves it: it has its own life.
    ///
    /// # Errors
    /// Why there is none.
    pub fn leave(mut self, leave: Leave) -> Result<()> {
        self.leave = Some(leave);
        self.live().map(drop)
    }

    /// Adds a kernel feature. They take effect in the order in which they are added.
    #[must_use]
    pub fn with(mut self, feature: impl Feature + 'static) -> Container {
        self.features.push(Part::of(feature));
        self
    }

    /// Runs the container and tells what went wrong, if anything did.
    /// The exit status is docker's: the command's own, 128+n when signal n
    /// killed it, 125 when we failed, 126 or 127 when the command could not be
    /// executed or found.
    #[must_use]
    pub fn run(self) -> ExitCode {
        ExitCode::from(match self.live() {
            Ok(End::Over(exit)) => exit.status(),
            Ok(End::Again) => begin_anew(),
            Err(error) => {
                Narrator::error(&program(), &told(&error));
                status_of(&error)
            }
        })
    }

    /// The parent's side of the story.
    fn live(mut self) -> Result<End> {
        process::close_on_exec_above_stderr()
            .context("close_range(3, ~0, CLOEXEC)")?;
        process::default_signals_but(Signal::SIGPIPE);
        let signals = Signals::block().context("signalfd()")?;
        let steps = self.features.iter().map(|part| part.step);
        let mut narrator = Narrator::new(self.quiet, self.pause, &signals)?;
        if let Some(story) = self.story.take() {
            narrator = narrator.into_file(story);
        } else if self.leave.is_some() {
            // Whoever reads our stderr to its end does not wait for a container.
            let nothing = File::create("/dev/null").context("/dev/null")?;
            narrator = narrator.into_file(nothing);
        }
        let narrator =
            narrator.of_step(steps.max().unwrap_or_default(), self.all);
        let owner = self.features.iter().find_map(|it| it.feature.owner());
        for Part { step, feature } in &mut self.features {
            narrator.part(step, || feature.before(&narrator, owner))?;
        }
        let rootfs = self.root_directory(&narrator, owner)?;
        narrator.name("ROOT", rootfs.path());
        let mut terminal = match (self.boot(), &self.leave) {
            (Some(_), _) => Some(Terminal::console()?),
            (None, None) => Terminal::open()?,
            (None, Some(_)) => None,
        };
        if let Some(terminal) = &terminal {
            // Its group, too: the host's "tty" has no number inside, and what
            // belongs to nobody can't be handed on to `--user`.
            terminal
                .give(owner.unwrap_or((geteuid(), getegid())))
                .context("fchown() of the container's terminal")?;
        }
        let inheritance = Inheritance {
            line: Line::new()?,
            narrator: &narrator,
            rootfs: rootfs.path(),
            refusal: rootfs.refusal(owner),
            terminal: terminal.as_ref(),
            boots: self.boot().is_some(),
            signals: &signals,
            leave: self.leave.as_ref(),
            ourselves: identity(Path::new("/proc/self/exe")),
        };
        let mut child = self.start(&inheritance)?;
        let ours = inheritance.line.of_the_parent()?;
        let host = Host {
            pid: child.pid(),
            rootfs: rootfs.path(),
            narrator: &narrator,
        };
        for Part { step, feature } in &mut self.features {
            let acted = narrator.part(step, || feature.on_host(&host));
            acted.or_else(|error| {
                // If it said something, that is the reason. Not only once it is
                // gone: a process loses its namespaces before its files.
                if ours.is_ready().unwrap_or(false) {
                    ours.heed()?
                }
                Err(error)
            })?;
        }
        narrator.tell_count();
        match ours.send(&Message::Go) {
            // It is gone. What it said before that is the reason.
            Err(Errno::EPIPE) => {}
            sent => sent.context("sendmsg() to the first process")?,
        }
        let started = wait_for_start(&ours, &signals, || {
            self.features.iter_mut().try_for_each(|Part { step, feature }| {
                narrator.part(step, || feature.halfway(&host))
            })
        })?;
        if let Some(leave) = self.leave.take().filter(|_| started) {
            let has_a_door = leave.door.is_some();
            (leave.ready)(&host)?;
            ours.send(&Message::Go).context("sendmsg()")?;
            return match ours.receive().context("recvmsg()")? {
                Some(Message::Failed(status, message)) => {
                    bail!(Failure::Told { status, message })
                }
                None if has_a_door => bail!("the first process died early"),
                _ => {
                    let _ = child.into_pid();
                    Ok(End::Over(Exit::Code(0)))
                }
            };
        }
        let alarm = self.features.iter().find_map(|it| it.feature.alarm());
        let mut booted = self.boot().map(|boot| Booted::new(boot, &narrator));
        let exit = accompany(
            &mut child,
            &signals,
            alarm,
            terminal.as_mut(),
            booted.as_mut(),
        )?;
        let end = booted.map(|booted| booted.end(exit)).transpose();
        ours.heed()?;
        for Part { step, feature } in &mut self.features {
            narrator.part(step, || feature.after(&host, exit))?;
        }
        if !started {
            bail!("the container's first process died early: {exit}");
        }
        Ok(end?.unwrap_or(End::Over(exit)))
    }

    /// How the command is looked after, if it is the init of a whole system.
    fn boot(&self) -> Option<&dyn Boot> {
        self.features.iter().find_map(|it| it.feature.boot(&self.command))
    }

    /// The one that was asked for, or a feature's own, or the usual one.
    fn root_directory(
        &mut self,
        narrator: &Narrator,
        owner: Option<(Uid, Gid)>,
    ) -> Result<RootDirectory> {
        if let Some(asked_for) = self.rootfs.as_deref() {
            return RootDirectory::open(narrator, Some(asked_for), owner);
        }
        for Part { step, feature } in &mut self.features {
            let own = || feature.root_directory(narrator, owner);
            if let Some(own) = narrator.part(step, own)? {
                return Ok(own);
            }
        }
        RootDirectory::open(narrator, None, owner)
    }

    /// One clone(2), with the namespaces of all features: here the ways part.
    fn start(&self, own: &Inheritance) -> Result<Child, Failure> {
        let mut namespaces = CloneFlags::empty();
        let mut told = CloneFlags::empty();
        for Part { step, feature } in &self.features {
            namespaces |= feature.namespaces();
            if own.narrator.tells(step) {
                told |= feature.namespaces();
            }
        }
        let mut born = self
            .features
            .iter()
            .filter_map(|it| Some((it.step, it.feature.birthplace()?)));
        let (step, birthplace) = born.next().unzip();
        let told_place = birthplace
            .filter(|_| step.is_some_and(|it| own.narrator.tells(it)));
        let (call, shell) = describe_clone(namespaces, told, told_place);
        let why = "the first process";
        own.narrator.tell_count();
        own.narrator.tell(Side::Host, &call, why, &shell)?;
        let body = || {
            self.first_process(own).unwrap_or_else(|error| own.report(&error))
        };
        if self.leave.is_some() {
            return self.start_on_the_way(own, &|| {
                Child::start(namespaces | CloneFlags::CLONE_PARENT, body)
            });
        }
        let started = match birthplace {
            None => Child::start(namespaces, body),
            Some(Birthplace { directory, .. }) => {
                Child::start_in_cgroup(namespaces, directory, body)
            }
        };
        started
            .map_err(|errno| {
                let all = describe_clone(namespaces, namespaces, birthplace);
                Failure::of(all.0, errno)
            })
            .because(
                Errno::EPERM,
                match namespaces.contains(CloneFlags::CLONE_NEWUSER) {
                    true => NO_USER_NAMESPACE,
                    false => NOT_ROOT,
                },
            )
            .because(
                Errno::EACCES,
                match birthplace {
                    Some(_) if !is_confined() => NOT_OUT_OF_OUR_CGROUP,
                    _ => USER_NAMESPACE_REFUSED,
                },
            )
            .because(Errno::ENOSPC, NO_MORE_NAMESPACES)
            .because(
                Errno::EINVAL,
                "this kernel was built without one of these namespaces",
            )
    }

    /// Whoever enters a namespace may not come back: so that is done by a process
    /// between us and the first one, which is our child all the same. It is born in
    /// the cgroup (v2): to move there, the kernel stops all forks of the machine.
    fn start_on_the_way(
        &self,
        own: &Inheritance,
        start: &dyn Fn() -> nix::Result<Child>,
    ) -> Result<Child, Failure> {
        let failed = |call: &'static str| move |e| Failure::of(call, e);
        let (pid, theirs) =
            pipe2(OFlag::O_CLOEXEC).map_err(failed("pipe2()"))?;
        let inside = Inside::new(own.rootfs, own.narrator);
        let go = || {
            for Part { step, feature } in &self.features {
                let act = || feature.on_the_way(&inside);
                own.narrator.part(step, act)?;
            }
            let pid = start().map_err(failed("clone()"))?.into_pid();
            write(&theirs, &pid.as_raw().to_ne_bytes())?;
            Ok(0)
        };
        let cgroup = self.features.iter().find_map(|it| it.feature.cgroup());
        let directory = cgroup.and_then(|it| File::open(it).ok());
        let mut born = None;
        if let (Some(path), Some(directory)) = (cgroup, &directory) {
            let (fd, flags) = (directory.as_raw_fd(), CloneFlags::empty());
            let directory = directory.as_fd();
            let place = Some(Birthplace { path, directory });
            let (call, shell) = describe_clone(flags, flags, place);
            let why = "born in the cgroup, as all our children will be";
            own.narrator.tell(Side::Host, &call, why, &shell)?;
            // The first process would inherit a directory of the host.
            let go = || {
                let _ = close(fd);
                go().unwrap_or_else(|error| own.report(&error))
            };
            born = Child::start_in_cgroup(flags, directory, go).ok();
        }
        drop(directory);
        // Where clone3(2) is refused, as by docker's filter, it moves there.
        let mut between = match born {
            Some(born) => born,
            None => Child::start(CloneFlags::empty(), || {
                go().unwrap_or_else(|error| own.report(&error))
            })
            .map_err(failed("clone(SIGCHLD)"))?,
        };
        let exit = between.wait().map_err(failed("waitpid()"))?;
        drop(theirs);
        let mut number = [0; 4];
        match read(&pid, &mut number).map_err(failed("read()"))? {
            4 => {
                let number = i32::from_ne_bytes(number);
                Ok(Child::adopted(Pid::from_raw(number)))
            }
            _ => Err(own.line.last_words().unwrap_or_else(|| Failure::Told {
                status: RUNTIME_FAILED,
                message: format!("a process on the way died: {exit}"),
            })),
        }
    }

    /// The child's side of the story, up to where the command takes its place.
    fn first_process(&self, own: &Inheritance) -> Result<u8> {
        own.line.wait_for_go()?;
        umask(Mode::empty());
        let mut inside = Inside::new(own.rootfs, own.narrator);
        inside.refusal.clone_from(&own.refusal);
        inside.boots = own.boots;
        inside.command.clone_from(&self.command);
        inside.host = Some(own.line.of_the_child());
        inside.terminal = own.terminal.map(Terminal::slave_path).transpose()?;
        let narrator = own.narrator;
        for Part { step, feature } in &self.features {
            narrator.part(step, || feature.first(&inside))?;
        }
        for Part { step, feature } in &self.features {
            narrator.part(step, || feature.inside(&mut inside))?;
        }
        umask(Mode::from_bits_truncate(0o022));
        let workdir = self.workdir.as_ref().unwrap_or(&inside.workdir);
        narrator.routine_after(step::FIRST, || enter(workdir, &inside))?;

        let uid = inside.user.map_or(geteuid(), |(uid, _)| uid);
        let variables = [inside.variables.as_slice(), &self.env].concat();
        let default = &inside.default_command;
        let home = home_of(uid);
        let command = match own.leave {
            None => Command::new(&self.command, default, &variables, home),
            Some(_) => Command::described(&self.command, &variables, home),
        };
        let path = command.find()?;
        own.refuse_ourselves(&path)?;
        own.become_user(&inside)?;
        for Part { step, feature } in &self.features {
            narrator.part(step, || feature.last(&mut inside))?;
        }
        own.line.of_the_child().die_with_the_other_side()?;
        let (call, shell) = command.describe(&path);
        narrator.tell_count();
        narrator.tell(Side::Inside, &call, "the command begins", &shell)?;
        if let Some(terminal) = own.terminal {
            terminal.attach().context("dup2() of the container's terminal")?;
        }
        let filter = inside.filter.take();
        let called = |inside: &Inside| {
            self.features.iter().try_for_each(|Part { step, feature }| {
                narrator.part(step, || feature.called(inside))
            })
        };
        match inside.init {
            None => own.execute(&command, &path, &inside, filter, called),
            Some(init) => {
                load(filter)?;
                let execute =
                    || own.execute(&command, &path, &inside, None, called);
                own.stay(init, || execute().unwrap_or_else(|e| own.report(&e)))
            }
        }
    }
}

const NO_USER_NAMESPACE: &str = "user namespaces are off for you here, or \
    this is a chroot, where the kernel makes none: ./scripts/doctor.sh says \
    how to fix it";
const USER_NAMESPACE_REFUSED: &str = "user namespaces are off for this \
    program, by AppArmor or SELinux: ./scripts/doctor.sh says how to fix it";
const NOBODY_HERE: &str = "the user namespace has no such id for the command; \
    0, root, it has";
const NOT_OUT_OF_OUR_CGROUP: &str =
    "we may not move a process out of our cgroup";
const NOT_ROOT: &str = "this needs root; without sudo, run it in the \
    playground: ./scripts/playground.sh";

/// What the first process gets from the runtime.
struct Inheritance<'a> {
    line: Line,
    narrator: &'a Narrator<'a>,
    rootfs: &'a Path,
    refusal: String,
    terminal: Option<&'a Terminal>,
    boots: bool,
    signals: &'a Signals,
    leave: Option<&'a Leave>,
    ourselves: Option<(u64, u64)>,
}

impl Inheritance<'_> {
    /// A command that is our own program, by /proc/self/exe, could be written
    /// to from inside, and would then be root on the host (CVE-2019-5736).
    fn refuse_ourselves(&self, path: &Path) -> Result<(), Failure> {
        let is_left = self.leave.is_some();
        if !is_left
            || self.ourselves.is_none_or(|it| Some(it) != identity(path))
        {
            return Ok(());
        }
        let message = format!("execve({path:?}): this is the runtime itself");
        Err(Failure::Command { status: NOT_EXECUTABLE, message })
    }

    /// An error inside is told by the runtime: it still has a stderr.
    fn report(&self, error: &anyhow::Error) -> u8 {
        self.narrator.tell_count();
        let status = status_of(error);
        let message = Message::Failed(status, told(error));
        let sent = self.line.of_the_child().send(&message);
        let is_alone = error.root_cause().to_string() != GONE;
        if sent.is_err() && self.leave.is_some() && is_alone {
            // It has left us, as it should. Any other runtime has said why.
            Narrator::error(&program(), &told(error));
        }
        status
    }

    /// The command's ids, and its terminal for them.
    fn become_user(&self, inside: &Inside) -> Result<()> {
        if let Some(groups) = &inside.groups {
            setgroups(groups).context("setgroups()")?;
        }
        let Some((uid, gid)) = inside.user else { return Ok(()) };
        if let Some(terminal) = self.terminal {
            terminal.give((uid, gid)).context("fchown() of the terminal")?;
        }
        let failed = |call| move |errno| Failure::of(call, errno);
        setresgid(gid, gid, gid)
            .map_err(failed(format!("setresgid({gid})")))
            .because(Errno::EINVAL, NOBODY_HERE)?;
        setresuid(uid, uid, uid)
            .map_err(failed(format!("setresuid({uid})")))
            .because(Errno::EINVAL, NOBODY_HERE)?;
        Ok(())
    }

    /// In a session of its own, so that no terminal of the host is ours to
    /// take, and with signals as a program expects them.
    fn execute(
        &self,
        command: &Command,
        path: &Path,
        inside: &Inside,
        filter: Option<Vec<Instruction>>,
        called: impl Fn(&Inside) -> Result<()>,
    ) -> Result<u8> {
        setsid().context("setsid()")?;
        // An init leaves that to the login that it starts: nobody could take
        // it away from PID 1.
        if let Some(terminal) = self.terminal.filter(|_| !self.boots) {
            terminal.control().context("ioctl(terminal, TIOCSCTTY)")?;
        }
        if let Some(console) = &inside.console {
            become_terminal(console)?;
        }
        umask(inside.umask);
        self.line.of_the_child().die_with_the_other_side()?;
        process::default_signal(Signal::SIGPIPE);
        SigSet::empty().thread_set_mask().context("sigprocmask()")?;
        let runtime = self.line.of_the_child();
        runtime.send(&Message::Starting).context("the runtime is gone")?;
        let leave = self.leave.map(|it| door::part(runtime, it)).transpose()?;
        let begin = || {
            called(inside)?;
            load(filter)?;
            match command.exec(path)? {}
        };
        let Some(Some(caller)) = leave else { return begin() };
        begin().inspect_err(|error| {
            let _ =
                caller.send(&Message::Failed(status_of(error), told(error)));
        })
    }

    /// PID 1 stays, and the command becomes its child. It begins when PID 1 has
    /// closed its files: by /proc/1/fd the command would get at them.
    fn stay(&self, init: Init, mut command: impl FnMut() -> u8) -> Result<u8> {
        let (closed, ours) = pipe2(OFlag::O_CLOEXEC).context("pipe2()")?;
        let mut ours = Some(ours);
        let once_closed = || {
            drop(ours.take());
            let _ = read(&closed, &mut [0]);
            command()
        };
        let command =
            Child::start(CloneFlags::empty(), once_closed)
                .map_err(|errno| Failure::of("clone(SIGCHLD)", errno))
                .because(
                    Errno::EAGAIN,
                    "--init makes two processes, and a limit leaves room for only one",
                )?;
        setsid().context("setsid()")?;
        process::close_above_stderr_but(self.signals.as_fd())
            .context("close_range()")?;
        std::mem::forget((closed, ours));
        self.signals.block_job_control().context("sigprocmask()")?;
        Ok(init(command.into_pid(), self.signals)?.status())
    }
}

/// The last of all: what it refuses is refused to us as well.
fn load(filter: Option<Vec<Instruction>>) -> Result<()> {
    let Some(program) = filter else { return Ok(()) };
    process::filter_system_calls(&program)
        .map_err(|errno| Failure::of("seccomp(SECCOMP_SET_MODE_FILTER)", errno))
        .because(Errno::EINVAL, NO_FILTERS)
        .because(Errno::ENOSYS, NO_FILTERS)?;
    Ok(())
}

/// The working directory is looked up inside, by a name that begins at the new
/// root. Whether it is there is checked all the same: a path such as
/// /proc/self/fd/7 can lead out (CVE-2024-21626).
fn enter(directory: &Path, container: &Inside) -> Result<()> {
    let path = Path::new("/").join(directory);
    if path == Path::new("/") {
        return must_be_inside(&path);
    }
    if fs::symlink_metadata(&path).is_err_and(|e| e.kind() == NotFound) {
        make(&path, container)?;
    }
    let (call, shell) =
        (format!("chdir({path:?})"), shell([Path::new("cd"), &path]));
    container
        .call(call, "--workdir", shell, || chdir(&path))
        .because(
            Errno::ENOENT,
            "it is a symbolic link to something that does not exist in the container",
        )
        .because(Errno::EACCES, &container.refusal)
        .because(Errno::ENOTDIR, "it is not a directory in the container")?;
    must_be_inside(&path)
}

/// Makes a working directory and what is missing on the way, as docker does.
/// We go the way ourselves, and look where we are before we make something.
fn make(path: &Path, container: &Inside) -> Result<()> {
    let call = format!("mkdir({path:?})");
    let shell = shell([Path::new("mkdir"), Path::new("-p"), path]);
    container.narrator.tell(
        Side::Inside,
        &call,
        "--workdir: it does not exist, so we make it",
        &shell,
    )?;
    let mode = Mode::from_bits_truncate(0o755);
    for part in path.components().map(Component::as_os_str) {
        let made = match chdir(part) {
            Err(Errno::ENOENT) => {
                must_be_inside(path)?;
                mkdir(part, mode).and_then(|()| chdir(part))
            }
            there => there,
        };
        made.map_err(|errno| Failure::of(&call, errno))
            .because(
                Errno::EEXIST,
                "a symbolic link on the way leads nowhere in the container",
            )
            .because(
                Errno::EROFS,
                "its place is read-only inside: make it beforehand",
            )
            .because(Errno::EACCES, &container.refusal)?;
    }
    Ok(())
}

fn must_be_inside(path: &Path) -> Result<()> {
    match getcwd() {
        Ok(cwd) if cwd.starts_with("/") => Ok(()),
        Err(errno) if errno != Errno::ENOENT => {
            bail!(Failure::of("getcwd()", errno))
        }
        _ => bail!(
            "--workdir {}: leads out of the container's root directory",
            path.display()
        ),
    }
}

/// clone(2) with its flags, or those of them that are `told`, and the
/// unshare(1) that comes closest to it.
fn describe_clone(
    namespaces: CloneFlags,
    told: CloneFlags,
    birthplace: Option<Birthplace>,
) -> (String, String) {
    let names = |flags: CloneFlags| {
        flags.iter_names().map(|(name, _)| name).collect::<Vec<_>>()
    };
    let options = names(namespaces).into_iter().map(|name| match name {
        "CLONE_NEWNS" => "--mount".to_owned(),
        // Else they go with the exec: nobody is root there yet.
        "CLONE_NEWUSER" => "--user --keep-caps".to_owned(),
        name => name.replace("CLONE_NEW", "--").to_lowercase(),
    });
    let mut flags = names(told);
    if told != namespaces {
        flags.insert(0, "…");
    }
    let words: Vec<_> = ["unshare".to_owned(), "--fork".to_owned()]
        .into_iter()
        .chain(options)
        // Without a command it would be a shell that logs in.
        .chain(["bash".to_owned()])
        .collect();
    let shell = match namespaces.is_empty() {
        true => "bash".to_owned(),
        false => words.join(" "),
    };
    let Some(Birthplace { path, .. }) = birthplace else {
        flags.push("SIGCHLD");
        return (format!("clone({})", flags.join(" | ")), shell);
    };
    flags.push("CLONE_INTO_CGROUP");
    let procs = quote::shell([path.join("cgroup.procs")]);
    (
        format!("clone3({} | SIGCHLD, {path:?})", flags.join(" | ")),
        format!("( echo 0 > {procs}; exec {shell} )"),
    )
}

/// The same command line once more, when nothing of the first time is left: a
/// feature may have left a process behind to tidy up, and it would be ours.
fn begin_anew() -> u8 {
    use std::os::unix::process::CommandExt;
    let mut words = std::env::args_os();
    let mut anew = std::process::Command::new("/proc/self/exe");
    anew.arg0(words.next().unwrap_or_default()).args(words);
    while nix::sys::wait::wait().is_ok() {}
    let _ = SigSet::empty().thread_set_mask();
    let error = Failure::of("execve(\"/proc/self/exe\")", anew.exec());
    Narrator::error(&program(), &error.to_string());
    error.status()
}

/// What a file is, whatever it is called.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// The name that we were called by, for messages.
pub(crate) fn program() -> String {
    let name = std::env::args_os().next().map(PathBuf::from);
    let name = name.as_deref().and_then(Path::file_name).unwrap_or_default();
    name.to_string_lossy().into_owned()
}
