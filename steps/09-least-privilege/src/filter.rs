//! Rules about system calls, and the program for the kernel that they become.
//!
//! The kernel runs it before each system call. It sees what is in the registers:
//! the number of the call, its arguments, and the architecture that the caller
//! was built for ([seccomp(2)](https://man7.org/linux/man-pages/man2/seccomp.2.html)).
//! Of a pointer it sees the address, not what lies there. The language is that
//! of packet filters (classic BPF). It jumps forward only, so it always ends.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use nix::libc;
use runtime::process::Instruction;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is made.
    Allow,
    /// It is made, and the kernel logs it.
    Log,
    /// It is not made, and fails with this errno.
    Errno(u16),
    /// It is not made, and its thread gets SIGSYS.
    Trap,
    /// Its thread ends.
    KillThread,
    /// Its process ends, by SIGSYS.
    KillProcess,
    /// A tracer decides; without one it fails with ENOSYS.
    Trace(u16),
}

/// How an argument is compared with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// It is the value.
    Equal,
    /// It is any other.
    NotEqual,
    /// It is less.
    Less,
    /// It is at most the value.
    LessOrEqual,
    /// It is more.
    Greater,
    /// It is at least the value.
    GreaterOrEqual,
    /// These bits of it are the value.
    Masked(u64),
}

/// A comparison of one argument. Arguments have 64 bits here, even those of
/// which the kernel only looks at 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Which argument, from 0 to 5.
    pub argument: u8,
    /// How it is compared.
    pub test: Test,
    /// With what.
    pub value: u64,
}

/// What becomes of a call when all conditions hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// None: it always applies.
    pub conditions: Vec<Condition>,
    /// What happens then.
    pub action: Action,
}

/// For each call the first rule that applies, and one answer for all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// By the number of the call.
    pub calls: BTreeMap<u32, Vec<Rule>>,
    /// What becomes of a call to which no rule applies.
    pub otherwise: Action,
}

/// On another architecture, the same number means another call. So a program
/// built for 32 bits could call around the filter; it has no business here.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;

/// From here on, numbers are those of x32: it passes for x86-64, and has numbers
/// of its own for the same calls. They fail as on a kernel without x32.
const X32: u32 = 0x4000_0000;
const NO_SUCH_CALL: Action = Action::Errno(libc::ENOSYS as u16);

/// The kernel accepts no longer program (BPF_MAXINSNS).
const LONGEST: usize = 4096;

/// Where things are in `struct seccomp_data`.
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
const ARGUMENTS_AT: u32 = 16;

impl Filter {
    /// What becomes of a call with these arguments. It is what the program does,
    /// without asking the kernel.
    #[must_use]
    pub fn verdict(&self, number: u32, arguments: [u64; 6]) -> Action {
        if number >= X32 {
            return NO_SUCH_CALL;
        }
        let rules = self.calls.get(&number).into_iter().flatten();
        let mut hold = rules.filter(|rule| {
            rule.conditions.iter().all(|it| it.holds(&arguments))
        });
        hold.next().map_or(self.otherwise, |rule| rule.action)
    }

    /// The program.
    ///
    /// # Errors
    /// When it would be longer than the kernel accepts.
    pub fn program(&self) -> Result<Vec<Instruction>> {
        let mut program = vec![
            load(ARCHITECTURE_AT),
            jump(libc::BPF_JEQ, ARCHITECTURE, 1, 0),
            answer(Action::KillProcess),
            load(NUMBER_AT),
            jump(libc::BPF_JGE, X32, 0, 1),
            answer(NO_SUCH_CALL),
        ];
        program.extend(self.search(&self.ranges()));
        ensure!(
            program.len() <= LONGEST,
            "the seccomp profile makes a filter of {} instructions, and the \
             kernel accepts {LONGEST}: use fewer conditions and calls",
            program.len()
        );
        Ok(program)
    }

    /// Calls in a row with the same rules, each row by its first number.
    fn ranges(&self) -> Vec<(u32, &[Rule])> {
        let none: &[Rule] = &[];
        let mut ranges = vec![(0, none)];
        let behind = self.calls.last_key_value().map_or(0, |(it, _)| it + 1);
        for number in 0..=behind {
            let rules = self.calls.get(&number).map_or(none, Vec::as_slice);
            if ranges.last().is_none_or(|(_, same)| *same != rules) {
                ranges.push((number, rules));
            }
        }
        ranges
    }

