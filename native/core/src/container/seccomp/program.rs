//! The assembler. It builds a tree of comparisons from intervals of system call numbers; each leaf is a return or a chain of tests of
//! arguments.
//!
//! ```text
//! load arch ── x86-64 ──▶ load number ── below 2^30 ─▶ tree of x86-64
//!          │                           └─ else ──────▶ tree of x32, or kill
//!          ├── i386 ────▶ load number ───────────────▶ tree of i386
//!          └── else ────▶ kill
//! ```
//! Code is assembled from its leaves upwards. A jump's distance is the length of the code that it skips, so there are no labels to resolve.

use super::syscalls::{Architecture, X32_BIT, number};
use crate::failure::{Code, Failure, Result};

/// struct sock_filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    pub yes: u8,
    pub no: u8,
    pub value: u32,
}

impl Instruction {
    pub fn bytes(&self) -> [u8; 8] {
        let (code, value) = (self.code.to_ne_bytes(), self.value.to_ne_bytes());
        [code[0], code[1], self.yes, self.no, value[0], value[1], value[2], value[3]]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    pub argument: u32,
    pub comparison: Comparison,
    pub mask: u64,
    pub value: u64,
}

/// An action for system calls that meet all tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub action: u32,
    pub tests: Vec<Test>,
}

pub const LOAD: u16 = 0x20;
pub const AND: u16 = 0x54;
pub const JUMP: u16 = 0x05;
pub const JUMP_EQUAL: u16 = 0x15;
pub const JUMP_GREATER: u16 = 0x25;
pub const JUMP_AT_LEAST: u16 = 0x35;
pub const RETURN: u16 = 0x06;

/// Offsets in struct seccomp_data.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

const LONGEST: usize = 4096;
/// Arm has a few private calls far above all other numbers.
const ARM_PRIVATE: u32 = 0xf_0000;

/// Rules are tried in order. The first one whose tests hold gives the answer; if none does, `fallback`.
pub fn assemble(architectures: &[Architecture], rules: &[(&[String], Rule)], fallback: u32) -> Result<Vec<Instruction>> {
    let mut tokens: Vec<u32> = Vec::new();
    for architecture in architectures {
        if !tokens.contains(&architecture.token()) {
            tokens.push(architecture.token());
        }
    }
    let mut program = vec![Instruction {
        code: LOAD,
        yes: 0,
        no: 0,
        value: ARCHITECTURE,
    }];
    for token in tokens {
        let of_token: Vec<Architecture> = architectures
            .iter()
            .copied()
            .filter(|architecture| architecture.token() == token)
            .collect();
        let mut section = vec![Instruction {
            code: LOAD,
            yes: 0,
            no: 0,
            value: NUMBER,
        }];
        section.extend(numbers(&of_token, rules, fallback));
        if section.len() <= 255 {
            program.push(Instruction {
                code: JUMP_EQUAL,
                yes: 0,
                no: section.len() as u8,
                value: token,
            });
        } else {
            program.push(Instruction {
                code: JUMP_EQUAL,
                yes: 1,
                no: 0,
                value: token,
            });
            program.push(Instruction {
                code: JUMP,
                yes: 0,
                no: 0,
                value: section.len() as u32,
            });
        }
        program.extend(section);
    }
    program.push(answer(libc::SECCOMP_RET_KILL_PROCESS));
    if program.len() > LONGEST {
        return Err(Failure::new(
            Code::InvalidArgument,
            format!("the seccomp profile needs {} instructions; Linux takes {LONGEST}", program.len()),
        ));
    }
    Ok(program)
}

/// An interval of numbers, from `first` up to the first number of the next interval.
struct Interval {
    first: u32,
    code: Vec<Instruction>,
}

