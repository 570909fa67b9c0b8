//! Seeded mutations of the corpora: the same inputs each time. With `TSBOX_FUZZ_SECONDS` each target runs that long, with a random seed,
//! which is printed.

use super::{TARGETS, Target};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// Inputs of each target in an ordinary run.
const INPUTS: usize = 20_000;
const LONGEST: usize = 32 << 10;

/// xorshift64*
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end.max(1)
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let all: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(!all.is_empty(), "no corpus for {name}");
    all
}

/// Bytes that often cause errors: ends of ranges, and bytes that begin or end a field.
const EDGE_BYTES: [u8; 14] = [0, 1, 2, 4, 16, 127, 128, 255, b'0', b'9', b' ', b'\n', b'=', b'"'];

fn mutate(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(8) {
        let at = random.below(bytes.len());
        match random.below(8) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            2 if !bytes.is_empty() => bytes[at] = EDGE_BYTES[random.below(EDGE_BYTES.len())],
            3 => bytes.insert(at, EDGE_BYTES[random.below(EDGE_BYTES.len())]),
            4 => {
                let end = (at + random.below(64)).min(bytes.len());
                bytes.drain(at..end);
            }
            5 => {
                let end = (at + random.below(600)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            6 => {
                let other = &corpus[random.below(corpus.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[random.below(other.len())..]);
            }
            _ => {
                for (place, byte) in bytes[at..].iter_mut().zip((random.next() as u32).to_le_bytes()) {
                    *place = byte;
                }
            }
        }
        bytes.truncate(LONGEST);
    }
    bytes
}

/// Gives each block of a tar its correct checksum. Otherwise the reader would reject it at once.
fn repair(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
        block[148..156].copy_from_slice(b"        ");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

fn run((name, target): &Target, seed: u64, mut more: impl FnMut(usize) -> bool) -> usize {
    let corpus = corpus(name);
    let mut random = Random(seed | 1);
    let mut count = 0;
    while more(count) {
        let mut bytes = match corpus.get(count) {
            Some(whole) => whole.clone(),
            None => mutate(&mut random, &corpus),
        };
        if *name == "tar" && count % 4 != 0 {
            repair(&mut bytes);
        }
        if catch_unwind(AssertUnwindSafe(|| target(&bytes))).is_err() {
            let path = std::env::temp_dir().join(format!("tsbox-fuzz-{name}"));
            std::fs::write(&path, &bytes).unwrap();
            panic!("{name}, seed {seed}, input {count}: see {}", path.display());
        }
        count += 1;
    }
    count
}

#[test]
fn no_decoder_panics() {
    let seconds: Option<u64> = std::env::var("TSBOX_FUZZ_SECONDS").ok().map(|text| text.parse().unwrap());
    for target in TARGETS {
        match seconds {
            None => {
                run(target, 20_260_101, |count| count < INPUTS);
            }
            Some(seconds) => {
                let seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
                let end = Instant::now() + Duration::from_secs(seconds);
                let count = run(target, seed, |count| count % 64 != 0 || Instant::now() < end);
                println!("{}: seed {seed}, {count} inputs", target.0);
            }
        }
    }
}
