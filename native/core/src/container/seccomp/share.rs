//! Makes a program shorter: a tree's leaves are mostly one of two answers, and a jump may as well lead to another leaf that says the same.
//! The kernel translates and compiles a program each time that a process takes it on, in time that follows its length.

use super::program::{Instruction, JUMP, JUMP_AT_LEAST, JUMP_EQUAL, JUMP_GREATER, RETURN};
use std::collections::HashMap;

/// What a jump's byte holds.
const FARTHEST: usize = 255;

/// The same answers to the same calls; what nobody comes to any more is left out.
pub fn share(program: &[Instruction]) -> Vec<Instruction> {
    let mut targets: Vec<[usize; 2]> = (0..program.len()).map(|at| targets_of(program, at)).collect();
    let mut shared: HashMap<u32, usize> = HashMap::new();
    // From the end, since jumps lead forward: the leaf that stands for its like stays the same until it is out of reach.
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
    // Where each instruction is among those that are kept.
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

/// The positions that may come after `at`; twice the same where there is one. An answer has none, and names itself.
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
    // All jumps lead forward, so one pass sees all.
    for at in 0..program.len() {
        if reached[at] {
            for target in targets[at] {
                reached[target] = true;
            }
        }
    }
    reached
}
