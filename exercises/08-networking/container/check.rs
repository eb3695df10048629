//! Asks the kernel about each wall, and then tries the attacks of the matrix.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use testbed::{needs, proc};

use crate::judge::cgroup::{has, words as file};
use crate::judge::look::{all_mounts, ensure, output, show, words};
use crate::judge::{Failure, Judge, number, waiting};
use crate::{Exercise, Need, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "container",
    formerly: &[],
    step: "08-networking",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "Three processes: one on the host (overlay, limit, maps), its child \
         (unshares the user namespace, waits, becomes 0, unshares the rest), \
         whose child is number 1 (proc, pivot_root, exec).",
        "The overlay is mounted on the host's side, in a private mount \
         namespace. Its upper directory belongs to FIRST.",
        "Call set_pdeathsig after setresuid, in each of the two children.",
    ],
    needs: &[Need::Ids, Need::Cgroup, Need::Internet, Need::Programs],
    errors: &[],
    wrong: &[
        Wrong {
            name: "no-network-namespace",
            change: &[
                ("            | CloneFlags::CLONE_NEWNET\n", ""),
                (
                    "    let up = Command::new(\"ip\").args([\"link\", \"set\", \"lo\", \"up\"]).status()?;\n    ensure!(up.success(), \"ip link set lo up: {up}\");\n",
                    "",
                ),
            ],
            hint: NAMESPACES,
        },
        Wrong {
            name: "descriptors-stay",
            change: &[("            close(number).ok();\n", "")],
            hint: DESCRIPTORS,
        },
        Wrong {
            name: "no-overlay",
            change: &[(
                "    mount(kind, &*merged, kind, flags, Some(&*options)).context(\"overlay\")?;\n    Ok(merged)",
                "    let _ = (kind, flags, options, merged);\n    Ok(root.to_owned())",
            )],
            hint: LAYERS,
        },
        Wrong {
            name: "lives-on",
            change: &[(
                "set_pdeathsig(Signal::SIGKILL).context(\"set_pdeathsig\")",
                "Ok(())",
            )],
            hint: LIVES_ON,
        },
        Wrong {
            name: "old-root-stays",
            change: &[(
                "    umount2(\".\", MntFlags::MNT_DETACH).context(\"umount the old root\")?;\n",
                "",
            )],
            hint: ROOT,
        },
        Wrong {
            name: "root-outside",
            change: &[(
                "let line = format!(\"0 {first} {count}\");",
                // All that every machine has at 0: an ordinary user's ids
                // go on elsewhere.
                "let line = format!(\"0 0 1\");",
            )],
            hint: IDS,
        },
        Wrong {
            name: "no-limit",
            change: &[(
                "    write(format!(\"{cgroup}/pids.max\"), max).context(\"limit\")?;\n",
                "    let _ = max;\n",
            )],
            hint: CGROUP,
        },
        Wrong {
            name: "mounts-in-public",
            change: &[(
                "    change(\"/\", MsFlags::MS_PRIVATE).context(\"make / private\")?;\n    \
                 let merged",
                "    let merged",
            )],
            hint: MOUNTS,
        },
        Wrong {
            name: "no-proc",
            change: &[(
                "    mount(Some(\"proc\"), \"proc\", Some(\"proc\"), flags, NONE).context(\"proc\")?;\n",
                "    let _ = flags;\n",
            )],
            hint: PROCESSES,
        },
    ],
    check,
};

/// Those that can be tried without an option. The name, and the hint when it
/// works.
const ATTACKS: [(&str, &str); 18] = [
    ("read-host-file", ROOT),
    ("escape-chroot", ROOT),
    ("old-root", ROOT),
    ("escape-proc", PROCESSES),
    ("leaked-directory", DESCRIPTORS),
    ("rename-host", NAMESPACES),
    ("find-shared-memory", NAMESPACES),
    ("post-to-queue", NAMESPACES),
    ("kill-host", PROCESSES),
    ("trace-host", PROCESSES),
    ("enter-host", PROCESSES),
    ("outlive", LIVES_ON),
    ("leak-mount", MOUNTS),
    ("see-cgroup", CGROUP),
    ("replace-shell", LAYERS),
    ("host-loopback", NAMESPACES),
    ("abstract-socket", NAMESPACES),
    ("bind-port", NAMESPACES),
];

const NAMESPACES: &str = "A namespace is missing. There are seven: UTS, IPC, \
                          PID, mount, user, cgroup, network.";
const ROOT: &str = "A path inside leads to the host's files. pivot_root, then \
                    umount2 with MNT_DETACH: one tree of mounts is left, the \
                    container's (step 04).";
const PROCESSES: &str = "Processes of the host are in reach. It takes a PID \
                         namespace, and a /proc that was mounted in it (steps \
                         03 and 04).";
