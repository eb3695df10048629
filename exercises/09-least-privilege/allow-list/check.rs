//! Runs a program of random calls under the learner's profile, and then one of
//! all the calls that it should refuse. The kernel's answers count.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use least_privilege::docker;
use least_privilege::filter::Action;
use nix::libc;
use rustix::thread::CapabilitySet;
use syscalls::Sysno;

use crate::judge::look::{ensure, show};
use crate::judge::machine::{Call, answers, program};
use crate::judge::{Failure, Judge, how, number};
use crate::{Exercise, Need, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "allow-list",
    formerly: &[],
    step: "09-least-privilege",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "Two parts, as in the exercises of step 08: your program starts itself \
         again (/proc/self/exe) with a word that says so. The second one calls \
         ptrace::traceme() and becomes COMMAND.",
        "The first one waits for the stop with SIGTRAP, sets the options, and \
         then goes round: ptrace::syscall(pid, None), waitpid, note the \
         number. waitpid's ECHILD is the end.",
        "A stop by a signal is not yours: hand it on, ptrace::syscall(pid, \
         Some(signal)). But not the SIGSTOP with which a new child begins.",
    ],
    needs: &[Need::Ptrace],
    errors: &[],
    wrong: &[
        Wrong {
            name: "allows-all",
            change: &[("\"SCMP_ACT_ERRNO\"", "\"SCMP_ACT_ALLOW\"")],
            hint: ALL,
        },
        Wrong {
            name: "written-by-hand",
            change: &[(
                "calls.extend(call(pid));",
                "calls.extend([\"read\", \"write\", \"openat\", \"close\", \
                 \"mmap\", \"brk\", \"clone\", \"wait4\", \"exit_group\"]);\n\
                 let _ = call(pid);",
            )],
            hint: MISSING,
        },
        Wrong {
            name: "not-to-the-end",
            change: &[(
                "calls.extend(call(pid));",
                "calls.extend(call(pid).filter(|it| *it != \"exit_group\"));",
            )],
            hint: MISSING,
        },
        Wrong {
            name: "without-the-children",
            change: &[
                ("        | Options::PTRACE_O_TRACECLONE\n", ""),
                ("        | Options::PTRACE_O_TRACEFORK\n", ""),
                ("        | Options::PTRACE_O_TRACEVFORK\n", ""),
            ],
            hint: CHILDREN,
        },
        Wrong {
            name: "without-execve",
            change: &[("Calls::from([\"execve\"])", "Calls::new()")],
            hint: EXECVE,
        },
        Wrong {
            name: "from-too-early",
            change: &[(
                "            ptrace::traceme().context(\"PTRACE_TRACEME\")?;\n",
                "            ptrace::traceme().context(\"PTRACE_TRACEME\")?;\n            \
                 nix::sys::signal::raise(Signal::SIGTRAP)?;\n",
            )],
            hint: OURS,
        },
        Wrong {
            name: "kills",
            change: &[("\"SCMP_ACT_ERRNO\"", "\"SCMP_ACT_KILL_PROCESS\"")],
            hint: KILLS,
        },
        Wrong {
            name: "numbers-for-names",
            change: &[
                (
                    "type Calls = BTreeSet<&'static str>",
                    "type Calls = BTreeSet<String>",
                ),
                (
                    "fn call(pid: Pid) -> Option<&'static str>",
                    "fn call(pid: Pid) -> Option<String>",
                ),
                (
                    ".map(|call| call.name())",
                    ".map(|call| call.id().to_string())",
                ),
                (
                    "Calls::from([\"execve\"])",
                    "Calls::from([\"execve\".to_owned()])",
                ),
            ],
            hint: FORM,
        },
    ],
    check,
};

const NO_PROFILE: &str = "Nothing was written to the file that PROFILE names.";
const FORM: &str = "PROFILE is no profile in docker's form: the task shows \
                    one. Calls have names there.";
const EXECVE: &str = "The filter is there before COMMAND is, so nothing can be \
                      started under this one. Add execve, which COMMAND itself \
                      does not call.";
