//! What a container uses up.

use super::{Cgroup, Layout, get};
use crate::failure::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Bytes and nanoseconds; none where the host has no such controller.
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
    pub read_bytes: u64,
    pub write_bytes: u64,
    pub oom_kills: u64,
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
    }
    if let Some(pids) = cgroup.controller("pids") {
        stats.pids = number(&pids.join("pids.current")).unwrap_or(0);
        stats.pids_limit = number(&pids.join("pids.max"));
    }
    if let Some(text) = cgroup
        .controller("blkio")
        .and_then(|blkio| get(&blkio.join("blkio.throttle.io_service_bytes_recursive")).ok())
    {
        for line in text.lines() {
            let mut words = line.split_whitespace().skip(1);
            match (words.next(), words.next().and_then(|word| word.parse::<u64>().ok())) {
                (Some("Read"), Some(bytes)) => stats.read_bytes += bytes,
                (Some("Write"), Some(bytes)) => stats.write_bytes += bytes,
                _ => {}
            }
        }
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
    if let Ok(text) = get(&directory.join("io.stat")) {
        for word in text.split_whitespace() {
            match word.split_once('=') {
                Some(("rbytes", bytes)) => stats.read_bytes += bytes.parse::<u64>().unwrap_or(0),
                Some(("wbytes", bytes)) => stats.write_bytes += bytes.parse::<u64>().unwrap_or(0),
                _ => {}
            }
        }
    }
    stats
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

/// The number behind `key` in lines of `key number`; 0 where there is none.
pub fn field(text: &str, key: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, _)| *name == key)
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}
