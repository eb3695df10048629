//! Lays the program's layer over another one, and looks at what can be seen.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use testbed::token;

use crate::judge::look::{ensure, output, show};
use crate::judge::{Failure, Judge, how};
use crate::{Exercise, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "whiteout",
    formerly: &[],
    step: "07-overlayfs",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "The device is makedev(0, 0), its type SFlag::S_IFCHR.",
        "A PATH like a/b/c needs the directories a and a/b in UPPER. They don't \
         hide those below: directories are merged.",
    ],
    needs: &[],
    errors: &[
        (Errno::ENOENT, NO_PARENT),
        (Errno::EPERM, NOT_THAT_DEVICE),
        (Errno::EEXIST, THERE),
    ],
    wrong: &[
        Wrong {
            name: "empty-file",
            change: &[(
                "    mknod(path, SFlag::S_IFCHR,",
                "    mknod(path, SFlag::S_IFREG,",
            )],
            hint: COVERED,
        },
        Wrong {
            name: "another-device",
            change: &[("makedev(0, 0)", "makedev(1, 3)")],
            hint: NOT_THAT_DEVICE,
        },
        Wrong {
            name: "no-parents",
            change: &[(
                "    create_dir_all(path.parent().context(\"no parent\")?)?;\n",
                "",
            )],
            hint: NO_PARENT,
        },
        Wrong {
            name: "hides-the-directory",
            change: &[(
                "    create_dir_all(path.parent().context(\"no parent\")?)?;\n",
                "    let path = path.parent().filter(|it| it.ends_with(\"deep\")).unwrap_or(path);\n    \
                  create_dir_all(path.parent().context(\"no parent\")?)?;\n",
            )],
            hint: TOO_MUCH,
        },
        Wrong {
            name: "makes-the-path-itself",
            change: &[("path.parent().context(\"no parent\")?", "path")],
            hint: THERE,
        },
    ],
    check,
};

const NOT_HIDDEN: &str = "UPPER has no whiteout there: a character device (0, 0) \
                          with the same path.";
const COVERED: &str = "A file in UPPER covers the one below, and is seen in its \
                       place. A whiteout is a character device with the numbers \
                       0 and 0.";
const NOT_THAT_DEVICE: &str = "EPERM from mknod: making a device takes a \
                               privilege that a user namespace never has. The \
                               one exception is the whiteout: makedev(0, 0).";
const NO_PARENT: &str = "ENOENT from mknod: the directory for it is not in \
                         UPPER yet. create_dir_all makes it, and all those \
                         above it.";
const THERE: &str = "EEXIST: something is already in UPPER at that path.";
const TOO_MUCH: &str = "More is hidden than asked for. A whiteout covers what \
                        has its name, and everything below that; the \
                        directories on the way to it have to be directories in \
                        UPPER, too.";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let [lower, upper, work, merged] = [(); 4].map(|()| judge.directory());
    let deep = format!("{}/deep", token());
    let names = [(); 3].map(|()| token());
    let [file, kept, directory] = &names;
    let hidden = [file.clone(), format!("{deep}/{file}"), directory.clone()];
    let stays =
        [kept.clone(), format!("{deep}/{kept}"), format!("{directory}-too/x")];
    let below = format!("{directory}/x");
    let all = hidden[..2].iter().chain(&stays).chain([&below]);
    for path in all {
        let path = lower.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
        fs::write(path, "of the lower layer").expect("write");
    }
    let mut run = judge.program().args([&upper]).args(&hidden).start();
    let ended = run.ends()?;
    if !ended.status.success() {
        return Err(run.ended_early(ended.status, "a layer, and exit status 0"));
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        show(&lower),
        show(&upper),
        show(&work)
    );
    let (kind, flags) = (Some("overlay"), MsFlags::empty());
    mount(kind, &merged, kind, flags, Some(&*options)).expect("an overlay");

    let seen = files(&merged);
    let shown: Vec<_> =
        hidden.iter().filter(|path| merged.join(path).exists()).collect();
    let lost: Vec<_> =
        stays.iter().filter(|path| !merged.join(path).exists()).collect();
    if let Some(path) = shown.first() {
        let made = fs::symlink_metadata(upper.join(path));
        let device =
            made.as_ref().is_ok_and(|it| it.file_type().is_char_device());
        return Err(Failure::new(
            format!("{path} is seen in the overlay"),
            "it is hidden",
            if made.is_ok() && !device { COVERED } else { NOT_HIDDEN },
        ));
    }
    if let Some(path) = lost.first() {
        let observed = format!("{path} is hidden, too");
        return Err(Failure::new(observed, "it is seen", TOO_MUCH));
    }
    let expected: BTreeSet<_> = stays.iter().cloned().collect();
    ensure(
        seen == expected,
        format!("other files are seen: {seen:?}"),
        format!("{expected:?}"),
        TOO_MUCH,
    )?;
    Ok(format!(
        "{} paths are hidden, {} are seen ({})",
        hidden.len(),
        seen.len(),
        how(ended.status)
    ))
}

/// The files below a directory, as paths from there.
fn files(directory: &Path) -> BTreeSet<String> {
    let all =
        output("find", &[&*show(directory), "-type", "f", "-printf", "%P\n"]);
    all.lines().map(str::to_owned).collect()
}