    /// Finds the range of a call by halves, since the kernel goes this way at
    /// each call: is its number in the lower half, or in the upper one?
    fn search(&self, ranges: &[(u32, &[Rule])]) -> Vec<Instruction> {
        let [(_, rules)] = ranges else {
            let (lower, upper) = ranges.split_at(ranges.len() / 2);
            let from = upper.first().map_or(0, |(first, _)| *first);
            let (lower, upper) = (self.search(lower), self.search(upper));
            let over = lower.len() as u32;
            // Only the second jump can go further than 255 instructions.
            let choice = vec![
                jump(libc::BPF_JGE, from, 0, 1),
                instruction(libc::BPF_JMP | libc::BPF_JA, over),
            ];
            return [choice, lower, upper].concat();
        };
        self.block(rules)
    }

    /// What to do once the call's number is found.
    fn block(&self, rules: &[Rule]) -> Vec<Instruction> {
        let mut block = vec![];
        for Rule { conditions, action } in rules {
            let mut rule = vec![answer(*action)];
            for condition in conditions.iter().rev() {
                rule = condition.before(rule);
            }
            block.extend(rule);
            if conditions.is_empty() {
                return block;
            }
        }
        block.push(answer(self.otherwise));
        block
    }
}

impl Condition {
    fn holds(&self, arguments: &[u64; 6]) -> bool {
        let Condition { argument, test, value } = *self;
        let it = arguments[usize::from(argument)];
        match test {
            Test::Equal => it == value,
            Test::NotEqual => it != value,
            Test::Less => it < value,
            Test::LessOrEqual => it <= value,
            Test::Greater => it > value,
            Test::GreaterOrEqual => it >= value,
            Test::Masked(mask) => it & mask == value,
        }
    }

    /// Runs `then` if it holds, and goes on behind it if not. BPF reads 32 bits at
    /// a time, so an argument is compared in two halves.
    fn before(&self, then: Vec<Instruction>) -> Vec<Instruction> {
        use libc::{BPF_JEQ, BPF_JGE, BPF_JGT};
        let lower = ARGUMENTS_AT + 8 * u32::from(self.argument);
        let upper = lower + 4;
        let (low, high) = halves(self.value);
        let on = then.len() as u8;
        let mut code = match self.test {
            Test::Masked(mask) => {
                let (low_mask, high_mask) = halves(mask);
                vec![
                    load(upper),
                    and(high_mask),
                    jump(BPF_JEQ, high, 0, on + 3),
                    load(lower),
                    and(low_mask),
                    jump(BPF_JEQ, low, 0, on),
                ]
            }
            Test::Equal => vec![
                load(upper),
                jump(BPF_JEQ, high, 0, on + 2),
                load(lower),
                jump(BPF_JEQ, low, 0, on),
            ],
            Test::NotEqual => vec![
                load(upper),
                jump(BPF_JEQ, high, 0, 2),
                load(lower),
                jump(BPF_JEQ, low, on, 0),
            ],
            Test::Greater | Test::GreaterOrEqual => vec![
                load(upper),
                jump(BPF_JGT, high, 3, 0),
                jump(BPF_JEQ, high, 0, on + 2),
                load(lower),
                jump(
                    if self.test == Test::Greater { BPF_JGT } else { BPF_JGE },
                    low,
                    0,
                    on,
                ),
            ],
            Test::Less | Test::LessOrEqual => vec![
                load(upper),
                jump(BPF_JGT, high, on + 3, 0),
                jump(BPF_JEQ, high, 0, 2),
                load(lower),
                jump(
                    if self.test == Test::Less { BPF_JGE } else { BPF_JGT },
                    low,
                    on,
                    0,
                ),
            ],
        };
        code.extend(then);
        code
    }
}

impl Action {
    /// The kernel's number for it (`SECCOMP_RET_*`).
    fn number(self) -> u32 {
        match self {
            Action::Allow => libc::SECCOMP_RET_ALLOW,
            Action::Log => libc::SECCOMP_RET_LOG,
            Action::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
            Action::Trap => libc::SECCOMP_RET_TRAP,
            Action::KillThread => libc::SECCOMP_RET_KILL_THREAD,
            Action::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
            Action::Trace(data) => libc::SECCOMP_RET_TRACE | u32::from(data),
        }
    }
}

fn halves(value: u64) -> (u32, u32) {
    (value as u32, (value >> 32) as u32)
}

fn instruction(code: u32, k: u32) -> Instruction {
    Instruction { code: code as u16, jt: 0, jf: 0, k }
}

fn load(at: u32) -> Instruction {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at)
}

fn and(mask: u32) -> Instruction {
    instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, mask)
}

fn answer(action: Action) -> Instruction {
    instruction(libc::BPF_RET | libc::BPF_K, action.number())
}

/// Skips so many instructions if the comparison holds, and so many if not.
fn jump(test: u32, value: u32, holds: u8, fails: u8) -> Instruction {
    let code = (libc::BPF_JMP | test | libc::BPF_K) as u16;
    Instruction { code, jt: holds, jf: fails, k: value }
}

#[cfg(test)]
mod tests;
