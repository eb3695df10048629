//! Makes a directory of programs a package that cargo compiles offline.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A package that holds programs, one file each.
const MANIFEST: &str = include_str!("../mine.toml");

/// Stands in it for the directory of the crate `runtime`.
const RUNTIME: &str = "\"CHECKOUT/steps/runtime\"";

/// The versions of the workspace: what it has is there offline.
const LOCK: &str = include_str!("../../Cargo.lock");

/// Makes `directory` a package of these programs: names and files. They may use
/// this checkout's `runtime`.
///
/// # Errors
/// When it can't be written.
pub fn write_package(
    checkout: &Path,
    directory: &Path,
    programs: impl Iterator<Item = (String, PathBuf)>,
) -> Result<()> {
    let runtime = format!("{:?}", checkout.join("steps/runtime"));
    let mut manifest = MANIFEST.replace(RUNTIME, &runtime);
    for (name, file) in programs {
        write!(manifest, "\n[[bin]]\nname = {name:?}\npath = {file:?}\n")?;
    }
    let file = directory.join("Cargo.toml");
    if fs::read_to_string(&file).unwrap_or_default() != manifest {
        fs::write(&file, manifest)
            .with_context(|| format!("write {}", file.display()))?;
        fs::write(directory.join("Cargo.lock"), LOCK)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise cargo compiles them a second time, for a minute.
    #[test]
    fn its_crates_are_those_of_the_workshop() {
        const WORKSHOP: &str = include_str!("../../Cargo.toml");
        for begin in
            ["anyhow = ", "nix = ", "rustix = ", "syscalls = ", "debug = "]
        {
            let of = |manifest: &str| {
                let begin = manifest.find(&format!("\n{begin}")).expect(begin);
                let text = manifest[begin + 1..].to_owned();
                let lines = text.lines().scan(false, |ended, line| {
                    let more = !*ended;
                    *ended = line.ends_with(['}', '"']);
                    more.then_some(line)
                });
                lines.collect::<Vec<_>>().join("\n")
            };
            assert_eq!(of(MANIFEST), of(WORKSHOP));
        }
    }
}
