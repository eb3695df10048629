//! Makes a learner's file a program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::unistd::{AccessFlags, access};
use testbed::Moving;

use crate::check::checkout;
use crate::package::write_package;
use crate::screen::say;
use crate::{ALL, Exercise};

/// Programs that no checker wants to meet.
const HOSTILE: [(&str, &str); 5] = [
    ("hang", include_str!("../tests/hostile/hang.rs")),
    ("fork-bomb", include_str!("../tests/hostile/fork-bomb.rs")),
    ("endless", include_str!("../tests/hostile/endless.rs")),
    ("leaver", include_str!("../tests/hostile/leaver.rs")),
    ("liar", include_str!("../tests/hostile/liar.rs")),
];

/// What the compiler made of a file.
#[derive(Debug)]
pub enum Compiled {
    /// A program, and the compiler's warnings.
    Program(PathBuf, String),
    /// What the compiler says.
    Errors(String),
}

/// Compiles one program of a package, offline.
///
/// # Errors
/// When cargo can't be started.
pub fn compile(package: &Path, name: &str, colour: bool) -> Result<Compiled> {
    let colour = if colour { "always" } else { "never" };
    let named = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = named.unwrap_or(package.join("target"));
    if !target.exists() {
        say("The first time, cargo compiles the crates, which takes a moment.");
    }
    let begin = Instant::now();
    let moving = Moving::begin(move || {
        format!("cargo is at work: {} s", begin.elapsed().as_secs())
    });
    let output = Command::new("cargo")
        .args(["build", "--offline", "--quiet", "--bin", name])
        .args(["--color", colour, "--target-dir"])
        .arg(&target)
        .current_dir(package)
        .envs(workshop_crates().map(|place| ("CARGO_BUILD_BUILD_DIR", place)))
        .env_remove("RUSTFLAGS")
        .stdin(Stdio::null())
        .output()
        .context("start cargo: is it on your PATH?")?;
    drop(moving);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(match output.status.success() {
        true => Compiled::Program(target.join("debug").join(name), said),
        false => Compiled::Errors(said),
    })
}

/// Where cargo has compiled the crates for the workshop, which are the same
/// (`build.build-dir`; cargo before 1.91 compiles them a second time).
fn workshop_crates() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let target = own.parent()?.parent()?;
    let is_ours = access(target, AccessFlags::W_OK).is_ok();
    is_ours.then(|| target.to_owned())
}

/// Compiles every program of every exercise: the start, the solution, the wrong
/// answers. The first two give no warning.
///
/// # Errors
/// When one does not compile.
pub fn compile_all(directory: &Path) -> Result<()> {
    let mut programs = Vec::new();
    fs::create_dir_all(directory)?;
    let directory = &fs::canonicalize(directory)?;
    for exercise in ALL {
        for (name, text) in texts(exercise) {
            let file = PathBuf::from(&name).with_extension("rs");
            let path = directory.join(&file);
            if fs::read_to_string(&path).unwrap_or_default() != text {
                fs::write(path, text)?;
            }
            programs.push((name, file));
        }
    }
    for (name, text) in HOSTILE {
        let file = PathBuf::from(format!("hostile--{name}.rs"));
        fs::write(directory.join(&file), text)?;
        programs.push((format!("hostile--{name}"), file));
    }
    write_package(&checkout()?, directory, programs.into_iter())?;
    let status = Command::new("cargo")
        .args(["build", "--offline", "--quiet", "--bins"])
        .arg("--target-dir")
        .arg(directory.join("target"))
        .current_dir(directory)
        .env_remove("RUSTFLAGS")
        .status()
        .context("start cargo")?;
    ensure!(status.success(), "not all programs compile");
    Ok(())
}

/// The names of an exercise's programs, and the programs.
fn texts(exercise: &Exercise) -> Vec<(String, String)> {
    let strict = |text: &str| format!("#![deny(warnings)]\n{text}");
    let name = exercise.name;
    let mut texts = vec![
        (format!("{name}--start"), strict(exercise.start)),
        (format!("{name}--solution"), strict(exercise.solution)),
    ];
    for wrong in exercise.wrong {
        let text = wrong.program(exercise);
        let text = format!("#![allow(warnings)]\n{text}");
        texts.push((format!("{name}--{}", wrong.name), text));
    }
    texts
}
