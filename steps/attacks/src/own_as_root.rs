//! Makes a file in a volume that belongs to the host's root, who could then be
//! made to run it (setuid). Without an id map, root inside is root outside.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "own-as-root",
    tries: "make a file in root's volume that belongs to the host's root",
    stopped: StoppedBy::Step(5),
    rule: "a user namespace maps root inside to an ordinary id outside",
    source: "user_namespaces(7), uid_map",
    arguments: &[
        Argument::new(
            "DIR",
            "/mnt",
            "a volume that belongs to the host's root",
        ),
        Argument::new("NAME", "attack", "the file's name"),
    ],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let directory = arguments.text("DIR")?;
    let file = Path::new(directory).join(arguments.text("NAME")?);
    let volume =
        fs::metadata(directory).or_stopped(format!("stat({directory:?})"))?;
    fs::write(&file, "").or_stopped(format!("open({file:?}, O_CREAT)"))?;
    let made = fs::metadata(&file).or_stopped(format!("stat({file:?})"))?;
    // The volume's owner is the host's root. An id that no map knows shows as
    // 65534, whoever it is.
    Ok(match made.uid() == volume.uid() {
        true => Outcome::Worked(format!(
            "{} belongs to the volume's owner",
            file.display()
        )),
        false => Outcome::Stopped(format!(
            "the file belongs to {}, the volume to {}",
            made.uid(),
            volume.uid()
        )),
    })
}
