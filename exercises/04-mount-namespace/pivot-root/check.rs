//! Looks at the mount table of the command, and of the host.

use nix::errno::Errno;

use crate::judge::look::{all_mounts, ensure, same_file, show};
use crate::judge::{Failure, Judge, waiting};
use crate::{Exercise, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "pivot-root",
    formerly: &[],
    step: "04-mount-namespace",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "First a namespace (unshare), then private mounts (mount with MS_REC | \
         MS_PRIVATE, in a call of its own). Only then the root.",
        "ROOT is a directory. A bind mount on itself makes it a mount point: \
         mount(Some(&*root), &*root, none, MsFlags::MS_BIND, none).",
        "chdir to ROOT, pivot_root(\".\", \".\"), umount2(\".\", \
         MntFlags::MNT_DETACH), chdir(\"/\").",
    ],
    needs: &[],
    errors: &[(Errno::EINVAL, PICKY), (Errno::EBUSY, PICKY)],
    wrong: &[
        Wrong {
            name: "chroot-instead",
            change: &[(
                "pivot_root(\".\", \".\").context(\"pivot_root\")?;\n    \
                 umount2(\".\", MntFlags::MNT_DETACH).context(\"umount the old \
                 root\")?;",
                "nix::unistd::chroot(\".\")?;",
            )],
            hint: STILL_THERE,
        },
        Wrong {
            name: "old-root-stays",
            change: &[(
                "umount2(\".\", MntFlags::MNT_DETACH).context(\"umount the old \
                 root\")?;",
                "",
            )],
            hint: OLD_ROOT,
        },
        Wrong {
            name: "no-mount-point",
            change: &[(
                "mount(Some(&*root), &*root, NONE, MsFlags::MS_BIND, NONE)\n        \
                 .context(\"bind ROOT on itself\")?;",
                "",
            )],
            hint: PICKY,
        },
        Wrong {
            name: "not-private",
            change: &[(
                "change(\"/\".as_ref(), MsFlags::MS_PRIVATE).context(\"make / \
                 private\")?;",
                "",
            )],
            hint: PICKY,
        },
        Wrong {
            name: "no-namespace",
            change: &[(
                "unshare(CloneFlags::CLONE_NEWNS).context(\"unshare\")?;",
                "",
            )],
            hint: NO_NAMESPACE,
        },
        Wrong {
            name: "never-goes-there",
            change: &[("    chdir(&*root).context(\"chdir\")?;\n", "")],
            hint: PICKY,
        },
        Wrong {
            name: "stays-where-it-was",
            change: &[
                (
                    "chdir(&*root).context(\"chdir\")?;",
                    "let old = std::path::Path::new(&root).join(\"old\"); \
                     std::fs::create_dir(&old)?;",
                ),
                ("pivot_root(\".\", \".\")", "pivot_root(&*root, &old)"),
                ("umount2(\".\",", "umount2(\"/old\","),
                ("    chdir(\"/\").context(\"chdir\")?;\n", ""),
            ],
            hint: STANDS,
        },
    ],
    check,
};

const NO_NAMESPACE: &str = "Without unshare(CloneFlags::CLONE_NEWNS) you \
                            change the host's own mount table.";
const STILL_THERE: &str = "The command's table still has the host's mounts. \
                           pivot_root(2) makes ROOT the root mount of the \
                           namespace; umount2 with MNT_DETACH takes the old \
                           one away. A chroot only hides it.";
const OLD_ROOT: &str = "After pivot_root(\".\", \".\") the old root lies on \
                        top of the new one. umount2(\".\", \
                        MntFlags::MNT_DETACH) takes it away, with everything \
                        that is mounted below it.";
const PICKY: &str = "EINVAL and EBUSY from pivot_root have three causes: ROOT \
                     is not a mount point (bind it on itself), you are not in \
                     it (chdir, after that), or a mount involved is shared \
                     (first make / private, with MS_REC, in a call of its \
                     own).";
const STANDS: &str = "The working directory is not in ROOT. End with \
                      chdir(\"/\").";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let root = judge.root();
    let command = waiting();
    let before = all_mounts(judge.host());
    let mut run = judge.program().args([&root]).args(&command).start();
    let reached = run.reaches(&command);
    let after = all_mounts(judge.host());
    let was_changed = after.first().is_none_or(|it| it.propagation.is_empty());
    if let (Err(failure), true) = (&reached, was_changed) {
        return Err(Failure { hint: NO_NAMESPACE.into(), ..failure.clone() });
    }
    let pid = reached?;
    let seen = judge.namespace(pid, "mnt", NO_NAMESPACE)?;

    let mounts = all_mounts(pid);
    let places: Vec<_> = mounts.iter().map(|it| it.place.as_str()).collect();
    let some = places[..places.len().min(4)].join(", ");
    let its = |name| format!("/proc/{pid}/{name}/.");
    let root_is_the_hosts = same_file(its("root"), "/");
    let root_stays = places.contains(&&*show(&root)) || root_is_the_hosts;
    let hint = if root_stays { STILL_THERE } else { OLD_ROOT };
    let observed =
        format!("the namespace of {pid} has {} mounts: {some} …", places.len());
    ensure(places.len() == 1, observed, "one mount: ROOT, at /", hint)?;

    ensure(
        same_file(its("root"), &root),
        format!("/proc/{pid}/root is another directory"),
        format!("it is {}", root.display()),
        STILL_THERE,
    )?;
    ensure(
        same_file(its("cwd"), &root),
        format!("/proc/{pid}/cwd is another directory"),
        "it is the new root",
        STANDS,
    )?;
    ensure(
        after == before,
        "the host's own mount table has changed",
        "the host's mounts as they were",
        NO_NAMESPACE,
    )?;
    Ok(format!("{seen}; its one mount is ROOT, at /"))
}
