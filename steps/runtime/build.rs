//! How the steps are linked.

use std::env;

/// A Rust program finds its way up the stack with a few functions of GCC's. To
/// look for their shared library, libgcc_s, costs a tenth of a millisecond at
/// each start, an eighth of what a program takes that does nothing. A release
/// build carries them along: the linker takes them from libgcc_eh, which is part
/// of every GCC, and needs the other one no more.
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|it| it == "gnu") {
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}