fn numbers(architectures: &[Architecture], rules: &[(&[String], Rule)], fallback: u32) -> Vec<Instruction> {
    let mut intervals: Vec<Interval> = Vec::new();
    let mut push = |first: u32, code: Vec<Instruction>| {
        if intervals.last().is_none_or(|last| last.code != code) {
            intervals.push(Interval { first, code });
        }
    };
    let plain = vec![answer(fallback)];
    let x86_64 = architectures
        .iter()
        .any(|architecture| matches!(architecture, Architecture::X86_64));
    for architecture in sorted(architectures) {
        let mut known: Vec<(u32, Vec<&Rule>)> = Vec::new();
        for (names, rule) in rules {
            for name in names.iter() {
                let Some(number) = number(name, architecture) else { continue };
                match known.binary_search_by_key(&number, |(number, _)| *number) {
                    Ok(at) => known[at].1.push(rule),
                    Err(at) => known.insert(at, (number, vec![rule])),
                }
            }
        }
        // System calls that are newer than the profile. Programs take ENOSYS for an old kernel and try the older call, but take EPERM for a
        // refusal. This does not apply if the profile allows everything by default.
        let permissive = fallback == libc::SECCOMP_RET_ALLOW || fallback == libc::SECCOMP_RET_LOG;
        let newer = if permissive || known.is_empty() {
            plain.clone()
        } else {
            vec![answer(libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32)]
        };
        let base = architecture.base();
        let mut next = base;
        push(base, plain.clone());
        for (number, rules) in &known {
            if *number > next {
                push(
                    next,
                    if number - base >= ARM_PRIVATE {
                        newer.clone()
                    } else {
                        plain.clone()
                    },
                );
            }
            push(*number, chain(rules, fallback, architecture.is_64_bit()));
            next = number + 1;
        }
        push(next, newer);
    }
    if x86_64 && !architectures.contains(&Architecture::X32) {
        push(X32_BIT, vec![answer(libc::SECCOMP_RET_KILL_PROCESS)]);
    }
    tree(&intervals)
}

/// Sorted by the base of their numbers: x86-64 before x32.
fn sorted(architectures: &[Architecture]) -> Vec<Architecture> {
    let mut sorted: Vec<Architecture> = Vec::new();
    for architecture in architectures {
        if !sorted.contains(architecture) {
            sorted.push(*architecture);
        }
    }
    sorted.sort_by_key(|architecture| architecture.base());
    sorted
}

fn tree(intervals: &[Interval]) -> Vec<Instruction> {
    if let [only] = intervals {
        return only.code.clone();
    }
    let (low, high) = intervals.split_at(intervals.len() / 2);
    let (left, right) = (tree(low), tree(high));
    let Some(first) = high.first().map(|interval| interval.first) else {
        return left;
    };
    let mut code = Vec::with_capacity(left.len() + right.len() + 2);
    if left.len() <= 255 {
        code.push(Instruction {
            code: JUMP_AT_LEAST,
            yes: left.len() as u8,
            no: 0,
            value: first,
        });
    } else {
        code.push(Instruction {
            code: JUMP_AT_LEAST,
            yes: 0,
            no: 1,
            value: first,
        });
        code.push(Instruction {
            code: JUMP,
            yes: 0,
            no: 0,
            value: left.len() as u32,
        });
    }
    code.extend(left);
    code.extend(right);
    code
}

/// The rules of one system call, one after another.
fn chain(rules: &[&Rule], fallback: u32, wide: bool) -> Vec<Instruction> {
    let mut code = vec![];
    for rule in rules {
        if rule.tests.is_empty() {
            code.push(answer(rule.action));
            return code;
        }
        let mut block = vec![answer(rule.action)];
        for test in rule.tests.iter().rev() {
            // A test that fails jumps over the code after it.
            let mut tested = compare(test, wide, block.len());
            tested.extend(block);
            block = tested;
        }
        code.extend(block);
    }
    code.push(answer(fallback));
    code
}