const MISSING: &str = "COMMAND makes calls that are not in your list. No two \
                       runs of this check bring the same COMMAND: the list has \
                       to come from watching it to its end.";
const CHILDREN: &str = "COMMAND itself works, but its child does not. Without \
                        PTRACE_O_TRACECLONE, TRACEFORK and TRACEVFORK you see \
                        the first process only.";
const ALL: &str = "The profile allows what it does not name. A list of what is \
                   allowed refuses by defaultAction: SCMP_ACT_ERRNO.";
const OURS: &str = "More is allowed than COMMAND did. Perhaps your own program \
                    did it: begin to note calls when COMMAND has begun, at the \
                    stop with SIGTRAP.";
const KILLS: &str = "A call that is not in the list ends the program. It is to \
                     be refused: many programs ask for what they can do \
                     without. defaultAction: SCMP_ACT_ERRNO.";

/// A profile of all calls is a tenth of that.
const LONGEST: u64 = 100_000;

/// Calls that do nothing, or fail, when all their arguments are 0: about who one
/// is, about time, files, and memory and the rest. None that the start of a
/// program with a C library makes: whoever noted that would have noted too much.
const HARMLESS: [&str; 4] = [
    "capget getegid geteuid getgid getgroups getpgid getppid getresgid \
     getresuid getsid getuid umask unshare",
    "clock_getres clock_gettime getitimer getpriority getrusage gettimeofday \
     nanosleep sched_get_priority_max sched_get_priority_min sched_getparam \
     sched_getscheduler sched_yield timerfd_create times",
    "dup epoll_create1 eventfd2 fchdir flock fsync getcwd getsockname \
     inotify_init1 lseek pipe2 readv socket",
    "getcpu kill madvise membarrier memfd_create mincore msync munlockall \
     sysinfo uname",
];

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let mut harmless = refused_to_nobody(judge);
    let mut some = |count: usize| -> Vec<Sysno> {
        let any = |left: usize| number(0, left as u32) as usize;
        (0..count).map(|_| harmless.remove(any(harmless.len()))).collect()
    };
    let own = some(number(8, 6) as usize);
    let of_child = some(number(3, 3) as usize);
    let spared = harmless;
    let command = write_program(judge, &own, &of_child);
    let file = judge.directory().join("profile.json");
    let mut run = judge.program().args([&file, &command]).start();
    let ended = run.ends()?;
    // Neither a pipe, nor a link to a file without end.
    let is_file = fs::symlink_metadata(&file)
        .is_ok_and(|it| it.is_file() && it.len() <= LONGEST);
    let expected = "a profile in PROFILE";
    if !ended.status.success() && !is_file {
        return Err(run.ended_early(ended.status, expected));
    }
    ensure(is_file, "PROFILE is no file", expected, NO_PROFILE)?;
    let text = fs::read(&file).expect("read PROFILE");
    let form = |error| {
        let observed = format!("PROFILE can't be used: {error:#}");
        Failure::new(observed, "a profile in docker's form", FORM)
    };
    let filter = docker::read(&text, CapabilitySet::empty()).map_err(form)?;
    filter.program().map_err(form)?;
    let allows =
        |call: &Sysno| is_made(filter.verdict(call.id() as u32, [0; 6]));
    ensure(
        allows(&Sysno::execve),
        "PROFILE refuses execve",
        "COMMAND can be executed under it",
        EXECVE,
    )?;

    let output = under(&file, &command);
    works(&output, &own, &of_child)?;

    let asks = write_program(judge, &spared, &[]);
    let output = under(&file, &asks);
    let of_spared = answers(&output.stdout);
    ensure(
        of_spared.len() == spared.len(),
        format!(
            "a program that makes another call ends: {}",
            how(output.status)
        ),
        "the call answers EPERM",
        KILLS,
    )?;
    // What only the profile tells: calls that are not so harmless.
    let needed: BTreeSet<_> =
        own.iter().chain(&of_child).chain(&ALWAYS).map(Sysno::id).collect();
    let more = Sysno::iter().filter(|call| !needed.contains(&call.id()));
    let answered: Vec<_> = (spared.iter().zip(of_spared))
        .filter(|(_, answer)| !is_refused(*answer))
        .map(|(call, _)| *call)
        .chain(more.filter(allows))
        .collect();
    ensure(
        answered.is_empty(),
        format!("COMMAND did not need these calls: {}", names(&answered)),
        "they are refused",
        if is_made(filter.otherwise) { ALL } else { OURS },
    )?;
    Ok(format!(
        "under your profile COMMAND works, with {} calls. Each of {} others is \
         refused",
        needed.len(),
        spared.len()
    ))
}

