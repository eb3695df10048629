#![forbid(unsafe_code)]
//! Makes a cast (asciicast v2) of what a demo prints with `--record`, and says
//! whether two casts show the same. Makes a picture of a cast.

mod cast;
mod picture;
mod same;

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use crate::cast::Cast;
use crate::picture::Picture;

/// Recordings of the demos.
#[derive(Parser)]
enum Cli {
    /// From what `DEMO --record` prints (stdin) to a cast (stdout).
    Make,
    /// Do two casts show the same, but for pids, inodes, times and the like?
    /// If not: the lines that differ, and exit status 1.
    Compare { old: PathBuf, new: PathBuf },
    /// The kind of cgroups of the host where a cast was recorded.
    Cgroup { cast: PathBuf },
    /// An SVG picture that plays scenes of a cast.
    Picture {
        cast: PathBuf,
        /// The scenes' titles.
        #[arg(required = true)]
        scenes: Vec<String>,
    },
    /// All that a cast shows, as text, normalised as for a comparison.
    Text { cast: PathBuf },
}

fn main() -> Result<ExitCode> {
    match Cli::parse() {
        Cli::Make => {
            let mut printed = String::new();
            io::stdin().read_to_string(&mut printed).context("read stdin")?;
            let cast = Cast::of_demo(&printed)?;
            io::stdout().write_all(cast.to_string().as_bytes())?;
        }
        Cli::Compare { old, new } => {
            let differences = same::differences(&read(&old)?, &read(&new)?)?;
            print!("{differences}");
            if !differences.is_empty() {
                return Ok(ExitCode::FAILURE);
            }
        }
        Cli::Cgroup { cast } => println!("{}", read(&cast)?.cgroup),
        Cli::Picture { cast, scenes } => {
            print!("{}", Picture::of(&read(&cast)?, &scenes)?);
        }
        Cli::Text { cast } => {
            for (line, _) in same::normalised(&read(&cast)?)? {
                println!("{line}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<Cast> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("read {}", path.display()))?;
    text.parse().with_context(|| format!("{}: no cast", path.display()))
}
