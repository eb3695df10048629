//! Looks for the tmpfs in the command's mount table and in the host's.

use crate::judge::look::{all_mounts, ensure, show};
use crate::judge::{Failure, Judge, waiting};
use crate::{Exercise, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "private-mounts",
    formerly: &[],
    step: "04-mount-namespace",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "It goes between unshare and the first mount.",
        "mount(none, \"/\", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;",
    ],
    needs: &[],
    errors: &[],
    wrong: &[
        Wrong {
            name: "not-recursive",
            change: &[(
                "MsFlags::MS_REC | MsFlags::MS_PRIVATE",
                "MsFlags::MS_PRIVATE",
            )],
            hint: NOT_ALL,
        },
        Wrong {
            name: "with-bind",
            change: &[(
                "mount(none, \"/\", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)",
                "mount(Some(\"/\"), \"/\", none, MsFlags::MS_BIND | MsFlags::MS_REC \
                 | MsFlags::MS_PRIVATE, none)",
            )],
            hint: SHARED,
        },
        Wrong {
            name: "too-late",
            change: &[
                (
                    "    mount(none, \"/\", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)\n        \
                     .context(\"make / private\")?;\n",
                    "",
                ),
                (
                    ".context(\"mount a tmpfs\")?;",
                    "?; mount(none, \"/\", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;",
                ),
            ],
            hint: TOO_LATE,
        },
        Wrong {
            name: "slave",
            change: &[("MsFlags::MS_PRIVATE", "MsFlags::MS_SLAVE")],
            hint: SLAVE,
        },
        Wrong {
            name: "no-namespace",
            change: &[(
                "    unshare(CloneFlags::CLONE_NEWNS).context(\"unshare\")?;\n",
                "    let _ = (unshare, CloneFlags::CLONE_NEWNS);\n",
            )],
            hint: NO_NAMESPACE,
        },
        Wrong {
            name: "no-tmpfs",
            change: &[(
                "    mount(Some(\"tmpfs\"), &*dir, Some(\"tmpfs\"), MsFlags::empty(), none)\n        \
                 .context(\"mount a tmpfs\")?;\n",
                "    let _ = dir;\n",
            )],
            hint: NO_TMPFS,
        },
    ],
    check,
};

const NO_NAMESPACE: &str = "Without unshare(CloneFlags::CLONE_NEWNS) the mounts \
                            are the host's own.";
const SHARED: &str = "The mounts of the command are shared with the host's, so \
                      the host hears of each new one. MS_PRIVATE ends that: in \
                      a call of its own (together with MS_BIND it is ignored), \
                      before the tmpfs is mounted.";
const TOO_LATE: &str = "The mounts are private now, but the tmpfs was mounted \
                        before that, and the host heard of it. Order: unshare, \
                        private, mount.";
const NOT_ALL: &str = "Only one mount was made private. MS_REC does it for all \
                       mounts below as well.";
const SLAVE: &str = "The host does not see the tmpfs. But a slave still hears \
                     of the host's new mounts. Private cuts both directions.";
const NO_TMPFS: &str = "The tmpfs has to be mounted as well.";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let (dir, command) = (judge.directory(), waiting());
    let mut run = judge.program().args([&dir]).args(&command).start();
    let pid = run.reaches(&command)?;
    judge.namespace(pid, "mnt", NO_NAMESPACE)?;
    let (dir, its) = (show(&dir), all_mounts(pid));
    let on_host = all_mounts(judge.host()).iter().any(|it| it.place == dir);
    let shared = |mark: &str| {
        let it = |it: &&testbed::proc::MountInfo| {
            it.propagation.iter().any(|word| word.starts_with(mark))
        };
        its.iter().filter(it).count()
    };
    let (shared, slaves) = (shared("shared:"), shared("master:"));
    let observed = format!(
        "{} has a tmpfs in the command's table{}; of the command's {} mounts \
         {shared} are shared, {slaves} slaves",
        dir,
        if on_host { ", and in the host's" } else { ", not in the host's" },
        its.len(),
    );
    let expected = "not in the host's table, and no mount shared or slave";
    let hint = match shared {
        0 => TOO_LATE,
        count if count + 2 < its.len() => NOT_ALL,
        _ if its.first().is_some_and(|it| it.propagation.is_empty()) => NOT_ALL,
        _ => SHARED,
    };
    ensure(!on_host, &observed, expected, hint)?;
    ensure(shared == 0, &observed, expected, hint)?;
    ensure(slaves == 0, &observed, expected, SLAVE)?;
    ensure(
        its.iter().any(|it| it.place == dir && it.kind == "tmpfs"),
        format!("{dir} has no tmpfs in the command's table"),
        "a tmpfs there",
        NO_TMPFS,
    )?;
    Ok(observed)
}
