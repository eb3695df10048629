//! A program that makes a few system calls and none besides: no library, no
//! loader. What is observed of it is then about those calls alone.
//!
//! It is an ELF file ([elf(5)](https://man7.org/linux/man-pages/man5/elf.5.html))
//! of a few hundred bytes. It writes each answer of the kernel to stdout, as a
//! number of eight bytes.

use nix::libc;

/// How a program asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// As programs of this architecture do.
    Own,
    /// As programs of 32 bits do, with their numbers: `int 0x80`.
    Bits32,
}

/// An argument.
#[derive(Debug, Clone, Copy)]
pub enum Argument<'a> {
    /// A number. The door of 32 bits has room for its lower half.
    Is(u64),
    /// The address of this text.
    At(&'a str),
}

/// A system call.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// How it is made.
    pub door: Door,
    /// Which one, as that door numbers them.
    pub number: u32,
    /// Its arguments: five at most.
    pub arguments: Vec<Argument<'a>>,
}

impl Call<'_> {
    /// With four zeros for arguments.
    #[must_use]
    pub fn plain(number: u32) -> Self {
        let arguments = vec![Argument::Is(0); 4];
        Call { door: Door::Own, number, arguments }
    }
}

/// Where the file lies in memory, and where the answers do. Addresses that 32
/// bits can hold, and pages that no architecture has larger.
const FILE_AT: u32 = 0x40_0000;
const ANSWERS_AT: u32 = 0x80_0000;
const PAGE: u64 = 0x1_0000;
const HEADERS: u32 = 64 + 2 * 56;

/// The program: it makes these calls and writes their answers. If there are
/// any for a child, it has one make those first, and waits for it: the answer to
/// wait4 then stands before its own.
#[must_use]
pub fn program(calls: &[Call], child: &[Call]) -> Vec<u8> {
    // Texts lie behind the code, whose length does not depend on where.
    let text_at = FILE_AT + HEADERS + code(calls, child, 0).0.len() as u32;
    let (code, texts) = code(calls, child, text_at);
    let body = [code, texts].concat();
    let length = u64::from(HEADERS) + body.len() as u64;
    let (read_execute, read_write) = (5, 6);
    let file = segment(read_execute, FILE_AT, length, length);
    let answers = segment(read_write, ANSWERS_AT, 0, PAGE);
    [header(), file, answers, body].concat()
}

