//! second-door NUMBER COMMAND ARG...
//!
//! Becomes COMMAND, which can't make the system call NUMBER.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;
use nix::libc::*;
use runtime::process::{Instruction, filter_system_calls};
use rustix::thread::set_no_new_privs;

/// Where things are in what the kernel shows.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// AUDIT_ARCH_X86_64 or AUDIT_ARCH_AARCH64, in linux/audit.h.
const OURS: u32 =
    if cfg!(target_arch = "x86_64") { 0xC000_003E } else { 0xC000_00B7 };
/// Numbers from here on are those of x32: programs of 64 bits with short
/// addresses, and other numbers for the same calls.
const X32: u32 = 0x4000_0000;
const REFUSED: u32 = SECCOMP_RET_ERRNO | EPERM as u32;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let number = args.next().context("NUMBER is missing")?.parse()?;
    let command = args.next().context("COMMAND is missing")?;
    let filter = [
        load(ARCHITECTURE),
        jump_if(BPF_JEQ, OURS, 1, 0),
        answer(SECCOMP_RET_KILL_PROCESS),
        load(NUMBER),
        jump_if(BPF_JGE, X32, 0, 1),
        answer(REFUSED),
        jump_if(BPF_JEQ, number, 0, 1),
        answer(REFUSED),
        answer(SECCOMP_RET_ALLOW),
    ];
    set_no_new_privs(true).context("no_new_privs")?;
    filter_system_calls(&filter).context("seccomp")?;

    // Returns only when the command can't be executed.
    Err(Command::new(command).args(args).exec().into())
}

/// Loads four bytes of what the kernel shows.
fn load(at: u32) -> Instruction {
    instruction(BPF_LD | BPF_W | BPF_ABS, at, 0, 0)
}

/// Leaves out so many instructions where the comparison holds, so many where
/// it fails.
fn jump_if(comparison: u32, value: u32, holds: u8, fails: u8) -> Instruction {
    instruction(BPF_JMP | comparison | BPF_K, value, holds, fails)
}

/// The end: what becomes of the call.
fn answer(action: u32) -> Instruction {
    instruction(BPF_RET | BPF_K, action, 0, 0)
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code: code as u16, jt, jf, k }
}
