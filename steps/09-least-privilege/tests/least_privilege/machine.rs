//! Programs of a few instructions: they make a system call of any number, as no
//! C library would, and say what the kernel answered.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use testbed::skip;

/// A system call: its number, and its first three arguments.
pub type Call = (u32, [u64; 3]);

/// Writes a program that makes these calls one after the other, and prints what
/// the kernel answers to each, in eight bytes: an errno is negative.
pub fn caller(place: &Path, calls: &[Call]) {
    let mut code = vec![];
    // A page on the stack; rbx says where the next answer goes.
    code.extend([0x48, 0x81, 0xec, 0x00, 0x10, 0x00, 0x00]); // sub rsp, 4096
    code.extend([0x48, 0x89, 0xe3]); // mov rbx, rsp
    for (number, [first, second, third]) in calls {
        code.extend([0x48, 0xbf]); // mov rdi, …
        code.extend(first.to_le_bytes());
        code.extend([0x48, 0xbe]); // mov rsi, …
        code.extend(second.to_le_bytes());
        code.extend([0x48, 0xba]); // mov rdx, …
        code.extend(third.to_le_bytes());
        code.extend([0x4d, 0x31, 0xd2]); // xor r10, r10
        code.extend([0x4d, 0x31, 0xc0]); // xor r8, r8
        code.extend([0x4d, 0x31, 0xc9]); // xor r9, r9
        code.push(0xb8); // mov eax, …
        code.extend(number.to_le_bytes());
        code.extend([0x0f, 0x05]); // syscall
        code.extend([0x48, 0x89, 0x03]); // mov [rbx], rax
        code.extend([0x48, 0x83, 0xc3, 8]); // add rbx, 8
    }
    code.extend([0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0]); // write(1, …
    code.extend([0x48, 0x89, 0xe6, 0xba]); // rsp, …
    code.extend((8 * calls.len() as u32).to_le_bytes());
    code.extend([0x0f, 0x05, 0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]); // exit(0)
    program(place, &code);
}

/// Writes a program that ends with status 7, by the way in of 32-bit programs.
pub fn of_32_bits(place: &Path) {
    // mov eax, 1 (exit there); mov ebx, 7; int 0x80
    program(place, &[0xb8, 1, 0, 0, 0, 0xbb, 7, 0, 0, 0, 0xcd, 0x80]);
}

/// The smallest ELF file that the kernel starts: a header, and what to load.
fn program(place: &Path, code: &[u8]) {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    if !cfg!(target_arch = "x86_64") {
        skip("its machine code is for x86-64");
    }
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for number in [BASE + HEADERS, 64, 0] {
        elf.extend(number.to_le_bytes());
    }
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    let length = HEADERS + code.len() as u64;
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for number in [0, BASE, BASE, length, length, 4096] {
        elf.extend(number.to_le_bytes());
    }
    elf.extend(code);
    fs::write(place, elf).expect("write a program");
    fs::set_permissions(place, fs::Permissions::from_mode(0o755))
        .expect("chmod");
}
