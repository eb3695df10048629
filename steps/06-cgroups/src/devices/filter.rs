//! The rules for devices as a program for the kernel's own small machine.
//!
//! It finds what is wanted in three words (`struct bpf_cgroup_dev_ctx` in
//! linux/bpf.h): kind and access, major, minor. Its answer is 1 for "open it",
//! or 0 for EPERM. The first rule about a device decides.

/// As `BPF_DEVCG_ACC_…` and `BPF_DEVCG_DEV_…` have them.
const MKNOD: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;
const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;

/// What the registers hold: the answer, the three words until they are read and
/// then what is too much, the kind, the access, and the device's numbers.
const ANSWER: u8 = 0;
const WORDS: u8 = 1;
const TOO_MUCH: u8 = WORDS;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// `struct bpf_insn`, as it lies in memory.
fn instruction(code: u8, to: u8, from: u8, offset: i16, value: i32) -> u64 {
    let registers = to | from << 4;
    let [low, high] = offset.to_le_bytes();
    let [a, b, c, d] = value.to_le_bytes();
    u64::from_le_bytes([code, registers, low, high, a, b, c, d])
}

/// to = the word at this offset
fn load(to: u8, offset: i16) -> u64 {
    instruction(0x61, to, WORDS, offset, 0)
}

fn copy(to: u8, from: u8) -> u64 {
    instruction(0xbc, to, from, 0, 0)
}

fn set(to: u8, value: i32) -> u64 {
    instruction(0xb7, to, 0, 0, value)
}

fn and(to: u8, value: i32) -> u64 {
    instruction(0x54, to, 0, 0, value)
}

fn shift_right(to: u8, bits: i32) -> u64 {
    instruction(0x74, to, 0, 0, bits)
}

/// Jumps over so many if it is something else.
fn unless(register: u8, value: i32, over: usize) -> u64 {
    instruction(0x55, register, 0, over as i16, value)
}

fn exit() -> u64 {
    instruction(0x95, 0, 0, 0, 0)
}

/// A program for such rules: `c 10:229` or `c 136:*`, and of `rwm` what is
/// allowed.
pub fn program(rules: &[(&str, &str)]) -> Vec<u64> {
    let mut program = vec![
        load(KIND, 0),
        copy(ACCESS, KIND),
        and(KIND, 0xffff),
        shift_right(ACCESS, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
        // To make a node gives nobody the device.
        unless(ACCESS, MKNOD, 2),
        set(ANSWER, 1),
        exit(),
    ];
    for (device, access) in rules {
        program.extend(rule(device, access));
    }
    program.extend([set(ANSWER, 0), exit()]);
    program
}

fn rule(device: &str, access: &str) -> Vec<u64> {
    let (kind, numbers) = device.split_at(1);
    let kind = if kind == "b" { BLOCK } else { CHARACTER };
    let (major, minor) = numbers.trim().split_once(':').unwrap_or_default();
    let is = |register, number: &str| Some((register, number.parse().ok()?));
    let tests = [Some((KIND, kind)), is(MAJOR, major), is(MINOR, minor)];
    let allowed = [('r', READ), ('w', WRITE), ('m', MKNOD)];
    let allowed = allowed.iter().filter(|(letter, _)| access.contains(*letter));
    let allowed = allowed.fold(0, |all, (_, bit)| all | bit);
    let decide = [
        copy(TOO_MUCH, ACCESS),
        and(TOO_MUCH, !allowed),
        set(ANSWER, 0),
        unless(TOO_MUCH, 0, 1),
        set(ANSWER, 1),
        exit(),
    ];
    let tests: Vec<_> = tests.into_iter().flatten().collect();
    let left = |at: usize| tests.len() - at - 1 + decide.len();
    let tested = tests.iter().enumerate();
    let tested = tested.map(|(at, (what, is))| unless(*what, *is, left(at)));
    tested.chain(decide).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel's machine answers.
    fn answer(
        program: &[u64],
        kind: i32,
        access: i32,
        device: [i32; 2],
    ) -> i32 {
        let words = [kind | access << 16, device[0], device[1]];
        let mut registers = [0; 6];
        let mut at = 0;
        loop {
            let [code, pair, low, high, value @ ..] = program[at].to_le_bytes();
            let (to, from) = (usize::from(pair & 15), usize::from(pair >> 4));
            let offset = i16::from_le_bytes([low, high]) as usize;
            let value = i32::from_le_bytes(value);
            at += 1;
            match code {
                0x61 => registers[to] = words[offset / 4],
                0xbc => registers[to] = registers[from],
                0xb7 => registers[to] = value,
                0x54 => registers[to] &= value,
                0x74 => registers[to] >>= value,
                0x55 if registers[to] != value => at += offset,
                0x55 => {}
                0x95 => return registers[0],
                code => panic!("{code:#x}"),
            }
        }
    }

    #[test]
    fn the_first_rule_about_a_device_decides() {
        let rules = [("c 1:7", "r"), ("c 1:7", "rwm"), ("c 136:*", "rw")];
        let program = program(&[&rules[..], &[("b 7:0", "rwm")]].concat());
        for (kind, access, device, expected) in [
            (CHARACTER, READ, [1, 7], 1),
            (CHARACTER, WRITE, [1, 7], 0),
            (CHARACTER, READ | WRITE, [1, 7], 0),
            (CHARACTER, READ, [1, 8], 0),
            (BLOCK, READ, [1, 7], 0),
            (CHARACTER, READ | WRITE, [136, 3], 1),
            (CHARACTER, READ | WRITE, [137, 3], 0),
            (BLOCK, READ | WRITE, [7, 0], 1),
            (BLOCK, READ, [7, 1], 0),
            (BLOCK, MKNOD, [8, 0], 1),
        ] {
            let answer = answer(&program, kind, access, device);
            assert_eq!(answer, expected, "{kind} {access} {device:?}");
        }
    }
}