/// What the programs of this check always need.
const ALWAYS: [Sysno; 5] = [
    Sysno::execve,
    Sysno::clone,
    Sysno::wait4,
    Sysno::write,
    Sysno::exit_group,
];

/// Fails unless all of a program's calls were answered, the child's too.
fn works(
    output: &Output,
    own: &[Sysno],
    of_child: &[Sysno],
) -> Result<(), Failure> {
    let told = answers(&output.stdout);
    let expected = "it works as before";
    // It waits for its child first.
    let own = &[&[Sysno::wait4], own].concat()[..];
    let count = own.len() + of_child.len();
    ensure(
        told.len() == count && output.status.success(),
        format!(
            "under your profile COMMAND writes {} answers of the kernel in \
             place of {count} ({})",
            told.len(),
            how(output.status)
        ),
        expected,
        MISSING,
    )?;
    let (by_child, by_own) = told.split_at(of_child.len());
    for (calls, told, hint) in
        [(own, by_own, MISSING), (of_child, by_child, CHILDREN)]
    {
        let refused = calls.iter().zip(told);
        let refused = refused.filter(|(_, answer)| is_refused(**answer));
        let refused: Vec<_> = refused.map(|(call, _)| *call).collect();
        ensure(
            refused.is_empty(),
            format!(
                "under your profile COMMAND is refused these calls: {}",
                names(&refused)
            ),
            expected,
            hint,
        )?;
    }
    Ok(())
}

fn is_made(action: Action) -> bool {
    matches!(action, Action::Allow | Action::Log)
}

fn is_refused(answer: i64) -> bool {
    [libc::EPERM, libc::ENOSYS].map(|errno| -i64::from(errno)).contains(&answer)
}

/// The harmless calls that nothing else refuses here.
fn refused_to_nobody(judge: &Judge) -> Vec<Sysno> {
    let names = HARMLESS.iter().flat_map(|it| it.split_whitespace());
    let calls = names.map(|name| name.parse().expect("a call"));
    let calls: Vec<Sysno> = calls.collect();
    let asks = write_program(judge, &calls, &[]);
    let output = Command::new(asks).stdin(Stdio::null()).output();
    let told = answers(&output.expect("start it").stdout);
    assert_eq!(told.len(), calls.len(), "a program without a filter");
    let calls = calls.into_iter().zip(told);
    let calls = calls.filter(|(_, answer)| !is_refused(*answer));
    calls.map(|(call, _)| call).collect()
}

fn write_program(judge: &Judge, own: &[Sysno], child: &[Sysno]) -> PathBuf {
    let plain = |calls: &[Sysno]| -> Vec<Call> {
        calls.iter().map(|it| Call::plain(it.id() as u32)).collect()
    };
    let file = judge.directory().join("command");
    fs::write(&file, program(&plain(own), &plain(child))).expect("write");
    fs::set_permissions(&file, Permissions::from_mode(0o755)).expect("chmod");
    file
}

/// Runs a program under a profile, as `exercise under` does.
fn under(profile: &Path, program: &Path) -> Output {
    let ours = std::env::current_exe().expect("our own path");
    Command::new(ours)
        .args(["under", &show(profile), &show(program)])
        .stdin(Stdio::null())
        .output()
        .expect("start it")
}

fn names(calls: &[Sysno]) -> String {
    let some: Vec<_> = calls.iter().take(5).map(|call| call.name()).collect();
    let more = calls.len().saturating_sub(5);
    let more = if more > 0 { format!(" and {more} more") } else { "".into() };
    some.join(", ") + &more
}
