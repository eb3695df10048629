//! The cells of the matrix: what is expected there, and what was measured.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::places::{Impossible, Place, STEPS};
use crate::proofs::Proof;

/// What became of an attack at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    Works,
    Stopped,
    /// It works, and is stopped with this option.
    StoppedWith(&'static str),
    /// There is nothing to attack.
    Nothing(&'static str),
    /// Nobody asked.
    Untried,
    /// It can't be measured on this machine.
    Impossible(String),
    /// The proof failed, or the attack says something else than the host saw.
    Broken(String),
}

impl Cell {
    /// For data.
    pub fn word(&self) -> String {
        match self {
            Cell::Works => "works".into(),
            Cell::Stopped => "stopped".into(),
            Cell::StoppedWith(option) => format!("stopped with {option}"),
            Cell::Nothing(_) => "nothing to attack".into(),
            Cell::Untried => "not tried".into(),
            Cell::Impossible(_) => "not possible here".into(),
            Cell::Broken(_) => "broken".into(),
        }
    }

    /// Whether something was tried, and seen.
    pub fn is_measured(&self) -> bool {
        !matches!(self, Cell::Impossible(_) | Cell::Nothing(_) | Cell::Untried)
    }

    /// Why it is neither works nor stopped.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Cell::Nothing(reason) => Some(reason),
            Cell::Impossible(reason) | Cell::Broken(reason) => Some(reason),
            _ => None,
        }
    }
}

/// The columns: no container, then the steps.
pub fn columns() -> impl Iterator<Item = usize> {
    0..=STEPS.len()
}

pub fn column_name(step: usize) -> String {
    match step {
        0 => "none".into(),
        step => format!("{step:02}"),
    }
}

/// What the attack's own data says.
pub fn expected(proof: &Proof, step: usize) -> Cell {
    let place = Place::at(step);
    match (proof.nothing_at(step), proof.option_at(step)) {
        (Some(lacks), _) => Cell::Nothing(lacks),
        (None, Some(option)) => Cell::StoppedWith(option),
        (None, None) if proof.works_at(place) => Cell::Works,
        (None, None) => Cell::Stopped,
    }
}

/// What happens.
pub fn measured(proof: &Proof, step: usize) -> Cell {
    if let Some(lacks) = proof.nothing_at(step) {
        return Cell::Nothing(lacks);
    }
    let without = try_at(proof, Place::at(step));
    let Some(option) = proof.option_at(step) else {
        return without;
    };
    let with = try_at(proof, Place { with_option: true, ..Place::at(step) });
    match (without, with) {
        (Cell::Works, Cell::Stopped) => Cell::StoppedWith(option),
        (Cell::Works, Cell::Works) => {
            Cell::Broken(format!("it works with {option}, too"))
        }
        (Cell::Works, other) | (other, _) => other,
    }
}

/// The same in step 09 where a wall is taken away again: it has to work there. What does not
/// was stopped by something else than is said.
pub fn given_back(proof: &Proof) -> Option<Cell> {
    let given_back = proof.given_back?;
    Some(try_at(proof, Place { given_back, ..Place::at(9) }))
}

fn try_at(proof: &Proof, place: Place) -> Cell {
    match catch_unwind(AssertUnwindSafe(|| proof.run(place))) {
        Ok(Ok(true)) => Cell::Works,
        Ok(Ok(false)) => Cell::Stopped,
        Ok(Err(Impossible(reason))) => Cell::Impossible(reason),
        Err(panic) => Cell::Broken(message(&*panic)),
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("the proof failed").to_owned()
}
