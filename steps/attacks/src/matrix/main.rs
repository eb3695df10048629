#![forbid(unsafe_code)]
//! `attack-matrix`: tries every attack in every step, looks from outside
//! whether it worked, and says where that is not what is expected.

mod by_hand;
mod cells;
mod doors;
mod files;
mod handed_over;
mod ipc;
mod keys;
mod layers;
mod limits;
mod machine;
mod mounts;
mod network;
mod places;
mod powers;
mod print;
mod processes;
mod proofs;
mod row;
mod users;

use std::panic;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use clap::builder::RangedI64ValueParser;
use testbed::Moving;

use cells::columns;
use places::STEPS;
use proofs::PROOFS;
use row::Row;

const ABOUT: &str = "Tries every attack in every step, and without a container.

Looks from outside whether it worked. Exit status: 0 every cell is as \
expected, or can't be measured here; 1 one differs; 3 none could be measured; \
2 the command line is wrong.";

#[derive(Parser)]
#[command(version, about = ABOUT)]
struct Cli {
    /// This step only; 0: without a container
    #[arg(long, value_name = "NN", value_parser = a_step())]
    step: Option<u8>,

    /// Only the first step that stops it and the last below, of those that
    /// can be measured here
    #[arg(long)]
    edge: bool,

    /// Only step 09, told to take a wall away: it has to work again
    #[arg(long, conflicts_with_all = ["step", "edge", "json", "markdown", "expected", "again"])]
    given_back: bool,

    /// This attack only
    #[arg(long, value_name = "NAME", value_parser = known)]
    attack: Option<String>,

    /// Print the matrix as data
    #[arg(long, conflicts_with = "markdown")]
    json: bool,

    /// Print what is expected as a table for a page; nothing is tried
    #[arg(long)]
    markdown: bool,

    /// Print what step 10 lets through again, and which wall holds instead, as a
    /// table for a page; nothing is tried
    #[arg(long, conflicts_with_all = ["step", "edge", "json", "markdown", "expected"])]
    again: bool,

    /// Only what is expected; nothing is tried
    #[arg(long)]
    expected: bool,
}

fn a_step() -> RangedI64ValueParser<u8> {
    RangedI64ValueParser::new().range(0..=STEPS.len() as i64)
}

fn known(name: &str) -> Result<String, String> {
    match PROOFS.iter().any(|proof| proof.attack == name) {
        true => Ok(name.into()),
        false => Err("there is no such attack: see `attack list`".into()),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    panic::set_hook(Box::new(|_| {}));
    let only_expected = cli.expected || cli.markdown;
    let screen = print::Screen::new();
    let tells = !cli.json && !cli.markdown;
    let steps: Vec<usize> = columns()
        .filter(|step| cli.step.is_none_or(|only| usize::from(only) == *step))
        .collect();
    let chosen = PROOFS.iter().filter(|proof| {
        cli.attack.as_ref().is_none_or(|only| only == proof.attack)
    });
    if cli.again {
        print!("{}", print::again(chosen));
        return ExitCode::SUCCESS;
    }
    if cli.given_back {
        return screen.given_back(chosen);
    }
    if tells {
        screen.head(&steps);
    }
    let mut rows = Vec::new();
    for proof in chosen {
        let begin = Instant::now();
        let moving = Moving::begin(move || {
            format!("{:19}{:>5} s", proof.attack, begin.elapsed().as_secs())
        });
        let row = match only_expected {
            true => Row::expected(proof, &steps),
            false if cli.edge => Row::edge(proof, &steps),
            false => Row::measured(proof, &steps),
        };
        drop(moving);
        if tells {
            screen.row(&row);
        }
        rows.push(row);
    }
    match (cli.markdown, cli.json) {
        (true, _) => print!("{}", print::markdown(&rows)),
        (_, true) => print!("{}", print::json(&rows)),
        _ => screen.foot(&rows),
    }
    let differs = rows.iter().any(|row| row.differing().next().is_some());
    let measured = rows.iter().any(Row::is_measured);
    ExitCode::from(match (differs, measured) {
        (true, _) => 1,
        (false, true) => 0,
        (false, false) => 3,
    })
}
