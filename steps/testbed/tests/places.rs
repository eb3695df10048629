#![forbid(unsafe_code)]
//! A checkout works wherever it is: its scripts, and the programs in it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use testbed::{Step, binary, checkout, needs, skip};

testbed::main!(
    below_tmp,
    in_a_path_with_spaces_and_quotes,
    behind_a_symbolic_link,
    below_a_directory_that_is_closed_to_its_user,
    on_an_overlay,
    some_directories_below_the_root,
);

/// What a user does first. Nothing that it prints depends on the machine.
const USE: &str = r#"set -e
unset PLAYGROUND # which stands for a host
scripts/playground.sh bash -c '01-chroot -q echo works; echo >scripts/written
    [[ $(type -P 01-chroot) == "$(pwd -P)/target/debug/01-chroot" ]] && echo "at the same place"'
scripts/attacks.sh --step 4 --attack type-into-terminal >&2 || (($? == 3))
scripts/demo.sh --auto 1 >&2
scripts/doctor.sh --json >/dev/null || (($? == 1))
echo and all else"#;

/// Its mounts are gone with it, and before anything is removed here.
const WITH_PROGRAMS: &str = r#"exec unshare --mount -- bash -c 'set -e
    eval "$MOUNT"; mkdir -p target/debug; mount --bind "$PROGRAMS" target/debug
    export WORKSHOP_BIN=$PWD/target/debug
    exec "$@"' bash "$@""#;

/// A directory that anyone may enter, for a checkout without its programs.
fn directory(parent: &str) -> TempDir {
    let directory = tempfile::tempdir_in(parent).expect("a directory");
    fs::set_permissions(&directory, Permissions::from_mode(0o755))
        .expect("chmod");
    directory
}

fn copy(place: &Path) {
    fs::create_dir_all(place).expect("mkdir");
    let copied = Command::new("cp")
        .args(["-r", "--parents", "Cargo.toml", "scripts", "steps/testbed"])
        .arg(place)
        .current_dir(checkout())
        .status();
    assert!(copied.expect("cp").success());
}

/// `user` starts it; `mount` is run before that.
fn works(place: &Path, user: &[&str], mount: &str) {
    let programs = binary("01-chroot");
    let mut step = Step::program("env").args(user).args(["bash", "-c", USE]);
    step.command()
        .current_dir(place)
        .env("PWD", place)
        .env("MOUNT", mount)
        .env("PROGRAMS", programs.parent().expect("a directory"));
    let output = step.in_shell(WITH_PROGRAMS).output();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        said,
        "works\nat the same place\nand all else\n",
        "{}: {output:?}",
        place.display()
    );
}

fn below_tmp() {
    needs::root();
    let directory = directory("/tmp");
    copy(directory.path());
    works(directory.path(), &[], "");
}

fn in_a_path_with_spaces_and_quotes() {
    needs::root();
    let directory = directory("/var/tmp");
    let place = directory.path().join("two  spaces, \"it's\" $HOME");
    copy(&place);
    works(&place, &[], "");
}

fn behind_a_symbolic_link() {
    needs::root();
    let directory = directory("/var/tmp");
    let [place, link] = ["place", "link"].map(|it| directory.path().join(it));
    copy(&place);
    symlink("place", &link).expect("a link");
    works(&link, &[], "");
}

const LEARNER: &[&str] = &["scripts/as-learner.sh", "--"];

fn below_a_directory_that_is_closed_to_its_user() {
    needs::root();
    let learner = Step::script("as-learner.sh").args(["true"]).output();
    if !learner.status.success() {
        skip("needs a second user id");
    }
    let directory = directory("/var/tmp");
    let place = directory.path().join("place");
    copy(&place);
    let closed = Permissions::from_mode(0o700);
    fs::set_permissions(&directory, closed).expect("chmod");
    works(&place, LEARNER, "");
    // And when root gets there by another name.
    let other = self::directory("/var/tmp");
    let link = other.path().join("link");
    symlink(&place, &link).expect("a link");
    works(&link, LEARNER, "");
}

fn on_an_overlay() {
    needs::root();
    let directory = directory("/var/tmp");
    let lower = directory.path().join("lower");
    copy(&lower);
    let place: PathBuf = directory.path().join("merged");
    fs::create_dir(&place).expect("mkdir");
    let mount = r#"mount -t tmpfs none /mnt; mkdir /mnt/upper /mnt/work
        mount -t overlay -o userxattr,lowerdir=../lower,upperdir=/mnt/upper,workdir=/mnt/work none .
        cd "$PWD""#;
    works(&place, &[], mount);
}

/// Each directory on the way needs an owner in the playground; otherwise nobody
/// in it could write there.
fn some_directories_below_the_root() {
    needs::real_processor();
    needs::host_root();
    let directory = directory("/opt");
    let place = directory.path().join("some/directories/below");
    copy(&place);
    let twice = r#"unset PLAYGROUND
        scripts/playground.sh scripts/playground.sh sh -c 'echo here >scripts/it; cat scripts/it'"#;
    let mut step = Step::program("bash").args(["-c", twice]);
    step.command().current_dir(&place);
    let output = step.output();
    assert_eq!(output.stdout, b"here\n", "{output:?}");
    assert!(!place.join("scripts/it").exists(), "it was a view");
}