const DESCRIPTORS: &str = "A file of the host is open inside: fchdir leads \
                           out. Close all above 2, or mark them close-on-exec, \
                           before COMMAND is executed. Whoever started you may \
                           have left one open, too.";
const LIVES_ON: &str = "When your program is killed, the container lives on. \
                        SIGKILL can't be passed on. Call set_pdeathsig in each \
                        child, after its ids have changed.";
const MOUNTS: &str = "A mount of the container appears on the host. Make the \
                      mounts private, recursively, before you mount anything \
                      (step 04).";
const CGROUP: &str = "The container is not in its cgroup, or sees where that \
                      lies. Write MAX to pids.max of CGROUP, then join it; \
                      unshare the cgroup namespace once you are in it (step \
                      06).";
const LAYERS: &str = "What one container writes, the next one executes: it was \
                      written to ROOT. Use an overlay, with upper and work \
                      below WORK (step 07).";
const IDS: &str = "Root inside has to be FIRST outside. Write the maps from \
                   outside, then call setresgid and setresuid (step 05).";

/// For all of them, on a slow machine. As a rule they take seconds. Each has a
/// patience of its own, which ends sooner, and says what it has waited for.
fn patience() -> Duration {
    Duration::from_secs(if needs::is_emulated() { 300 } else { 90 })
}

/// What a container is started with.
struct Facts {
    root: PathBuf,
    first: u32,
    count: u32,
    cgroup: PathBuf,
    max: u32,
}

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let facts = Facts {
        root: judge.root(),
        first: number(10_000, 1000),
        count: number(1000, 100),
        cgroup: judge.cgroup("pids"),
        max: number(40, 20),
    };
    asks_the_kernel(judge, &facts)?;
    let programs = programs(judge, &facts);
    let stopped = attacks(judge, &programs)?;
    Ok(format!(
        "seven namespaces, ids from {}, one tree of mounts, at most {} \
         processes; {stopped} of {} attacks stopped, none works",
        facts.first,
        facts.max,
        ATTACKS.len()
    ))
}

fn asks_the_kernel(judge: &Judge, facts: &Facts) -> Result<(), Failure> {
    let (work, command) = (judge.directory(), waiting());
    let Facts { root, first, count, cgroup, max } = facts;
    let words_of = [first, count].map(u32::to_string);
    let before = all_mounts(judge.host());
    let run = judge.program().args([root, &work]).args(&words_of);
    let run = run.args([cgroup]).args([max.to_string()]);
    let mut run = run.args(&command).start();
    let pid = run.reaches(&command)?;
    for kind in ["user", "uts", "ipc", "pid", "mnt", "cgroup", "net"] {
        let hint = if kind == "user" { IDS } else { NAMESPACES };
        judge.namespace(pid, kind, hint)?;
    }
    for map in ["uid_map", "gid_map"] {
        let (is, expected) = (words(pid, map), format!("0 {first} {count}"));
        ensure(
            is == expected,
            format!("{map} is \"{is}\""),
            format!("\"{expected}\""),
            IDS,
        )?;
    }
    let user = proc::status(pid, "Uid").unwrap_or_default();
    ensure(
        user.split_whitespace().all(|id| id == first.to_string()),
        format!("outside, the command's user is {}", user.replace('\t', " ")),
        first.to_string(),
        IDS,
    )?;
    let mounts = all_mounts(pid);
    let roots = mounts.iter().filter(|it| it.place == "/").count();
    let places: Vec<_> = mounts.iter().map(|it| it.place.clone()).collect();
    let hosts = mounts.iter().any(|it| it.place.starts_with("/run/"));
    ensure(
        roots == 1 && !hosts,
        format!("{} mounts inside: {}", places.len(), some(&places)),
        "one tree of mounts: / and /proc, perhaps /dev and more of its own",
        ROOT,
    )?;
    ensure(
        all_mounts(judge.host()) == before,
        "what was mounted shows up in the host's own table",
        "the host's mounts as they were",
        MOUNTS,
    )?;
    let of = |pid| proc::namespace(pid, "pid");
    let all = proc::all().into_iter().filter(|it| of(*it) == of(pid)).count();
    let entries = fs::read_dir(format!("/proc/{pid}/root/proc"));
    let names =
        entries.into_iter().flatten().flatten().map(|it| it.file_name());
    let shown = names.filter(|it| it.to_string_lossy().parse::<u32>().is_ok());
    let shown = shown.count();
    ensure(
        shown == all,
        format!("the container's /proc shows {shown} processes"),
        format!("it shows those of its PID namespace: {all}"),
        PROCESSES,
    )?;
    let name = testbed::token();
    let written = fs::write(format!("/proc/{pid}/root/{name}"), "");
    let below_work = output("find", &[&*show(&work), "-name", &name]);
    ensure(
        written.is_ok() && !root.join(&name).exists() && !below_work.is_empty(),
        match root.join(&name).exists() {
            true => "what is written in the container's / is in ROOT".into(),
            false => {
                format!("what is written in the container's /: {written:?}")
            }
        },
        "it is below WORK, and ROOT is as it was",
        LAYERS,
    )?;
    let limit = file(cgroup, "pids.max");
    ensure(
        has(cgroup, pid) && limit == max.to_string(),
        format!(
            "pids.max is {limit}; the command is in it: {}",
            has(cgroup, pid)
        ),
        format!("pids.max is {max}, and the command is in the cgroup"),
        CGROUP,
    )
}

