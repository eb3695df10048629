#![forbid(unsafe_code)]
//! The attacks.

fn main() {}
