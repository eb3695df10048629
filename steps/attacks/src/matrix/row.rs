//! A row of the matrix: how its cells come to be.

use std::thread;

use crate::cells::{Cell, expected, measured};
use crate::proofs::Proof;

/// One attack, and its cells in the columns that were asked for.
pub struct Row {
    /// How it is proven.
    pub proof: &'static Proof,
    /// By the number of the step; 0: no container.
    pub cells: Vec<(usize, Cell)>,
}

impl Row {
    pub fn expected(proof: &'static Proof, steps: &[usize]) -> Row {
        let cell = |step: &usize| (*step, expected(proof, *step));
        Row { proof, cells: steps.iter().map(cell).collect() }
    }

    /// All columns at once: most of the time is spent waiting for what does not
    /// happen.
    pub fn measured(proof: &'static Proof, steps: &[usize]) -> Row {
        let measure = |step: &usize| (*step, measured(proof, *step));
        if proof.changes_the_host {
            return Row { proof, cells: steps.iter().map(measure).collect() };
        }
        let cells = thread::scope(|scope| {
            let threads: Vec<_> = steps
                .iter()
                .map(|step| scope.spawn(move || measure(step)))
                .collect();
            let cells = threads.into_iter().map(|thread| thread.join());
            cells.map(|cell| cell.expect("a cell never panics")).collect()
        });
        Row { proof, cells }
    }

    /// Where what stops it begins: the nearest cell on each side that can be
    /// measured here.
    pub fn edge(proof: &'static Proof, steps: &[usize]) -> Row {
        let stops = |step: &usize| {
            let cell = expected(proof, *step);
            matches!(cell, Cell::Stopped | Cell::StoppedWith(_))
        };
        let wall = steps.iter().position(stops).unwrap_or(steps.len());
        let mut cells: Vec<_> =
            steps.iter().map(|step| (*step, Cell::Untried)).collect();
        let (below, from_there) = cells.split_at_mut(wall);
        let sides: [&mut dyn Iterator<Item = &mut (usize, Cell)>; 2] =
            [&mut below.iter_mut().rev(), &mut from_there.iter_mut()];
        for side in sides {
            for (step, cell) in side {
                *cell = measured(proof, *step);
                if cell.is_measured() {
                    break;
                }
            }
        }
        Row { proof, cells }
    }

    /// Cells that are not what they should be.
    pub fn differing(&self) -> impl Iterator<Item = (usize, &Cell, Cell)> {
        self.cells.iter().filter_map(|(step, cell)| {
            let expected = expected(self.proof, *step);
            let fine = *cell == expected
                || matches!(cell, Cell::Impossible(_) | Cell::Untried);
            (!fine).then_some((*step, cell, expected))
        })
    }

    pub fn is_measured(&self) -> bool {
        self.cells.iter().any(|(_, cell)| cell.is_measured())
    }
}
