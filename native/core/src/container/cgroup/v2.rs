//! Limits, freezer and events of cgroup v2 (Documentation/admin-guide/cgroup-v2.rst of the kernel).

use super::{get, put};
use crate::container::spec::{Cpu, Memory, Rdma, Resources};
use crate::failure::{Code, Failure, Result};
use crate::sys;
use crate::sys::process::is_ready;
use rustix::event::PollFlags;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// Makes the directories on the path, and enables each parent's controllers for its children.
pub fn delegate(root: &Path, relative: &Path) -> Result<()> {
    let mut parent = root.to_owned();
    for part in relative {
        let (available, given) = (
            get(&parent.join("cgroup.controllers"))?,
            get(&parent.join("cgroup.subtree_control"))?,
        );
        let given: Vec<&str> = given.split_whitespace().collect();
        for controller in available.split_whitespace().filter(|controller| !given.contains(controller)) {
            // A directory that has processes itself can't enable domain controllers (EBUSY), and cpu is refused while realtime tasks exist.
            // The limit that needs the controller fails later with its own message.
            let _ = put(&parent.join("cgroup.subtree_control"), &format!("+{controller}"));
        }
        parent = parent.join(part);
        super::make_directory(&parent)?;
    }
    Ok(())
}

pub fn apply(directory: &Path, resources: &Resources, warnings: &mut Vec<String>) -> Result<()> {
    let set = |file: &str, value: &str| match put(&directory.join(file), value) {
        Err(failure) if failure.errno == Some(libc::ENOENT) => {
            let controller = file.split('.').next().unwrap_or(file);
            let what = format!(
                "cgroup controller {controller} is not available below {} (no {file})",
                directory.parent().unwrap_or(directory).display()
            );
            Err(Failure {
                code: Code::Unsupported,
                message: what,
                ..failure
            })
        }
        answer => answer,
    };
    if let Some(memory) = &resources.memory {
        apply_memory(directory, &set, memory, warnings)?;
    }
    if let Some(cpu) = &resources.cpu {
        apply_cpu(&set, cpu)?;
    }
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        set("pids.max", &limit_or_max(if limit > 0 { limit } else { -1 }))?;
    }
    if let Some(io) = &resources.block_io {
        if let Some(weight) = io.weight {
            if directory.join("io.bfq.weight").exists() {
                set("io.bfq.weight", &weight.to_string())?;
            } else {
                // Convert v1's range 10…1000 to 1…10000.
                set(
                    "io.weight",
                    &(1 + (u64::from(weight).clamp(10, 1000) - 10) * 9999 / 990).to_string(),
                )?;
            }
        }
        for device in &io.weight_device {
            if let Some(weight) = device.weight {
                set("io.bfq.weight", &format!("{}:{} {weight}", device.major, device.minor))?;
            }
        }
        let limits = [
            ("rbps", &io.throttle_read_bps_device),
            ("wbps", &io.throttle_write_bps_device),
            ("riops", &io.throttle_read_iops_device),
            ("wiops", &io.throttle_write_iops_device),
        ];
        for (key, devices) in limits {
            for device in devices {
                set("io.max", &format!("{}:{} {key}={}", device.major, device.minor, device.rate))?;
            }
        }
    }
    for huge in &resources.hugepage_limits {
        set(&format!("hugetlb.{}.max", huge.page_size), &huge.limit.to_string())?;
    }
    for (device, limit) in &resources.rdma {
        set("rdma.max", &rdma(device, limit))?;
    }
    if resources
        .network
        .as_ref()
        .is_some_and(|network| network.class_id.is_some() || !network.priorities.is_empty())
    {
        return Err(Failure::new(Code::Unsupported, "network classes and priorities need cgroup v1"));
    }
    for (file, value) in &resources.unified {
        if file.contains('/') {
            return Err(Failure::new(
                Code::InvalidArgument,
                format!("resources.unified: {file} is no file name"),
            ));
        }
        set(file, value)?;
    }
    Ok(())
}

