#![forbid(unsafe_code)]
//! Exercises that the kernel marks.
//!
//! ```text
//!   cargo exercise                    in a playground, as PID 1 of its own
//!                                     namespaces
//!   mine:     the learner's copies
//!   program:  compiles one        ──▶ judge:  makes facts at random, starts
//!   check:    starts a playground             the program, looks from outside,
//!             and reads the verdict ◀──       cleans up, gives a verdict
//!   screen:   shows it
//! ```
//!
//! An exercise is a directory: `task.md`, `start.rs`, `solution.rs`, and
//! `check.rs`, which looks. [`ALL`] lists them.

mod all;
pub mod check;
mod exercise;
pub mod judge;
pub mod mine;
mod need;
mod package;
pub mod program;
pub mod screen;
pub mod watch;

pub use all::{ALL, find};
pub use exercise::{Exercise, Level, Wrong};
pub use need::Need;