/// A program that another architecture of the same machine was built for, one of
/// 32 bits: it ends with a status by itself, and writes nothing.
#[must_use]
pub fn program_of_32_bits(status: u8) -> Vec<u8> {
    const HEADERS: u32 = 52 + 32;
    let code = cpu::exit_of_32_bits(status);
    let mut bytes = vec![0x7F, b'E', b'L', b'F', 1, 1, 1];
    bytes.resize(16, 0);
    bytes.extend([2, 0]); // ET_EXEC
    bytes.extend(cpu::MACHINE_OF_32_BITS.to_le_bytes());
    let (headers_at, abi_of_arm) = (52, 0x500_0000);
    for word in [1, FILE_AT + HEADERS, headers_at, 0, abi_of_arm] {
        bytes.extend(u32::to_le_bytes(word));
    }
    for half in [52u16, 32, 1, 40, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    let length = HEADERS + code.len() as u32;
    let (load, read_execute) = (1, 5);
    let page = PAGE as u32;
    for word in [load, 0, FILE_AT, FILE_AT, length, length, read_execute, page]
    {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(code);
    bytes
}

/// The code, and the texts that its calls name.
fn code(calls: &[Call], child: &[Call], text_at: u32) -> (Vec<u8>, Vec<u8>) {
    let mut texts = Vec::new();
    let mut all = |calls: &[Call], first: usize| {
        let mut code = Vec::new();
        for (index, call) in (first..).zip(calls) {
            let values = call.arguments.iter().map(|argument| match argument {
                Argument::Is(number) => *number,
                Argument::At(text) => {
                    let at = text_at + texts.len() as u32;
                    texts.extend(text.bytes().chain([0]));
                    at.into()
                }
            });
            let values = values.collect();
            code.extend(cpu::call(call.door, call.number, values));
            code.extend(cpu::store(ANSWERS_AT + 8 * index as u32));
        }
        let bytes = 8 * (first + calls.len()) as u32;
        let stdout = vec![1, ANSWERS_AT.into(), bytes.into()];
        code.extend(own(libc::SYS_write, stdout));
        code.extend(own(libc::SYS_exit_group, vec![0]));
        // For when it is refused even that.
        code.extend(cpu::BREAK);
        code
    };
    if child.is_empty() {
        return (all(calls, 0), texts);
    }
    let (calls, of_child) = (all(calls, 1), all(child, 0));
    let fork = own(libc::SYS_clone, vec![libc::SIGCHLD as u64, 0, 0, 0, 0]);
    let wait = own(libc::SYS_wait4, vec![u32::MAX.into(), 0, 0, 0]);
    let over = cpu::jump_unless_zero(of_child.len() as u32);
    let waited = cpu::store(ANSWERS_AT);
    ([fork, over, of_child, wait, waited, calls].concat(), texts)
}

fn own(number: i64, values: Vec<u64>) -> Vec<u8> {
    cpu::call(Door::Own, number as u32, values)
}

/// The file's header: an executable of 64 bits, which begins at its code.
fn header() -> Vec<u8> {
    let mut bytes = vec![0x7F, b'E', b'L', b'F', 2, 1, 1];
    bytes.resize(16, 0);
    bytes.extend([2, 0]); // ET_EXEC
    bytes.extend(cpu::MACHINE.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(u64::from(FILE_AT + HEADERS).to_le_bytes());
    bytes.extend(64u64.to_le_bytes()); // its segments
    bytes.extend([0; 8 + 4]);
    // The sizes of this and of a segment, two segments, no sections.
    for half in [64u16, 56, 2, 64, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    bytes
}

/// A part of the file, or of nothing, and where it lies in memory.
fn segment(flags: u32, at: u32, in_file: u64, in_memory: u64) -> Vec<u8> {
    let load = 1u32;
    let mut bytes = [load, flags].map(u32::to_le_bytes).concat();
    for value in [0, at.into(), at.into(), in_file, in_memory, PAGE] {
        bytes.extend(u64::to_le_bytes(value));
    }
    bytes
}

/// The answers that such a program has written.
#[must_use]
pub fn answers(stdout: &[u8]) -> Vec<i64> {
    let numbers = stdout.chunks_exact(8);
    let number = |bytes: &[u8]| bytes.try_into().map(i64::from_le_bytes);
    numbers.map(|bytes| number(bytes).expect("eight bytes")).collect()
}

#[cfg(target_arch = "x86_64")]
mod cpu {
    use super::Door;

    pub const MACHINE: u16 = 62;
    /// i386
    pub const MACHINE_OF_32_BITS: u16 = 3;
    /// ud2
    pub const BREAK: [u8; 2] = [0x0F, 0x0B];

    /// mov REGISTER, VALUE …; mov eax, NUMBER; syscall
    pub fn call(door: Door, number: u32, values: Vec<u64>) -> Vec<u8> {
        // rdi, rsi, rdx, r10, r8
        const OWN: [[u8; 2]; 5] = [
            [0x48, 0xBF],
            [0x48, 0xBE],
            [0x48, 0xBA],
            [0x49, 0xBA],
            [0x49, 0xB8],
        ];
        // ebx, ecx, edx, esi, edi
        const BITS_32: [u8; 5] = [0xBB, 0xB9, 0xBA, 0xBE, 0xBF];
        let mut code = Vec::new();
        for (at, value) in values.into_iter().enumerate() {
            match door {
                Door::Own => {
                    code.extend(OWN[at]);
                    code.extend(value.to_le_bytes());
                }
                Door::Bits32 => {
                    code.push(BITS_32[at]);
                    code.extend((value as u32).to_le_bytes());
                }
            }
        }
        code.push(0xB8);
        code.extend(number.to_le_bytes());
        code.extend(match door {
            Door::Own => [0x0F, 0x05],
            Door::Bits32 => [0xCD, 0x80],
        });
        code
    }

    /// mov ebx, STATUS; mov eax, 1; int 0x80
    pub fn exit_of_32_bits(status: u8) -> Vec<u8> {
        call(Door::Bits32, 1, vec![status.into()])
    }

    /// mov [ADDRESS], rax
    pub fn store(address: u32) -> Vec<u8> {
        [&[0x48, 0x89, 0x04, 0x25][..], &address.to_le_bytes()].concat()
    }

    /// test eax, eax; jnz OVER
    pub fn jump_unless_zero(over: u32) -> Vec<u8> {
        [&[0x85, 0xC0, 0x0F, 0x85][..], &over.to_le_bytes()].concat()
    }
}

#[cfg(target_arch = "aarch64")]
mod cpu {
    use super::Door;

    pub const MACHINE: u16 = 183;
    /// arm
    pub const MACHINE_OF_32_BITS: u16 = 40;
    /// udf 0
    pub const BREAK: [u8; 4] = [0; 4];

    /// movz and three times movk xREGISTER, VALUE
    fn set(register: u32, value: u64) -> Vec<u8> {
        let movs = [0xD280_0000, 0xF2A0_0000, 0xF2C0_0000, 0xF2E0_0000];
        let part = |(nth, mov): (u32, u32)| {
            let bits = (value >> (16 * nth)) as u32 & 0xFFFF;
            (mov | bits << 5 | register).to_le_bytes()
        };
        (0..).zip(movs).flat_map(part).collect()
    }

    /// … ; svc 0. There is one door: programs of 32 bits are others.
    pub fn call(_: Door, number: u32, values: Vec<u64>) -> Vec<u8> {
        let mut code: Vec<u8> =
            (0..).zip(values).flat_map(|(at, value)| set(at, value)).collect();
        code.extend(set(8, number.into()));
        code.extend(0xD400_0001u32.to_le_bytes());
        code
    }

    /// mov r0, STATUS; mov r7, 1; svc 0
    pub fn exit_of_32_bits(status: u8) -> Vec<u8> {
        let code = [0xE3A0_0000 | u32::from(status), 0xE3A0_7001, 0xEF00_0000];
        code.map(u32::to_le_bytes).concat()
    }

    /// str x0, [x9]
    pub fn store(address: u32) -> Vec<u8> {
        [set(9, address.into()), 0xF900_0120u32.to_le_bytes().into()].concat()
    }

    /// cbnz x0, OVER
    pub fn jump_unless_zero(over: u32) -> Vec<u8> {
        let words = over / 4 + 1;
        (0xB500_0000 | words << 5).to_le_bytes().into()
    }
}