/// Falls through when the test holds, otherwise skips `skip` instructions. Rules have at most six tests of at most eight instructions, so
/// one byte holds every distance.
fn compare(test: &Test, wide: bool, skip: usize) -> Vec<Instruction> {
    use Comparison::*;
    let at = ARGUMENTS + 8 * test.argument;
    let (low, high) = if cfg!(target_endian = "little") {
        (at, at + 4)
    } else {
        (at + 4, at)
    };
    let halves = |number: u64| ((number >> 32) as u32, number as u32);
    let ((mask_high, mask_low), (high_value, low_value)) = (halves(test.mask), halves(test.value));
    let load = |offset: u32, mask: u32| {
        let mut code = vec![Instruction {
            code: LOAD,
            yes: 0,
            no: 0,
            value: offset,
        }];
        if mask != u32::MAX {
            code.push(Instruction {
                code: AND,
                yes: 0,
                no: 0,
                value: mask,
            });
        }
        code
    };
    // With 32-bit registers only the low half matters. For it: the jump operation, and whether the test holds when the jump is taken.
    let (operation, holds) = match test.comparison {
        Equal => (JUMP_EQUAL, true),
        Unequal => (JUMP_EQUAL, false),
        Greater => (JUMP_GREATER, true),
        LessOrEqual => (JUMP_GREATER, false),
        GreaterOrEqual => (JUMP_AT_LEAST, true),
        Less => (JUMP_AT_LEAST, false),
    };
    let (yes, no) = if holds { (0, skip as u8) } else { (skip as u8, 0) };
    let mut tail = load(low, mask_low);
    tail.push(Instruction {
        code: operation,
        yes,
        no,
        value: low_value,
    });
    if !wide {
        return tail;
    }
    let rest = tail.len();
    let (over, fail) = (rest as u8, (rest + skip) as u8);
    let mut code = load(high, mask_high);
    match test.comparison {
        // Different high halves decide equality …
        Equal => code.push(Instruction {
            code: JUMP_EQUAL,
            yes: 0,
            no: fail,
            value: high_value,
        }),
        Unequal => code.push(Instruction {
            code: JUMP_EQUAL,
            yes: 0,
            no: over,
            value: high_value,
        }),
        // … and order: if the high half is greater or smaller, the result is known; if it is equal, the low half decides.
        Greater | GreaterOrEqual => {
            code.push(Instruction {
                code: JUMP_GREATER,
                yes: over + 1,
                no: 0,
                value: high_value,
            });
            code.push(Instruction {
                code: JUMP_EQUAL,
                yes: 0,
                no: fail,
                value: high_value,
            });
        }
        Less | LessOrEqual => {
            code.push(Instruction {
                code: JUMP_GREATER,
                yes: fail + 1,
                no: 0,
                value: high_value,
            });
            code.push(Instruction {
                code: JUMP_EQUAL,
                yes: 0,
                no: over,
                value: high_value,
            });
        }
    }
    code.extend(tail);
    code
}

fn answer(action: u32) -> Instruction {
    Instruction {
        code: RETURN,
        yes: 0,
        no: 0,
        value: action,
    }
}

