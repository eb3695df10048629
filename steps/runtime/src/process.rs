//! How a process begins: the only file of the workshop with `unsafe` in it.
//!
//! Three things here are out of the compiler's sight: what a child may do
//! after clone(2), which file descriptors somebody else left open, and what a
//! signal does that somebody else chose to ignore. At the end are the system
//! calls that no library of ours has a safe name for.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use nix::errno::Errno;
use nix::libc;
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;
use rustix::process::{WaitOptions, WaitStatus};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this exit status.
    Code(u8),
    /// Killed by the signal of this number.
    Signal(i32),
}

impl Exit {
    /// The exit status that a shell shows for it: its own, or 128+n.
    #[must_use]
    pub fn status(self) -> u8 {
        match self {
            Exit::Code(code) => code,
            Exit::Signal(number) => 128 + number as u8,
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit status {code}"),
            Exit::Signal(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "killed by {signal}"),
                Err(_) => write!(f, "killed by signal {number}"),
            },
        }
    }
}

/// The exit status of a Rust program that panicked.
const PANICKED: i32 = 101;

/// `struct clone_args` of clone3(2), all of it up to Linux 5.7.
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// A child that we started. Dropped while it still runs, it is killed and
/// waited for: no error path can leave a container behind.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    exit: Option<Exit>,
}

impl Child {
    /// Starts a process that runs `body`, in new namespaces as `flags` say
    /// ([clone(2)](https://man7.org/linux/man-pages/man2/clone.2.html)).
    /// Its exit status is what `body` returns. With `CLONE_FILES` we share our
    /// descriptors: what it opens is ours.
    ///
    /// # Errors
    /// As clone(2): `EPERM` without the privilege for a namespace, `ENOSPC`
    /// when a limit of namespaces is reached, `EINVAL` where the kernel was
    /// built without one of them.
    pub fn start(
        flags: CloneFlags,
        body: impl FnMut() -> u8,
    ) -> nix::Result<Child> {
        const NONE: usize = 0;
        let flags = (flags.bits() | libc::SIGCHLD) as usize;
        // SAFETY: without a stack of its own and without CLONE_VM, the child
        // goes on in a copy of our memory, as after fork(2). What can be broken
        // in such a copy is a lock that another thread held at that moment;
        // this program has one thread.
        let answer = unsafe {
            libc::syscall(libc::SYS_clone, flags, NONE, NONE, NONE, NONE)
        };
        Child::go_on(answer, body)
    }

    /// As [`Child::start`], and the process is born in `cgroup`, a directory
    /// of cgroup v2.
    ///
    /// # Errors
    /// As clone3(2), with those of writing to `cgroup.procs`: `EBUSY` where
    /// controllers are enabled for the cgroups below it, `EAGAIN` at a limit.
    pub fn start_in_cgroup(
        flags: CloneFlags,
        cgroup: BorrowedFd,
        body: impl FnMut() -> u8,
    ) -> nix::Result<Child> {
        const CLONE_INTO_CGROUP: u64 = 1 << 33;
        let arguments = CloneArguments {
            flags: flags.bits() as u64 | CLONE_INTO_CGROUP,
            // A sister has that of our own, and clone3(2) wants it unsaid.
            exit_signal: match flags.contains(CloneFlags::CLONE_PARENT) {
                true => 0,
                false => libc::SIGCHLD as u64,
            },
            cgroup: cgroup.as_raw_fd() as u64,
            ..CloneArguments::default()
        };
        // SAFETY: the kernel only reads the arguments. The rest is as above.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_clone3,
                &raw const arguments,
                size_of_val(&arguments),
            )
        };
        Child::go_on(answer, body)
    }

    /// A child of ours that somebody else has cloned for us (CLONE_PARENT).
    #[must_use]
    pub fn adopted(pid: Pid) -> Child {
        Child { pid, exit: None }
    }

    /// Here two processes come out of one call: the kernel's answer is 0 in the
    /// child, and the child's number in its parent.
    fn go_on(
        answer: libc::c_long,
        body: impl FnMut() -> u8,
    ) -> nix::Result<Child> {
        let pid = Errno::result(answer)?;
        if pid == 0 {
            // What lies below on the stack is the parent's story: the child
            // never gets there, not by a panic either.
            let status = catch_unwind(AssertUnwindSafe(body));
            // SAFETY: ends this process, and leaves to our parent what is the
            // parent's to tidy up.
            unsafe { libc::_exit(status.map_or(PANICKED, i32::from)) }
        }
        Ok(Child { pid: Pid::from_raw(pid as libc::pid_t), exit: None })
    }

    /// Its process id, as seen from our PID namespace.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Leaves it to an init that waits for every child there is.
    #[must_use]
    pub fn into_pid(self) -> Pid {
        std::mem::ManuallyDrop::new(self).pid
    }

    /// Sends it the signal of this number. Until it is waited for, nobody else can have its pid.
    ///
    /// # Errors
    /// As kill(2); `ESRCH` after its end.
    pub fn signal(&self, number: i32) -> nix::Result<()> {
        match self.exit {
            None => send(self.pid, number),
            Some(_) => Err(Errno::ESRCH),
        }
    }

    /// Its end, if it has come.
    ///
    /// # Errors
    /// As waitpid(2).
    pub fn exit(&mut self) -> nix::Result<Option<Exit>> {
        self.wait_with(WaitOptions::NOHANG)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// As waitpid(2).
    pub fn wait(&mut self) -> nix::Result<Exit> {
        loop {
            if let Some(exit) = self.wait_with(WaitOptions::empty())? {
                return Ok(exit);
            }
        }
    }

    fn wait_with(&mut self, options: WaitOptions) -> nix::Result<Option<Exit>> {
        if self.exit.is_none() {
            let pid = rustix::process::Pid::from_raw(self.pid.as_raw());
            match rustix::process::waitpid(pid, options) {
                Ok(ended) => {
                    self.exit = ended.and_then(|(_, status)| exit_of(status))
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => {
                    return Err(Errno::from_raw(errno.raw_os_error()));
                }
            }
        }
        Ok(self.exit)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.signal(Signal::SIGKILL as i32).is_ok() {
            let _ = self.wait();
        }
    }
}

/// kill(2), for the signals that have no name, too (SIGRTMIN and those behind it).
///
/// # Errors
/// As kill(2).
pub fn send(pid: Pid, number: i32) -> nix::Result<()> {
    // SAFETY: two numbers go to the kernel. What it does to another process is
    // no matter of memory, and we send nothing to ourselves.
    Errno::result(unsafe { libc::kill(pid.as_raw(), number) }).map(drop)
}

/// pidfd_send_signal(process, number, NULL, 0): whoever has its number by now is
/// not meant.
///
/// # Errors
/// As pidfd_send_signal(2).
pub fn send_to(process: BorrowedFd, number: i32) -> nix::Result<()> {
    let (process, none) = (process.as_raw_fd(), std::ptr::null::<u8>());
    // SAFETY: numbers go to the kernel, and no place for it to read.
    Errno::result(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, process, number, none, 0)
    })
    .map(drop)
}

