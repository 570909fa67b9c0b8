//! Resource usage of a container.

use super::{Cgroup, Layout, get};
use crate::failure::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Bytes and nanoseconds; None: the host has no such controller.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    pub cpu_nanoseconds: u64,
    pub cpu_user_nanoseconds: u64,
    pub cpu_system_nanoseconds: u64,
    pub cpu_periods: u64,
    pub cpu_throttled_periods: u64,
    pub cpu_throttled_nanoseconds: u64,
    pub memory_bytes: u64,
    pub memory_peak_bytes: u64,
    pub memory_limit_bytes: Option<u64>,
    pub memory_detail: BTreeMap<String, u64>,
    pub pids: u64,
    pub pids_limit: Option<u64>,
    /// How often the limit was reached. cgroup v1 counts this, v2 does not.
    pub memory_failures: Option<u64>,
    pub block: Vec<Block>,
    pub oom_kills: u64,
}

/// The bytes that were read from and written to one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Block {
    pub major: u32,
    pub minor: u32,
    pub read: u64,
    pub written: u64,
}

pub fn read(cgroup: &Cgroup) -> Result<Stats> {
    let mut stats = match &cgroup.layout {
        Layout::V2 { root } => of_v2(&root.join(&cgroup.relative)),
        Layout::V1 { .. } => of_v1(cgroup),
    };
    stats.oom_kills = cgroup.oom_kills();
    if stats.pids == 0 {
        stats.pids = cgroup.pids()?.len() as u64;
    }
    Ok(stats)
}

fn of_v1(cgroup: &Cgroup) -> Stats {
    let mut stats = Stats::default();
    if let Some(cpu) = cgroup.controller("cpuacct") {
        stats.cpu_nanoseconds = number(&cpu.join("cpuacct.usage")).unwrap_or(0);
        stats.cpu_user_nanoseconds = number(&cpu.join("cpuacct.usage_user")).unwrap_or(0);
        stats.cpu_system_nanoseconds = number(&cpu.join("cpuacct.usage_sys")).unwrap_or(0);
    }
    if let Some(text) = cgroup.controller("cpu").and_then(|cpu| get(&cpu.join("cpu.stat")).ok()) {
        stats.cpu_periods = field(&text, "nr_periods");
        stats.cpu_throttled_periods = field(&text, "nr_throttled");
        stats.cpu_throttled_nanoseconds = field(&text, "throttled_time");
    }
    if let Some(memory) = cgroup.controller("memory") {
        stats.memory_bytes = number(&memory.join("memory.usage_in_bytes")).unwrap_or(0);
        stats.memory_peak_bytes = number(&memory.join("memory.max_usage_in_bytes")).unwrap_or(0);
        // "No limit" is the largest multiple of a page.
        stats.memory_limit_bytes = number(&memory.join("memory.limit_in_bytes")).filter(|limit| *limit < 1 << 60);
        stats.memory_detail = get(&memory.join("memory.stat")).map_or(BTreeMap::new(), |text| fields(&text));
        stats.memory_failures = number(&memory.join("memory.failcnt"));
    }
    if let Some(pids) = cgroup.controller("pids") {
        stats.pids = number(&pids.join("pids.current")).unwrap_or(0);
        stats.pids_limit = number(&pids.join("pids.max"));
    }
    if let Some(text) = cgroup
        .controller("blkio")
        .and_then(|blkio| get(&blkio.join("blkio.throttle.io_service_bytes_recursive")).ok())
    {
        stats.block = block_of_v1(&text);
    }
    stats
}

fn of_v2(directory: &Path) -> Stats {
    let mut stats = Stats::default();
    if let Ok(text) = get(&directory.join("cpu.stat")) {
        stats.cpu_nanoseconds = field(&text, "usage_usec") * 1000;
        stats.cpu_user_nanoseconds = field(&text, "user_usec") * 1000;
        stats.cpu_system_nanoseconds = field(&text, "system_usec") * 1000;
        stats.cpu_periods = field(&text, "nr_periods");
        stats.cpu_throttled_periods = field(&text, "nr_throttled");
        stats.cpu_throttled_nanoseconds = field(&text, "throttled_usec") * 1000;
    }
    stats.memory_bytes = number(&directory.join("memory.current")).unwrap_or(0);
    stats.memory_peak_bytes = number(&directory.join("memory.peak")).unwrap_or(0);
    stats.memory_limit_bytes = number(&directory.join("memory.max"));
    stats.memory_detail = get(&directory.join("memory.stat")).map_or(BTreeMap::new(), |text| fields(&text));
    stats.pids = number(&directory.join("pids.current")).unwrap_or(0);
    stats.pids_limit = number(&directory.join("pids.max"));
    stats.block = get(&directory.join("io.stat")).map_or(Vec::new(), |text| block_of_v2(&text));
    stats
}

fn device(word: &str) -> Option<(u32, u32)> {
    let (major, minor) = word.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Parses lines of `8:0 Read 4096`; the last one is a total.
fn block_of_v1(text: &str) -> Vec<Block> {
    let mut all: Vec<Block> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, operation, bytes] = words[..] else { continue };
        let (Some((major, minor)), Ok(bytes)) = (device(name), bytes.parse::<u64>()) else {
            continue;
        };
        if all.last().is_none_or(|last| (last.major, last.minor) != (major, minor)) {
            all.push(Block {
                major,
                minor,
                ..Block::default()
            });
        }
        match (operation, all.last_mut()) {
            ("Read", Some(block)) => block.read = bytes,
            ("Write", Some(block)) => block.written = bytes,
            _ => {}
        }
    }
    all
}

/// Parses lines of `8:0 rbytes=4096 wbytes=0 rios=1 …`.
fn block_of_v2(text: &str) -> Vec<Block> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = device(words.next()?)?;
        let mut block = Block {
            major,
            minor,
            ..Block::default()
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            match key {
                "rbytes" => block.read = value.parse().unwrap_or(0),
                "wbytes" => block.written = value.parse().unwrap_or(0),
                _ => {}
            }
        }
        Some(block)
    };
    text.lines().filter_map(line).collect()
}

fn number(file: &Path) -> Option<u64> {
    get(file).ok()?.trim().parse().ok()
}

fn fields(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(key, value)| Some((key.to_owned(), value.trim().parse().ok()?)))
        .collect()
}

/// The number after `key` in lines of `key number`; 0 if the key is missing.
pub fn field(text: &str, key: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, _)| *name == key)
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_by_device_of_both_hierarchies() {
        let v1 = "254:0 Read 4096\n254:0 Write 8192\n254:0 Sync 1\n254:0 Total 12288\n7:1 Write 512\nTotal 12800\n";
        let v2 = "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n7:1 rbytes=0 wbytes=512\n";
        let one = |major, minor, read, written| Block {
            major,
            minor,
            read,
            written,
        };
        let all = vec![one(254, 0, 4096, 8192), one(7, 1, 0, 512)];
        assert_eq!(block_of_v1(v1), all);
        assert_eq!(block_of_v2(v2), all);
    }
}