fn apply_memory(directory: &Path, set: &dyn Fn(&str, &str) -> Result<()>, memory: &Memory, warnings: &mut Vec<String>) -> Result<()> {
    if let Some(limit) = memory.limit {
        set("memory.max", &limit_or_max(limit))?;
    }
    if let Some(swap) = memory.swap {
        // v1 limits memory and swap together, v2 limits swap separately.
        let alone = match memory.limit {
            _ if swap < 0 => -1,
            Some(limit) if limit >= 0 => (swap - limit).max(0),
            _ => {
                return Err(Failure::new(
                    Code::InvalidArgument,
                    "a limit of memory and swap needs a limit of memory",
                ));
            }
        };
        if directory.join("memory.swap.max").exists() {
            set("memory.swap.max", &limit_or_max(alone))?;
        } else if alone >= 0 {
            warnings.push("this kernel does not count swap: the limit of memory and swap is not enforced".to_owned());
        }
    }
    if let Some(reservation) = memory.reservation {
        set("memory.low", &limit_or_max(reservation))?;
    }
    if memory.disable_oom_killer == Some(true) {
        warnings.push("cgroup v2 has no switch for the out-of-memory killer: it stays on".to_owned());
    }
    Ok(())
}

fn apply_cpu(set: &dyn Fn(&str, &str) -> Result<()>, cpu: &Cpu) -> Result<()> {
    if let Some(shares) = cpu.shares.filter(|shares| *shares > 0) {
        // Convert v1's range 2…262144 to 1…10000.
        set("cpu.weight", &(1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142).to_string())?;
    }
    if cpu.quota.is_some() || cpu.period.is_some() {
        let quota = limit_or_max(cpu.quota.filter(|quota| *quota > 0).unwrap_or(-1));
        set("cpu.max", &format!("{quota} {}", cpu.period.unwrap_or(100_000)))?;
    }
    if let Some(burst) = cpu.burst {
        set("cpu.max.burst", &burst.to_string())?;
    }
    if let Some(idle) = cpu.idle {
        set("cpu.idle", &idle.to_string())?;
    }
    if let Some(cpus) = cpu.cpus.as_deref().filter(|list| !list.is_empty()) {
        set("cpuset.cpus", cpus)?;
    }
    if let Some(mems) = cpu.mems.as_deref().filter(|list| !list.is_empty()) {
        set("cpuset.mems", mems)?;
    }
    Ok(())
}

fn limit_or_max(limit: i64) -> String {
    if limit < 0 { "max".to_owned() } else { limit.to_string() }
}

pub fn rdma(device: &str, limit: &Rdma) -> String {
    let word = |value: Option<u32>| value.map_or("max".to_owned(), |value| value.to_string());
    format!(
        "{device} hca_handle={} hca_object={}",
        word(limit.hca_handles),
        word(limit.hca_objects)
    )
}

/// Freezes or thaws, and waits until the kernel reports that the state is reached.
pub fn freeze(directory: &Path, freeze: bool) -> Result<()> {
    put(&directory.join("cgroup.freeze"), if freeze { "1" } else { "0" })?;
    let wanted = if freeze { "frozen 1" } else { "frozen 0" };
    if await_event(directory, wanted, Duration::from_secs(10))? {
        return Ok(());
    }
    put(&directory.join("cgroup.freeze"), "0")?;
    Err(Failure::new(Code::Unavailable, format!("{} does not freeze", directory.display())))
}

/// Waits until the cgroup has no process, or the timeout is over.
pub fn await_empty(directory: &Path, timeout: Duration) {
    let _ = await_event(directory, "populated 0", timeout);
}

/// Waits for a line of `cgroup.events`, which becomes ready with POLLPRI when one of its lines changes.
fn await_event(directory: &Path, line: &str, timeout: Duration) -> Result<bool> {
    let begun = Instant::now();
    let shown = directory.join("cgroup.events");
    let shown = shown.to_string_lossy();
    let file = sys::open(&shown, libc::O_RDONLY)?;
    loop {
        let _ = rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0));
        if sys::read(std::os::fd::AsFd::as_fd(&file), &shown)?.lines().any(|one| one == line) {
            return Ok(true);
        }
        let Some(rest) = timeout.checked_sub(begun.elapsed()) else {
            return Ok(false);
        };
        is_ready(file.as_fd(), PollFlags::PRI, rest.max(Duration::from_millis(1)));
    }
}