/// Waits for any child that has ended: what PID 1 does for orphans whose
/// parents are gone. `None` while all children run, `ECHILD` without one.
///
/// # Errors
/// As waitpid(2).
pub fn reap_any() -> nix::Result<Option<(Pid, Exit)>> {
    let reaped = rustix::process::wait(WaitOptions::NOHANG);
    let reaped =
        reaped.map_err(|errno| Errno::from_raw(errno.raw_os_error()))?;
    Ok(reaped.and_then(|(pid, status)| {
        let pid = Pid::from_raw(pid.as_raw_nonzero().get());
        exit_of(status).map(|exit| (pid, exit))
    }))
}

/// Waits for the end of one child, as PID 1: each orphan that ends before it is
/// taken, too.
///
/// # Errors
/// As waitpid(2).
pub fn wait_as_pid_1(child: Child) -> nix::Result<Exit> {
    let child = child.into_pid();
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status)))
                if pid.as_raw_nonzero().get() == child.as_raw() =>
            {
                if let Some(exit) = exit_of(status) {
                    return Ok(exit);
                }
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Errno::from_raw(errno.raw_os_error())),
        }
    }
}

/// `None` for a process that was only stopped or continued.
fn exit_of(status: WaitStatus) -> Option<Exit> {
    let code = status.exit_status().map(|code| Exit::Code(code as u8));
    code.or_else(|| status.terminating_signal().map(Exit::Signal))
}

/// Whoever started us may have left files and directories open. A container
/// that inherits a directory of the host can walk out through it (fchdir(2)
/// knows no root), so none survives the exec.
///
/// # Errors
/// As close_range(2).
pub fn close_on_exec_above_stderr() -> nix::Result<()> {
    close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

/// A first process that stays (an init) never reaches an exec, and every
/// descriptor that it keeps can be opened by the container as /proc/1/fd/N.
///
/// # Errors
/// As close_range(2).
pub fn close_above_stderr_but(kept: BorrowedFd) -> nix::Result<()> {
    let kept = kept.as_raw_fd() as libc::c_uint;
    if kept > 3 {
        close_range(3, kept - 1, 0)?;
    }
    close_range(kept + 1, libc::c_uint::MAX, 0)
}

/// Of what the exec would close, these stay open: whoever started us has counted
/// them, from 3 on.
///
/// # Errors
/// As fcntl(2): `EBADF` when one of them is not open.
pub fn keep_over_exec(count: u32) -> nix::Result<()> {
    (3..).take(count as usize).try_for_each(|fd: i32| {
        // SAFETY: a flag of a descriptor changes; nobody here owns it.
        Errno::result(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }).map(drop)
    })
}

