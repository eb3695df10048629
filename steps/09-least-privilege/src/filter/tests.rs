//! The program is asked as the kernel asks it, and has to say what the rules do.

use proptest::prelude::*;

use super::*;

/// A processor for these programs: the part of BPF that we use.
fn ask(program: &[Instruction], data: [u32; 16]) -> u32 {
    let (mut at, mut register) = (0, 0);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let code = u32::from(code);
        let jump = |holds| usize::from(if holds { jt } else { jf });
        match (code & 0x07, code & 0xf0) {
            (libc::BPF_LD, _) => register = data[k as usize / 4],
            (libc::BPF_ALU, libc::BPF_AND) => register &= k,
            (libc::BPF_RET, _) => return k,
            (libc::BPF_JMP, libc::BPF_JA) => at += k as usize,
            (libc::BPF_JMP, libc::BPF_JEQ) => at += jump(register == k),
            (libc::BPF_JMP, libc::BPF_JGE) => at += jump(register >= k),
            (libc::BPF_JMP, libc::BPF_JGT) => at += jump(register > k),
            other => panic!("{other:?}"),
        }
    }
}

/// `struct seccomp_data`, four bytes at a time.
fn data(architecture: u32, number: u32, arguments: [u64; 6]) -> [u32; 16] {
    let mut data = [0; 16];
    (data[0], data[1]) = (number, architecture);
    for (nth, argument) in arguments.into_iter().enumerate() {
        let (low, high) = halves(argument);
        (data[4 + 2 * nth], data[5 + 2 * nth]) = (low, high);
    }
    data
}

/// Values that meet: few, and around the border between the two halves.
fn value() -> impl Strategy<Value = u64> {
    let border = 1 << 32;
    let near = (0..6_u64, prop::sample::select(vec![0, border, border << 1]));
    near.prop_map(|(more, from)| (from + more).wrapping_sub(3))
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Allow),
        Just(Action::Log),
        (0..4096_u16).prop_map(Action::Errno),
        Just(Action::Trap),
        Just(Action::KillThread),
        Just(Action::KillProcess),
        any::<u16>().prop_map(Action::Trace),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    let test = prop_oneof![
        Just(Test::Equal),
        Just(Test::NotEqual),
        Just(Test::Less),
        Just(Test::LessOrEqual),
        Just(Test::Greater),
        Just(Test::GreaterOrEqual),
        value().prop_map(Test::Masked),
    ];
    (0..6_u8, test, value()).prop_map(|(argument, test, value)| Condition {
        argument,
        test,
        value,
    })
}

fn filter() -> impl Strategy<Value = Filter> {
    let conditions = prop::collection::vec(condition(), 0..4);
    let rule = (conditions, action())
        .prop_map(|(conditions, action)| Rule { conditions, action });
    let rules = prop::collection::vec(rule, 0..4);
    let calls = prop::collection::btree_map(0..12_u32, rules, 0..12);
    (calls, action()).prop_map(|(calls, otherwise)| Filter { calls, otherwise })
}

proptest! {
    #[test]
    fn the_program_says_what_the_rules_say(
        filter in filter(),
        number in 0..14_u32,
        arguments in prop::array::uniform6(value()),
    ) {
        let program = filter.program().expect("it is short");
        let told = ask(&program, data(ARCHITECTURE, number, arguments));
        prop_assert_eq!(told, filter.verdict(number, arguments).number());
    }

    #[test]
    fn no_other_numbers_lead_around_it(
        filter in filter(),
        number in 0..14_u32,
        architecture in any::<u32>(),
    ) {
        let program = filter.program().expect("it is short");
        let told = |architecture, number| {
            ask(&program, data(architecture, number, [0; 6]))
        };
        prop_assert_eq!(told(ARCHITECTURE, number | X32), NO_SUCH_CALL.number());
        prop_assume!(architecture != ARCHITECTURE);
        prop_assert_eq!(told(architecture, number), Action::KillProcess.number());
    }
}

#[test]
fn a_program_that_is_too_long_is_told() {
    let rules = (0..2000).map(|value| Rule {
        conditions: vec![Condition { argument: 0, test: Test::Equal, value }],
        action: Action::Allow,
    });
    let calls = BTreeMap::from([(1, rules.collect())]);
    let error = Filter { calls, otherwise: Action::KillProcess }.program();
    assert!(error.expect_err("it is").to_string().contains("4096"));
}
