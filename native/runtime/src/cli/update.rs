//! `update`: other limits for a running container, from a file in the spec's form (`--resources`) or from flags, which win.

use super::state::{Container, Status, checked_id};
use super::{Global, next, unexpected, value, warn};
use lexopt::prelude::*;
use std::io::Read;
use tsbox_core::container::spec::{self, BlockIo, Cpu, Memory, Pids, Resources};
use tsbox_core::failure::{Code, Failure, Result};

/// The largest file of resources that is read, in bytes.
const RESOURCES_MOST: u64 = 1 << 20;

pub fn update(global: &Global, parser: &mut lexopt::Parser) -> Result<i32> {
    let mut resources = Resources::default();
    let mut id = None;
    // The flags are applied after the file, wherever they stand.
    let mut flags: Vec<(String, String)> = Vec::new();
    while let Some(argument) = next(parser)? {
        match argument {
            Long("resources") | Short('r') => resources = read(&value(parser)?)?,
            Long(flag) => {
                let flag = flag.to_owned();
                flags.push((flag, value(parser)?));
            }
            Value(word) if id.is_none() => id = Some(checked_id(&word.to_string_lossy())?),
            other => return Err(unexpected(other)),
        }
    }
    let id = id.ok_or_else(|| Failure::new(Code::InvalidArgument, "a container id is missing"))?;
    for (flag, value) in &flags {
        set(&mut resources, flag, value)?;
    }
    let container = Container::load(global, &id)?;
    if container.status()? == Status::Stopped {
        return Err(Failure::new(Code::FailedPrecondition, "container not running"));
    }
    let mut warnings = Vec::new();
    container.cgroup()?.apply(&resources, &mut warnings)?;
    warn(global, &warnings);
    Ok(0)
}

/// Reads the file `path`, or standard input for `-`.
fn read(path: &str) -> Result<Resources> {
    let source: Box<dyn Read> = if path == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(|error| Failure::io(&error, "open", Some(path)))?)
    };
    let mut text = Vec::new();
    source
        .take(RESOURCES_MOST + 1)
        .read_to_end(&mut text)
        .map_err(|error| Failure::io(&error, "read", Some(path)))?;
    if text.len() as u64 > RESOURCES_MOST {
        return Err(invalid(format!("{path} is larger than {RESOURCES_MOST} bytes")));
    }
    spec::parse_resources(&text)
}

fn set(resources: &mut Resources, flag: &str, value: &str) -> Result<()> {
    match flag {
        "memory" => memory(resources).limit = Some(bytes(flag, value)?),
        "memory-reservation" => memory(resources).reservation = Some(bytes(flag, value)?),
        "memory-swap" => memory(resources).swap = Some(bytes(flag, value)?),
        "kernel-memory" => memory(resources).kernel = Some(bytes(flag, value)?),
        "kernel-memory-tcp" => memory(resources).kernel_tcp = Some(bytes(flag, value)?),
        "cpu-period" => cpu(resources).period = Some(number(flag, value)?),
        "cpu-quota" => cpu(resources).quota = Some(number(flag, value)?),
        "cpu-burst" => cpu(resources).burst = Some(number(flag, value)?),
        "cpu-share" => cpu(resources).shares = Some(number(flag, value)?),
        "cpu-rt-period" => cpu(resources).realtime_period = Some(number(flag, value)?),
        "cpu-rt-runtime" => cpu(resources).realtime_runtime = Some(number(flag, value)?),
        "cpu-idle" => cpu(resources).idle = Some(number(flag, value)?),
        "cpuset-cpus" => cpu(resources).cpus = Some(value.to_owned()),
        "cpuset-mems" => cpu(resources).mems = Some(value.to_owned()),
        "pids-limit" => resources.pids.get_or_insert_with(Pids::default).limit = Some(number(flag, value)?),
        "blkio-weight" => resources.block_io.get_or_insert_with(BlockIo::default).weight = Some(number(flag, value)?),
        "l3-cache-schema" | "mem-bw-schema" => {
            return Err(Failure::new(
                Code::Unsupported,
                format!("--{flag} is not supported: this runtime has no Intel RDT"),
            ));
        }
        other => return Err(invalid(format!("update has no flag --{other}"))),
    }
    Ok(())
}

fn memory(resources: &mut Resources) -> &mut Memory {
    resources.memory.get_or_insert_with(Memory::default)
}

fn cpu(resources: &mut Resources) -> &mut Cpu {
    resources.cpu.get_or_insert_with(Cpu::default)
}

fn number<T: std::str::FromStr>(flag: &str, value: &str) -> Result<T> {
    value.parse().map_err(|_| invalid(format!("--{flag} {value:?} is no number")))
}

/// `-1`, `1048576`, `512m`, `1GiB`: units are powers of 1024, as runc's.
fn bytes(flag: &str, value: &str) -> Result<i64> {
    if value == "-1" {
        return Ok(-1);
    }
    let wrong = || invalid(format!("--{flag} {value:?} is no number of bytes, such as 512m"));
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = value.split_at(digits);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(wrong()),
    };
    let count: i64 = count.parse().map_err(|_| wrong())?;
    count.checked_mul(1 << shift).ok_or_else(wrong)
}

fn invalid(text: String) -> Failure {
    Failure::new(Code::InvalidArgument, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units() {
        let of = |word| bytes("memory", word).unwrap();
        assert_eq!(
            [of("-1"), of("12"), of("2k"), of("3MiB"), of("1g")],
            [-1, 12, 2048, 3 << 20, 1 << 30]
        );
        for wrong in ["", "m", "-2", "1x", "1.5g", "9999999999999999t", "99999999999999999999"] {
            assert!(bytes("memory", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn flags_set_what_the_spec_calls_otherwise() {
        let mut resources = Resources::default();
        for (flag, value) in [
            ("memory-swap", "1m"),
            ("cpu-share", "7"),
            ("pids-limit", "-1"),
            ("cpuset-cpus", "0-1"),
        ] {
            set(&mut resources, flag, value).unwrap();
        }
        assert_eq!(resources.memory.unwrap().swap, Some(1 << 20));
        assert_eq!(resources.cpu.as_ref().unwrap().shares, Some(7));
        assert_eq!(resources.cpu.unwrap().cpus.as_deref(), Some("0-1"));
        assert_eq!(resources.pids.unwrap().limit, Some(-1));
        assert!(set(&mut Resources::default(), "cpu-share", "many").is_err());
        assert!(set(&mut Resources::default(), "cpu-chairs", "1").is_err());
    }
}