fn close_range(
    first: libc::c_uint,
    last: libc::c_uint,
    flags: libc::c_uint,
) -> nix::Result<()> {
    // SAFETY: with CLOSE_RANGE_CLOEXEC nothing is closed yet. Without it the
    // caller is an init, which never returns to those who own the descriptors.
    let closed =
        unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    Errno::result(closed).map(drop)
}

/// Gives every signal but `kept` its default effect again. A shell's
/// `trap '' INT` or `nohup` passes ignored signals on to its children: they
/// would survive the exec into the container, and with SIGCHLD ignored nobody
/// can be waited for.
pub fn default_signals_but(kept: Signal) {
    // Up to the last realtime signal. The C library hides two of them, 32 and
    // 33, which a caller can ignore all the same: hence not by signal(2).
    (1..=64).filter(|&number| number != kept as i32).for_each(default_number);
}

/// Gives a signal its default effect again.
pub fn default_signal(signal: Signal) {
    default_number(signal as i32);
}

fn default_number(number: i32) {
    /// What the kernel takes for "default": no handler, no flags, no mask.
    static DEFAULT: [u64; 4] = [0; 4];
    const SIGNAL_SET_BYTES: usize = 8;
    // SAFETY: the kernel only reads DEFAULT, as long as its own struct is at
    // most, and the default effect runs no code of ours. For SIGKILL and
    // SIGSTOP it answers EINVAL: they can't be ignored.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            number,
            &raw const DEFAULT,
            std::ptr::null::<u64>(),
            SIGNAL_SET_BYTES,
        )
    };
}

/// What we block is ours to read, and what is ignored our caller's. A program of
/// somebody else's, and all that it leaves behind, would be deaf to whoever asks
/// it to end.
pub fn hear_all_signals(program: &mut Command) -> &mut Command {
    let hear = || {
        // Of this one, the standard library thinks itself.
        default_signals_but(Signal::SIGPIPE);
        SigSet::empty().thread_set_mask().map_err(std::io::Error::from)
    };
    // SAFETY: between fork(2) and execve(2) it makes system calls, takes no lock
    // and no memory.
    unsafe { program.pre_exec(hear) }
}

/// getsockopt(2) for an option whose form we know: it fills `room`, which says
/// what is asked for.
///
/// # Errors
/// As getsockopt(2).
pub fn socket_option(
    socket: impl AsFd,
    level: i32,
    name: i32,
    room: &mut [u8],
) -> nix::Result<()> {
    let socket = socket.as_fd().as_raw_fd();
    let mut length = room.len() as libc::socklen_t;
    let start = room.as_mut_ptr().cast();
    // SAFETY: the kernel writes `length` bytes at most, and there are as many.
    let asked = unsafe {
        libc::getsockopt(socket, level, name, start, &raw mut length)
    };
    Errno::result(asked).map(drop)
}

/// mount_setattr(mount, "", AT_EMPTY_PATH | AT_RECURSIVE, {MOUNT_ATTR_RDONLY})
///
/// Makes a mount and all that are mounted below it read-only. Nothing else of
/// them changes.
///
/// # Errors
/// As mount_setattr(2): `ENOSYS` before Linux 5.12, `EPERM` without the
/// privilege.
pub fn set_read_only_recursively(mount: BorrowedFd) -> nix::Result<()> {
    const MOUNT_ATTR_RDONLY: u64 = 1;
    const AT_RECURSIVE: libc::c_int = 0x8000;
    // `struct mount_attr`: what to set, to clear, the propagation, and the
    // user namespace of an idmapped mount.
    let attributes: [u64; 4] = [MOUNT_ATTR_RDONLY, 0, 0, 0];
    // SAFETY: the kernel only reads the path, which ends with a NUL byte, and
    // of the attributes as many bytes as we say.
    Errno::result(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | AT_RECURSIVE,
            &raw const attributes,
            size_of_val(&attributes),
        )
    })
    .map(drop)
}

/// An instruction of a filter for system calls (`struct sock_filter` in
/// linux/filter.h).
pub use libc::sock_filter as Instruction;

/// seccomp(SECCOMP_SET_MODE_FILTER, 0, program)
///
/// From here on the kernel asks `program` about each system call of this
/// process and of all that it starts. Nobody can take it away again.
///
/// # Errors
/// As seccomp(2): `EACCES` without `CAP_SYS_ADMIN` and without
/// no_new_privs, `EINVAL` for a program that does not end or is larger than
/// 4096 instructions, `ENOSYS` and `EINVAL` where the kernel has no filters.
pub fn filter_system_calls(program: &[Instruction]) -> nix::Result<()> {
    let length = program.len().try_into().map_err(|_| Errno::EINVAL)?;
    let filter =
        libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    const NO_FLAGS: usize = 0;
    // SAFETY: the kernel only reads the program, of which `len` says how long
    // it is. What a filtered call answers is no matter of memory.
    Errno::result(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER as usize,
            NO_FLAGS,
            &raw const filter,
        )
    })
    .map(drop)
}

