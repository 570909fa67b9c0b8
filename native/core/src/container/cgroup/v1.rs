//! Limits and freezer of cgroup v1 (Documentation/admin-guide/cgroup-v1 of the kernel).

use super::{Cgroup, get, put};
use crate::container::spec::{Memory, Resources, ThrottleDevice};
use crate::failure::{Code, Failure, Result};
use std::path::{Path, PathBuf};

/// A new cpuset has no processors and no memory nodes and accepts no process, so each directory on the path gets its parent's.
pub fn inherit_cpuset(mount: &Path, relative: &Path) -> Result<()> {
    let mut parent = mount.to_owned();
    for part in relative {
        let child = parent.join(part);
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if get(&child.join(file))?.trim().is_empty() {
                put(&child.join(file), get(&parent.join(file))?.trim())?;
            }
        }
        parent = child;
    }
    Ok(())
}

pub fn apply(cgroup: &Cgroup, resources: &Resources, warnings: &mut Vec<String>) -> Result<()> {
    let directory = |controller: &str| -> Result<PathBuf> {
        cgroup
            .controller(controller)
            .ok_or_else(|| Failure::new(Code::Unsupported, format!("this host has no cgroup controller {controller}")))
    };
    if let Some(memory) = &resources.memory {
        apply_memory(&directory, memory, warnings)?;
    }
    if let Some(cpu) = &resources.cpu {
        let set = |controller: &str, file: &str, value: Option<String>| match value {
            Some(value) => put(&directory(controller)?.join(file), &value),
            None => Ok(()),
        };
        set("cpu", "cpu.shares", cpu.shares.map(|value| value.to_string()))?;
        set("cpu", "cpu.cfs_period_us", cpu.period.map(|value| value.to_string()))?;
        set("cpu", "cpu.cfs_quota_us", cpu.quota.map(|value| value.to_string()))?;
        set("cpu", "cpu.cfs_burst_us", cpu.burst.map(|value| value.to_string()))?;
        set("cpu", "cpu.rt_period_us", cpu.realtime_period.map(|value| value.to_string()))?;
        set("cpu", "cpu.rt_runtime_us", cpu.realtime_runtime.map(|value| value.to_string()))?;
        set("cpu", "cpu.idle", cpu.idle.map(|value| value.to_string()))?;
        set("cpuset", "cpuset.cpus", cpu.cpus.clone().filter(|list| !list.is_empty()))?;
        set("cpuset", "cpuset.mems", cpu.mems.clone().filter(|list| !list.is_empty()))?;
    }
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        put(
            &directory("pids")?.join("pids.max"),
            &if limit > 0 { limit.to_string() } else { "max".to_owned() },
        )?;
    }
    if let Some(io) = &resources.block_io {
        let blkio = directory("blkio")?;
        if let Some(weight) = io.weight {
            weigh(&blkio, "weight", &weight.to_string(), warnings)?;
        }
        for device in &io.weight_device {
            if let Some(weight) = device.weight {
                weigh(
                    &blkio,
                    "weight_device",
                    &format!("{}:{} {weight}", device.major, device.minor),
                    warnings,
                )?;
            }
        }
        let throttle = |file: &str, devices: &[ThrottleDevice]| {
            devices
                .iter()
                .try_for_each(|device| put(&blkio.join(file), &format!("{}:{} {}", device.major, device.minor, device.rate)))
        };
        throttle("blkio.throttle.read_bps_device", &io.throttle_read_bps_device)?;
        throttle("blkio.throttle.write_bps_device", &io.throttle_write_bps_device)?;
        throttle("blkio.throttle.read_iops_device", &io.throttle_read_iops_device)?;
        throttle("blkio.throttle.write_iops_device", &io.throttle_write_iops_device)?;
    }
    for huge in &resources.hugepage_limits {
        put(
            &directory("hugetlb")?.join(format!("hugetlb.{}.limit_in_bytes", huge.page_size)),
            &huge.limit.to_string(),
        )?;
    }
    for (device, limit) in &resources.rdma {
        put(&directory("rdma")?.join("rdma.max"), &super::v2::rdma(device, limit))?;
    }
    if let Some(network) = &resources.network {
        if let Some(class) = network.class_id {
            put(&directory("net_cls")?.join("net_cls.classid"), &class.to_string())?;
        }
        for priority in &network.priorities {
            put(
                &directory("net_prio")?.join("net_prio.ifpriomap"),
                &format!("{} {}", priority.name, priority.priority),
            )?;
        }
    }
    if !resources.unified.is_empty() {
        return Err(Failure::new(
            Code::Unsupported,
            "resources.unified needs a host with cgroup v2 alone",
        ));
    }
    Ok(())
}

fn apply_memory(directory: &dyn Fn(&str) -> Result<PathBuf>, memory: &Memory, warnings: &mut Vec<String>) -> Result<()> {
    let group = directory("memory")?;
    let both = group.join("memory.memsw.limit_in_bytes");
    let set_swap = |warnings: &mut Vec<String>| match memory.swap {
        Some(_) if !both.exists() => {
            warnings.push("this kernel does not count swap: the limit of memory and swap is not enforced".to_owned());
            Ok(())
        }
        Some(swap) => put(&both, &swap.to_string()),
        None => Ok(()),
    };
    if let Some(limit) = memory.limit {
        let file = group.join("memory.limit_in_bytes");
        match put(&file, &limit.to_string()) {
            // The limit exceeds the current limit of memory and swap, which must be raised first.
            Err(failure) if failure.errno == Some(libc::EINVAL) && memory.swap.is_some() => {
                set_swap(warnings)?;
                put(&file, &limit.to_string())?;
            }
            answer => answer?,
        }
    }
    set_swap(warnings)?;
    if let Some(reservation) = memory.reservation {
        put(&group.join("memory.soft_limit_in_bytes"), &reservation.to_string())?;
    }
    // memory.kernel is ignored: the kernel refuses it since 5.16, and runtimes agree to drop it.
    if let Some(limit) = memory.kernel_tcp.filter(|limit| *limit > 0) {
        put(&group.join("memory.kmem.tcp.limit_in_bytes"), &limit.to_string())?;
    }
    if let Some(swappiness) = memory.swappiness {
        put(&group.join("memory.swappiness"), &swappiness.to_string())?;
    }
    if memory.disable_oom_killer == Some(true) {
        put(&group.join("memory.oom_control"), "1")?;
    }
    Ok(())
}

/// Sets a weight. The file's name depends on the I/O scheduler that supports weights; without one there is no file.
fn weigh(blkio: &Path, file: &str, value: &str, warnings: &mut Vec<String>) -> Result<()> {
    for name in [format!("blkio.{file}"), format!("blkio.bfq.{file}")] {
        if blkio.join(&name).exists() {
            return put(&blkio.join(name), value);
        }
    }
    warnings.push("no I/O scheduler of this host weighs: the block I/O weight is not enforced".to_owned());
    Ok(())
}

/// Freezes or thaws. On v1 this takes time: the state is read until it is reached, and the request is repeated, since a task may fork
/// meanwhile.
pub fn freeze(directory: &Path, freeze: bool) -> Result<()> {
    let state = directory.join("freezer.state");
    let wanted = if freeze { "FROZEN" } else { "THAWED" };
    for round in 0..1000 {
        put(&state, wanted)?;
        if get(&state)?.trim() == wanted {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_micros(if round < 10 { 100 } else { 2000 }));
    }
    put(&state, "THAWED")?;
    Err(Failure::new(Code::Unavailable, format!("{} does not freeze", directory.display())))
}