fn some(names: &[String]) -> String {
    let shown = names[..names.len().min(5)].join(", ");
    if names.len() > 5 { shown + " …" } else { shown }
}

/// The workshop's programs, in which step 08 is the learner's container: a
/// script that knows the few options that these attacks use.
fn programs(judge: &Judge, facts: &Facts) -> PathBuf {
    let place = judge.directory();
    let ours = std::env::current_exe().expect("our own path");
    for entry in
        fs::read_dir(ours.parent().expect("a directory")).expect("read")
    {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_owned();
        if path.is_file() && name != "08-networking" {
            symlink(&path, place.join(name)).expect("make a link");
        }
    }
    let Facts { root, first, count, cgroup, max } = facts;
    let works = judge.directory();
    let script = format!(
        "#!/bin/sh
root={}
while [ \"$1\" ]; do
    case $1 in
    -q | --quiet) shift ;;
    --rootfs) root=$2; shift 2 ;;
    --) shift; break ;;
    *) break ;;
    esac
done
work=$(mktemp -d {}/XXXXXX)
chmod 755 \"$work\"
exec prlimit --nproc=300 -- {} \"$root\" \"$work\" \\
    {first} {count} {} {max} \"$@\"
",
        show(root),
        show(&works),
        show(judge.path()),
        show(cgroup)
    );
    let step = place.join("08-networking");
    fs::write(&step, script).expect("write a script");
    fs::set_permissions(&step, Permissions::from_mode(0o755)).expect("chmod");
    place
}

/// All at once: most of the time is spent waiting for what does not happen.
fn attacks(judge: &Judge, programs: &Path) -> Result<usize, Failure> {
    let start = |(name, hint): &(&'static str, &'static str)| {
        let mount = format!("--mount=/proc/{}/ns/mnt", judge.host());
        let matrix = show(&programs.join("attack-matrix"));
        let child = Command::new("nsenter")
            .args([&*mount, "--", &matrix, "--step", "8", "--attack", name])
            .env("WORKSHOP_BIN", programs)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start attack-matrix");
        (*name, *hint, child)
    };
    let finish = |mut child: Child, end: Instant| {
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < end {
            sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let output = child.wait_with_output().expect("wait for it");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said)
    };
    let works = |said: &str| said.contains(": works,");
    let started: Vec<_> = ATTACKS.iter().map(start).collect();
    let end = Instant::now() + patience();
    let (mut stopped, mut worked, mut broken) = (0, vec![], vec![]);
    for (attack, (name, hint, child)) in ATTACKS.iter().zip(started) {
        let (mut status, mut said) = finish(child, end);
        // Some of the attacks take all that there is: once more, alone.
        if !matches!(status, None | Some(0 | 3)) && !works(&said) {
            let again = Instant::now() + patience();
            (status, said) = finish(start(attack).2, again);
        }
        match status {
            Some(0) => stopped += 1,
            Some(3) => {}
            _ if works(&said) => worked.push((name, hint)),
            _ => broken.push((name, hint, said)),
        }
    }
    if let Some((_, hint)) = worked.first() {
        let names: Vec<_> = worked.iter().map(|it| it.0.to_owned()).collect();
        return Err(Failure::new(
            format!(
                "{stopped} attacks stopped; these work: {}",
                names.join(", ")
            ),
            "none works",
            *hint,
        ));
    }
    if let Some((name, hint, said)) = broken.first() {
        let names: Vec<_> = broken.iter().map(|it| it.0.to_owned()).collect();
        // The reason is the last line but one: the last one counts.
        let reason = said.lines().rev().nth(1);
        let reason = reason.unwrap_or("  it does not end");
        return Err(Failure::new(
            format!(
                "{stopped} attacks stopped; neither stopped nor working: {}. \
                 {name} says\n  | {reason:.300}",
                names.join(", ")
            ),
            "each is stopped",
            *hint,
        ));
    }
    Ok(stopped)
}
