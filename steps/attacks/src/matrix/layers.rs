//! Step 07: the root directory that containers share.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use testbed::token;

use crate::places::{
    Cache, Place, Root, Verdict, directory, judge, run, stdout, text,
};

/// The next container's shell speaks.
pub fn replace_shell(place: Place) -> Verdict {
    let word = token();
    let plant = ["plant", &*word];
    let (planted, next) = match place.step {
        0 => {
            let root = Root::new();
            let planted = root.by_hand("replace-shell", &plant);
            let next = ["/bin/sh", "-c", "true"];
            (planted, run("chroot", [&[&*root.text()], &next[..]].concat()))
        }
        _ => {
            let cache = Cache::new();
            let attack = place.command("replace-shell", &plant);
            let planted = cache.for_step(attack).output();
            (planted, cache.for_step(place.step().sh("true")).output())
        }
    };
    assert!(next.status.success(), "{next:?}");
    let seen = String::from_utf8_lossy(&next.stderr).contains(&word);
    judge(&planted, seen)
}

/// The layer's file is looked at on the host. Before there are layers, that is
/// the shared root directory.
pub fn write_layer(place: Place) -> Verdict {
    let word = token();
    let (output, file) = match place.step {
        0 => {
            let root = Root::new();
            let output = root.by_hand("write-layer", &["plant", &word]);
            let now = fs::read_to_string(root.path().join("etc/passwd"));
            (output, now)
        }
        1..7 => {
            let cache = Cache::new();
            let step = place.command("write-layer", &["plant", &word]);
            let output = cache.for_step(step).output();
            let now = fs::read_to_string(cache.root().join("etc/passwd"));
            (output, now)
        }
        _ => {
            let layer = directory();
            let file = layer.path().join("shared");
            fs::write(&file, "as it was\n").expect("write");
            give_to_root_inside(place, &[layer.path(), &file]);
            let step = place.step().args(["--layer", &text(layer.path())]);
            let attack =
                "attack write-layer plant \"$0\" /shared && cat /shared";
            let attack = ["--", "/bin/sh", "-c", attack, &word];
            let output = step.args(attack).output();
            // It is written inside: only not into the layer.
            let said = stdout(&output);
            assert!(said.ends_with(&format!("\n{word}\n")), "{said}");
            (output, fs::read_to_string(file))
        }
    };
    judge(&output, file.expect("the file").contains(&word))
}

/// So that nothing but the overlay keeps it from writing: the ids that a default
/// root directory has are those of root inside. Says who that is out here.
pub fn give_to_root_inside(place: Place, files: &[&Path]) -> u32 {
    let cache = Cache::new();
    let _ = cache.for_step(place.step().args(["--", "true"])).stdout();
    let owner = fs::metadata(cache.root()).expect("the root directory");
    for file in files {
        chown(file, Some(owner.uid()), Some(owner.gid())).expect("chown");
    }
    owner.uid()
}
