//! Device rules: v1's allow and deny files, or a BPF program on v2 (BPF_PROG_TYPE_CGROUP_DEVICE).

use super::put;
use crate::container::spec::DeviceRule;
use crate::failure::{Code, Failure, Result};
use crate::sys;
use std::os::fd::AsRawFd;
use std::path::Path;

const MKNOD: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;
const ALL: u32 = MKNOD | READ | WRITE;

/// A complete rule. `kind` is a (both), b or c; a missing number means all numbers; `access` contains the kernel's bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    allow: bool,
    kind: char,
    major: Option<u32>,
    minor: Option<u32>,
    access: u32,
}

/// Kind, major, minor and access of the devices that every container may use: the runtime spec's default devices and its terminals. Every
/// container may also make nodes, since they are checked when they are opened.
const DEFAULT: [(char, Option<u32>, Option<u32>, u32); 11] = [
    ('c', None, None, MKNOD),
    ('b', None, None, MKNOD),
    ('c', Some(1), Some(3), ALL),
    ('c', Some(1), Some(5), ALL),
    ('c', Some(1), Some(7), ALL),
    ('c', Some(1), Some(8), ALL),
    ('c', Some(1), Some(9), ALL),
    ('c', Some(5), Some(0), ALL),
    ('c', Some(5), Some(1), ALL),
    ('c', Some(5), Some(2), ALL),
    ('c', Some(136), None, ALL),
];