/// Interprets a program as the kernel does, for the instructions that this assembler uses. None: the program has another instruction, or
/// runs past its end.
pub fn run(program: &[u8], token: u32, number: u32, arguments: [u64; 6]) -> Option<u32> {
    let mut data = [0u32; 16];
    (data[0], data[1]) = (number, token);
    for (at, argument) in arguments.iter().enumerate() {
        (data[4 + 2 * at], data[5 + 2 * at]) = (*argument as u32, (*argument >> 32) as u32);
    }
    let (mut at, mut accumulator) = (0usize, 0u32);
    // All jumps lead forward, so this loop ends.
    loop {
        let one = program.get(at * 8..at * 8 + 8)?;
        let code = u16::from_ne_bytes([one[0], one[1]]);
        let value = u32::from_ne_bytes([one[4], one[5], one[6], one[7]]);
        let jump = |holds: bool| usize::from(if holds { one[2] } else { one[3] });
        at += 1;
        match code {
            LOAD => accumulator = *data.get(value as usize / 4)?,
            AND => accumulator &= value,
            JUMP => at += value as usize,
            JUMP_EQUAL => at += jump(accumulator == value),
            JUMP_GREATER => at += jump(accumulator > value),
            JUMP_AT_LEAST => at += jump(accumulator >= value),
            RETURN => return Some(value),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::seccomp::{Argument, Profile, Syscall, compile_profile};

    struct Call(u32, u32, [u64; 6]);

    fn run(program: &[u8], Call(token, number, arguments): &Call) -> u32 {
        super::run(program, *token, *number, *arguments).expect("a program of ours has an answer")
    }

    fn rule(names: &[&str], action: &str, args: Vec<Argument>) -> Syscall {
        Syscall {
            names: names.iter().map(|name| name.to_string()).collect(),
            action: action.into(),
            errno_ret: None,
            args,
        }
    }

    fn profile(syscalls: Vec<Syscall>) -> Profile {
        Profile {
            default_action: "SCMP_ACT_ERRNO".into(),
            architectures: [
                "SCMP_ARCH_X86_64",
                "SCMP_ARCH_X86",
                "SCMP_ARCH_X32",
                "SCMP_ARCH_AARCH64",
                "SCMP_ARCH_ARM",
            ]
            .map(String::from)
            .to_vec(),
            syscalls,
            ..Profile::default()
        }
    }

    const X86_64: u32 = 0xc000_003e;
    const I386: u32 = 0x4000_0003;
    const AARCH64: u32 = 0xc000_00b7;
    const EPERM: u32 = 0x5_0001;
    const ENOSYS: u32 = 0x5_0026;
    const ALLOW: u32 = 0x7fff_0000;

    #[test]
    fn each_architecture_has_its_own_numbers() {
        let program = compile_profile(&profile(vec![rule(
            &["read", "write", "openat2", "nonsense"],
            "SCMP_ACT_ALLOW",
            vec![],
        )]))
        .unwrap();
        let ask = |token, number| run(&program, &Call(token, number, [0; 6]));
        assert_eq!([ask(X86_64, 0), ask(X86_64, 1), ask(X86_64, 437)], [ALLOW; 3]);
        assert_eq!([ask(I386, 3), ask(I386, 4), ask(AARCH64, 63), ask(X86_64, X32_BIT | 1)], [ALLOW; 4]);
        assert_eq!([ask(X86_64, 2), ask(I386, 0), ask(AARCH64, 0)], [EPERM; 3]);
        assert_eq!([ask(X86_64, 438), ask(I386, 500), ask(X86_64, X32_BIT | 500)], [ENOSYS; 3]);
        assert_eq!(ask(0x1234, 0), libc::SECCOMP_RET_KILL_PROCESS);
    }

    #[test]
    fn comparisons_see_all_64_bits() {
        const BIG: u64 = 0x1_0000_0005;
        /// A comparison, its value and mask, and which arguments it lets pass.
        type Comparison = (&'static str, u64, u64, &'static [(u64, bool)]);
        let cases: [Comparison; 7] = [
            ("SCMP_CMP_EQ", BIG, 0, &[(BIG, true), (5, false), (BIG + 1, false)]),
            ("SCMP_CMP_NE", BIG, 0, &[(BIG, false), (5, true), (BIG + 1, true)]),
            (
                "SCMP_CMP_GT",
                BIG,
                0,
                &[(BIG, false), (BIG + 1, true), (6, false), (0x2_0000_0000, true)],
            ),
            ("SCMP_CMP_GE", BIG, 0, &[(BIG, true), (BIG - 1, false), (0x2_0000_0000, true)]),
            (
                "SCMP_CMP_LT",
                BIG,
                0,
                &[(BIG, false), (BIG - 1, true), (9, true), (0x2_0000_0000, false)],
            ),
            (
                "SCMP_CMP_LE",
                BIG,
                0,
                &[(BIG, true), (BIG + 1, false), (9, true), (0x2_0000_0000, false)],
            ),
            (
                "SCMP_CMP_MASKED_EQ",
                0x7e02_0000,
                0,
                &[(0x11, true), (0x1000_0000, false), (0x1_0000_0000, true)],
            ),
        ];
        for (op, value, value_two, answers) in cases {
            let argument = Argument {
                index: 2,
                value,
                value_two,
                op: op.into(),
            };
            let program = compile_profile(&profile(vec![rule(&["ioctl"], "SCMP_ACT_ALLOW", vec![argument])])).unwrap();
            for (given, holds) in answers {
                let call = Call(X86_64, 16, [0, 0, *given, 0, 0, 0]);
                assert_eq!(
                    run(&program, &call),
                    if *holds { ALLOW } else { EPERM },
                    "{given:#x} {op} {value:#x}"
                );
            }
        }
    }

    #[test]
    fn all_tests_of_a_rule_must_hold_and_the_first_rule_that_does_answers() {
        let is = |index, value| Argument {
            index,
            value,
            value_two: 0,
            op: "SCMP_CMP_EQ".into(),
        };
        let rules = vec![
            rule(&["socket"], "SCMP_ACT_ALLOW", vec![is(0, 2), is(1, 1)]),
            rule(&["socket"], "SCMP_ACT_LOG", vec![is(0, 2)]),
            rule(&["personality"], "SCMP_ACT_ALLOW", vec![is(0, 0), is(0, 8)]),
        ];
        let program = compile_profile(&profile(rules)).unwrap();
        let ask = |number, one, two| run(&program, &Call(X86_64, number, [one, two, 0, 0, 0, 0]));
        assert_eq!([ask(41, 2, 1), ask(41, 2, 2), ask(41, 3, 1)], [ALLOW, libc::SECCOMP_RET_LOG, EPERM]);
        assert_eq!([ask(135, 0, 0), ask(135, 8, 0), ask(135, 9, 0)], [ALLOW, ALLOW, EPERM]);
    }

    #[test]
    fn leaves_that_are_shared_change_no_answer() {
        let names: Vec<&str> = crate::container::seccomp::syscalls::TABLE.iter().map(|(name, _)| *name).collect();
        let of = |residue: usize| -> Vec<String> { names.iter().skip(residue).step_by(3).map(|name| name.to_string()).collect() };
        let is = Test {
            argument: 1,
            comparison: Comparison::Equal,
            mask: u64::MAX,
            value: 7,
        };
        let (allow, log) = (libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_LOG);
        let lists = [of(0), of(1), vec!["socket".to_owned()]];
        let rules = [
            (
                lists[0].as_slice(),
                Rule {
                    action: allow,
                    tests: vec![],
                },
            ),
            (
                lists[1].as_slice(),
                Rule {
                    action: log,
                    tests: vec![],
                },
            ),
            (
                lists[2].as_slice(),
                Rule {
                    action: allow,
                    tests: vec![is],
                },
            ),
        ];
        let architectures = [Architecture::X86_64, Architecture::X86, Architecture::X32, Architecture::Aarch64];
        let long = assemble(&architectures, &rules, EPERM).unwrap();
        let short = crate::container::seccomp::share::share(&long);
        assert!(short.len() < long.len() * 2 / 3, "{} of {} are left", short.len(), long.len());
        let bytes = |program: &[Instruction]| -> Vec<u8> { program.iter().flat_map(Instruction::bytes).collect() };
        let (long, short) = (bytes(&long), bytes(&short));
        for token in [X86_64, I386, AARCH64, 0x1234] {
            for number in (0..700).chain(X32_BIT - 1..X32_BIT + 700).chain([ARM_PRIVATE + 2, u32::MAX]) {
                for argument in [0, 7] {
                    let call = Call(token, number, [0, argument, 0, 0, 0, 0]);
                    assert_eq!(run(&short, &call), run(&long, &call), "{token:#x} {number} {argument}");
                }
            }
        }
    }

    #[test]
    fn a_large_profile_stays_balanced_and_right() {
        let names: Vec<&str> = crate::container::seccomp::syscalls::TABLE.iter().map(|(name, _)| *name).collect();
        let even: Vec<&str> = names.iter().copied().step_by(2).collect();
        let program = compile_profile(&profile(vec![rule(&even, "SCMP_ACT_ALLOW", vec![])])).unwrap();
        for (at, name) in names.iter().enumerate() {
            if let Some(number) = number(name, Architecture::X86_64) {
                let got = run(&program, &Call(X86_64, number, [0; 6]));
                assert!(
                    got == if at % 2 == 0 { ALLOW } else { EPERM } || got == ENOSYS && at % 2 == 1,
                    "{name}: {got:#x}"
                );
            }
        }
    }
}