/// setdomainname(name, length): the NIS domain, of the UTS namespace.
///
/// # Errors
/// As setdomainname(2).
pub fn set_domain_name(name: &str) -> nix::Result<()> {
    // SAFETY: the kernel reads as many bytes as there are.
    Errno::result(unsafe {
        libc::setdomainname(name.as_ptr().cast(), name.len())
    })
    .map(drop)
}

/// keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL)
///
/// A new session keyring, empty and without a name, in place of the one that
/// whoever started us has.
///
/// # Errors
/// As keyctl(2): `EDQUOT` when the user has too many keys, `ENOSYS` where the
/// kernel has none.
pub fn join_new_session_keyring() -> nix::Result<()> {
    const JOIN_SESSION_KEYRING: usize = 1;
    const NO_NAME: usize = 0;
    // SAFETY: two numbers go to the kernel; the second stands for no name.
    Errno::result(unsafe {
        libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, NO_NAME)
    })
    .map(drop)
}

/// userfaultfd(UFFD_USER_MODE_ONLY | O_CLOEXEC)
///
/// A page fault of ours can be handled through this descriptor. For faults that
/// happen in the kernel's own code, an ordinary user may not (sysctl
/// vm.unprivileged_userfaultfd); in this mode, nobody asks for those.
///
/// # Errors
/// As userfaultfd(2): `ENOSYS` where the kernel has none.
pub fn userfaultfd() -> nix::Result<OwnedFd> {
    const USER_MODE_ONLY: i32 = 1;
    let flags = USER_MODE_ONLY | libc::O_CLOEXEC;
    // SAFETY: a number goes to the kernel, and a descriptor comes back that is
    // ours alone. Until somebody registers memory with it, it does nothing.
    unsafe {
        let it = Errno::result(libc::syscall(libc::SYS_userfaultfd, flags))?;
        Ok(OwnedFd::from_raw_fd(it as i32))
    }
}

/// bpf(BPF_PROG_LOAD, {BPF_PROG_TYPE_CGROUP_DEVICE, program})
///
/// The kernel verifies a program about devices, and keeps it as long as somebody
/// has it open, or a cgroup has it.
///
/// # Errors
/// As bpf(2): `EPERM` for all but the machine's own root, `EINVAL` and `EACCES`
/// for a program that the kernel can't verify.
pub fn load_device_filter(program: &[u64]) -> nix::Result<OwnedFd> {
    const BPF_PROG_LOAD: libc::c_int = 5;
    const BPF_PROG_TYPE_CGROUP_DEVICE: u64 = 15;
    let length = program.len() as u64;
    let license = c"MIT";
    // The log's level, size and place, a version, and flags: none.
    let attributes = [
        BPF_PROG_TYPE_CGROUP_DEVICE | length << 32,
        program.as_ptr() as u64,
        license.as_ptr() as u64,
        0,
        0,
        0,
    ];
    let program = bpf(BPF_PROG_LOAD, &attributes)?;
    // SAFETY: the kernel has just opened it for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(program) })
}

/// bpf(BPF_PROG_ATTACH, {cgroup, program, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI})
///
/// From here on the kernel asks the program before a process in this cgroup, or
/// below it, opens a device. It goes with the cgroup.
///
/// # Errors
/// As bpf(2).
pub fn attach_device_filter(
    cgroup: BorrowedFd,
    program: BorrowedFd,
) -> nix::Result<()> {
    const BPF_PROG_ATTACH: libc::c_int = 8;
    const BPF_CGROUP_DEVICE: u64 = 6;
    // Beside those of systemd, above and below: all must agree.
    const BPF_F_ALLOW_MULTI: u64 = 2;
    let number = |fd: BorrowedFd| fd.as_raw_fd().unsigned_abs() as u64;
    let attributes = [
        number(cgroup) | number(program) << 32,
        BPF_CGROUP_DEVICE | BPF_F_ALLOW_MULTI << 32,
    ];
    bpf(BPF_PROG_ATTACH, &attributes).map(drop)
}

fn bpf(command: libc::c_int, attributes: &[u64]) -> nix::Result<i32> {
    // SAFETY: the kernel only reads the attributes, whose size we say, and what
    // they point to: a program with its length, and a text that ends with NUL.
    // Our callers hold both until it has answered.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_ptr(),
            size_of_val(attributes),
        )
    };
    Errno::result(answer).map(|number| number as i32)
}