/// The spec's rules, in order, followed by the default ones.
pub fn rules(wanted: &[DeviceRule]) -> Result<Vec<Rule>> {
    let mut rules = wanted.iter().map(rule).collect::<Result<Vec<Rule>>>()?;
    if rules.last().is_some_and(|last| last.allow && last.kind == 'a') {
        return Ok(rules);
    }
    for (kind, major, minor, access) in DEFAULT {
        let rule = Rule {
            allow: true,
            kind,
            major,
            minor,
            access,
        };
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    Ok(rules)
}

fn rule(wanted: &DeviceRule) -> Result<Rule> {
    let kind = match wanted.type_.as_deref() {
        None | Some("" | "a") => 'a',
        Some("b") => 'b',
        Some("c" | "u") => 'c',
        Some(other) => return Err(Failure::new(Code::InvalidArgument, format!("device rule: no such type {other:?}"))),
    };
    let mut access = 0;
    for letter in wanted
        .access
        .as_deref()
        .filter(|access| !access.is_empty())
        .unwrap_or("rwm")
        .chars()
    {
        access |= match letter {
            'r' => READ,
            'w' => WRITE,
            'm' => MKNOD,
            other => {
                return Err(Failure::new(
                    Code::InvalidArgument,
                    format!("device rule: no such access {other:?}"),
                ));
            }
        };
    }
    let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
    Ok(Rule {
        allow: wanted.allow,
        kind,
        major: number(wanted.major),
        minor: number(wanted.minor),
        access,
    })
}

/// Writes the rules on v1, one after another.
pub fn write(directory: &Path, rules: &[Rule]) -> Result<()> {
    for rule in rules {
        let file = directory.join(if rule.allow { "devices.allow" } else { "devices.deny" });
        if rule.kind == 'a' && rule.major.is_none() && rule.minor.is_none() {
            // The kernel takes "a" for everything and ignores the rest of the line.
            put(&file, "a")?;
            continue;
        }
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
        let letters: String = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')]
            .iter()
            .filter(|(bit, _)| rule.access & bit != 0)
            .map(|(_, letter)| letter)
            .collect();
        for kind in if rule.kind == 'a' {
            "bc"
        } else if rule.kind == 'b' {
            "b"
        } else {
            "c"
        }
        .chars()
        {
            put(&file, &format!("{kind} {}:{} {letters}", number(rule.major), number(rule.minor)))?;
        }
    }
    Ok(())
}

/// An eBPF instruction.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const LOAD_WORD: u8 = 0x61;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const MOVE: u8 = 0xbc;
const MOVE_IMMEDIATE: u8 = 0xb4;
const JUMP_UNEQUAL: u8 = 0x56;
const JUMP_EQUAL: u8 = 0x16;
const EXIT: u8 = 0x95;

/// Compiles rules so that the last rule that matches an access decides, as on v1. The program checks the rules from the last one: an
/// allowing rule removes its bits from the bits that are still requested, a denying rule ends the check. An access that no rule matches is
/// allowed.
///
/// r2: type (1 block, 2 character), r3: bits that are still requested, r4: major, r5: minor.
fn compile(rules: &[Rule]) -> Vec<Instruction> {
    let one = |code, to: u8, from: u8, offset, immediate| Instruction {
        code,
        registers: from << 4 | to,
        offset,
        immediate,
    };
    let mut program = vec![
        one(LOAD_WORD, 2, 1, 0, 0),
        one(MOVE, 3, 2, 0, 0),
        one(AND, 2, 0, 0, 0xffff),
        one(SHIFT_RIGHT, 3, 0, 0, 16),
        one(LOAD_WORD, 4, 1, 4, 0),
        one(LOAD_WORD, 5, 1, 8, 0),
    ];
    for rule in rules.iter().rev() {
        let answer = [one(MOVE_IMMEDIATE, 0, 0, 0, i32::from(rule.allow)), one(EXIT, 0, 0, 0, 0)];
        let mut body = Vec::new();
        if rule.allow {
            body.push(one(AND, 3, 0, 0, !rule.access as i32));
            body.push(one(JUMP_UNEQUAL, 3, 0, 2, 0));
        } else {
            body.push(one(MOVE, 0, 3, 0, 0));
            body.push(one(AND, 0, 0, 0, rule.access as i32));
            body.push(one(JUMP_EQUAL, 0, 0, 2, 0));
        }
        body.extend(answer);
        let mut checks = Vec::new();
        if rule.kind != 'a' {
            checks.push((2, if rule.kind == 'b' { 1 } else { 2 }));
        }
        checks.extend(rule.major.map(|major| (4, major as i32)));
        checks.extend(rule.minor.map(|minor| (5, minor as i32)));
        let count = checks.len();
        for (at, (register, value)) in checks.into_iter().enumerate() {
            program.push(one(JUMP_UNEQUAL, register, 0, (count - at - 1 + body.len()) as i16, value));
        }
        program.extend(body);
    }
    program.extend([one(MOVE_IMMEDIATE, 0, 0, 0, 1), one(EXIT, 0, 0, 0, 0)]);
    program
}

/// Loads the program on v2 and attaches it to the directory, which keeps it.
pub fn attach(directory: &Path, rules: &[Rule]) -> Result<()> {
    const PROG_LOAD: i32 = 5;
    const PROG_ATTACH: i32 = 8;
    const TYPE_CGROUP_DEVICE: u32 = 15;
    const ATTACH_CGROUP_DEVICE: u32 = 6;
    const ALLOW_MULTI: u32 = 2;
    #[repr(C)]
    #[derive(Default)]
    struct Load {
        kind: u32,
        count: u32,
        program: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel_version: u32,
        flags: u32,
    }
    #[repr(C)]
    struct Attach {
        target: u32,
        program: u32,
        kind: u32,
        flags: u32,
    }
    let program = compile(rules);
    let shown = directory.to_string_lossy();
    let target = sys::open(&shown, libc::O_RDONLY | libc::O_DIRECTORY)?;
    let load = Load {
        kind: TYPE_CGROUP_DEVICE,
        count: program.len() as u32,
        program: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..Load::default()
    };
    // SAFETY: the record has the kernel's layout; program and licence outlive the call.
    let loaded = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &load, std::mem::size_of::<Load>()) };
    let loaded = sys::descriptor(loaded, "bpf(PROG_LOAD)", Some(&shown))?;
    let attach = Attach {
        target: target.as_raw_fd() as u32,
        program: loaded.as_raw_fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    // SAFETY: the record has the kernel's layout and holds descriptors and numbers.
    let attached = unsafe { libc::syscall(libc::SYS_bpf, PROG_ATTACH, &attach, std::mem::size_of::<Attach>()) };
    sys::check(attached, "bpf(PROG_ATTACH)", Some(&shown)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Interprets the program as the kernel would, and returns its answer.
    fn run(program: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let context = [kind | access << 16, major, minor];
        let mut registers = [0u32; 11];
        let mut at = 0usize;
        loop {
            let Instruction {
                code,
                registers: pair,
                offset,
                immediate,
            } = program[at];
            let (to, from) = ((pair & 15) as usize, (pair >> 4) as usize);
            at += 1;
            match code {
                LOAD_WORD => registers[to] = context[offset as usize / 4],
                AND => registers[to] &= immediate as u32,
                SHIFT_RIGHT => registers[to] >>= immediate,
                MOVE => registers[to] = registers[from],
                MOVE_IMMEDIATE => registers[to] = immediate as u32,
                JUMP_UNEQUAL if registers[to] != immediate as u32 => at += offset as usize,
                JUMP_EQUAL if registers[to] == immediate as u32 => at += offset as usize,
                JUMP_UNEQUAL | JUMP_EQUAL => {}
                EXIT => return registers[0] == 1,
                other => panic!("no such instruction: {other:#x}"),
            }
        }
    }

    #[test]
    fn the_last_rule_that_speaks_of_an_access_decides() {
        let deny = DeviceRule {
            allow: false,
            ..DeviceRule::default()
        };
        let disk = DeviceRule {
            allow: true,
            type_: Some("b".into()),
            major: Some(8),
            minor: Some(0),
            access: Some("r".into()),
        };
        let program = compile(&rules(&[deny, disk]).unwrap());
        assert!(run(&program, 2, READ | WRITE, 1, 3), "null");
        assert!(run(&program, 2, READ | WRITE, 136, 77), "a terminal");
        assert!(run(&program, 1, MKNOD, 9, 9), "making a node");
        assert!(run(&program, 1, READ, 8, 0), "reading the disk");
        assert!(!run(&program, 1, READ | WRITE, 8, 0), "writing the disk");
        assert!(!run(&program, 2, READ, 1, 1), "memory");
    }

    #[test]
    fn letters_of_two_rules_add_up() {
        let rule = |allow, access: &str| DeviceRule {
            allow,
            type_: Some("c".into()),
            major: Some(10),
            minor: Some(200),
            access: Some(access.into()),
        };
        let program = compile(&rules(&[DeviceRule::default(), rule(true, "r"), rule(true, "w")]).unwrap());
        assert!(run(&program, 2, READ | WRITE, 10, 200));
    }
}
