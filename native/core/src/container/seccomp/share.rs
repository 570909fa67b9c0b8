//! Shortens a program. Most leaves of a tree have one of two answers, and a jump may lead to another leaf with the same answer. The kernel
//! translates and compiles a program each time a process installs it, in time proportional to its length.

use super::program::{Instruction, JUMP, JUMP_AT_LEAST, JUMP_EQUAL, JUMP_GREATER, RETURN};
use std::collections::HashMap;

/// The maximum distance of a jump.
const FARTHEST: usize = 255;

/// Returns a program with the same answers to the same calls, without instructions that are not reached any more.
pub fn share(program: &[Instruction]) -> Vec<Instruction> {
    let mut targets: Vec<[usize; 2]> = (0..program.len()).map(|at| targets_of(program, at)).collect();
    let mut shared: HashMap<u32, usize> = HashMap::new();
    // From the end, since jumps lead forward: a shared leaf stays the target until it is out of reach.
    for at in (0..program.len()).rev().filter(|at| is_conditional(program[*at])) {
        for target in &mut targets[at] {
            let leaf = program[*target];
            if leaf.code != RETURN {
                continue;
            }
            let one = shared.entry(leaf.value).or_insert(*target);
            if *one - at > FARTHEST {
                *one = *target;
            }
            *target = *one;
        }
    }
    let kept = reached(program, &targets);
    // The new position of each instruction that is kept.
    let places: Vec<usize> = kept
        .iter()
        .scan(0, |next, kept| {
            let place = *next;
            *next += usize::from(*kept);
            Some(place)
        })
        .collect();
    let moved = |at: usize| {
        let one = program[at];
        let skips = targets[at].map(|target| places[target].saturating_sub(places[at] + 1));
        match one.code {
            JUMP => Instruction {
                value: skips[0] as u32,
                ..one
            },
            _ if is_conditional(one) => Instruction {
                yes: skips[0] as u8,
                no: skips[1] as u8,
                ..one
            },
            _ => one,
        }
    };
    (0..program.len()).filter(|at| kept[*at]).map(moved).collect()
}

fn is_conditional(one: Instruction) -> bool {
    matches!(one.code, JUMP_EQUAL | JUMP_GREATER | JUMP_AT_LEAST)
}

/// The positions that may follow `at`; the same one twice if there is only one. A return has no successor and gives its own position.
fn targets_of(program: &[Instruction], at: usize) -> [usize; 2] {
    let one = program[at];
    match one.code {
        RETURN => [at; 2],
        JUMP => [at + 1 + one.value as usize; 2],
        _ if is_conditional(one) => [at + 1 + one.yes as usize, at + 1 + one.no as usize],
        _ => [at + 1; 2],
    }
}

fn reached(program: &[Instruction], targets: &[[usize; 2]]) -> Vec<bool> {
    let mut reached = vec![false; program.len()];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    // All jumps lead forward, so one pass is enough.
    for at in 0..program.len() {
        if reached[at] {
            for target in targets[at] {
                reached[target] = true;
            }
        }
    }
    reached
}
