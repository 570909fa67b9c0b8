//! config.json of the OCI runtime spec (1.2), as far as this runtime supports it.
//!
//! This module has its own types instead of the oci-spec crate's. That crate adds builders, getters and their macros (derive_builder,
//! getset, strum, regex) to a process that is forked for each container, and parses fields that this runtime does not use. Unknown fields
//! are ignored here; exec-native refuses them by name.

use crate::id_maps::{IdMap, IdMaps};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    pub oci_version: String,
    pub process: Option<Process>,
    pub root: Option<RootFs>,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    pub mounts: Vec<OciMount>,
    pub hooks: Option<Hooks>,
    pub annotations: BTreeMap<String, String>,
    pub linux: Option<Linux>,
}

impl Spec {
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RootFs {
    pub path: String,
    pub readonly: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Process {
    pub terminal: bool,
    pub console_size: Option<ConsoleSize>,
    pub user: User,
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub cwd: String,
    pub capabilities: Option<Capabilities>,
    pub rlimits: Vec<Rlimit>,
    pub no_new_privileges: bool,
    pub apparmor_profile: Option<String>,
    pub oom_score_adj: Option<i32>,
    pub selinux_label: Option<String>,
    #[serde(rename = "ioPriority")]
    pub io_priority: Option<IoPriority>,
    pub scheduler: Option<Scheduler>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ConsoleSize {
    pub height: u16,
    pub width: u16,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub umask: Option<u32>,
    pub additional_gids: Vec<u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    pub bounding: Vec<String>,
    pub effective: Vec<String>,
    pub inheritable: Vec<String>,
    pub permitted: Vec<String>,
    pub ambient: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Rlimit {
    #[serde(rename = "type")]
    pub type_: String,
    #[serde(deserialize_with = "limit")]
    pub soft: u64,
    #[serde(deserialize_with = "limit")]
    pub hard: u64,
}

/// RLIM_INFINITY is the largest 64-bit number, which JavaScript can only approximate: all numbers from 2^64 on mean it.
fn limit<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<u64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    match (number.as_u64(), number.as_f64()) {
        (Some(exact), _) => Ok(exact),
        (None, Some(large)) if large >= u64::MAX as f64 => Ok(u64::MAX),
        _ => Err(serde::de::Error::custom(format!("{number} is no limit"))),
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct IoPriority {
    pub class: String,
    #[serde(default)]
    pub priority: i32,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Scheduler {
    pub policy: String,
    #[serde(default)]
    pub nice: i32,
    #[serde(default)]
    pub priority: i32,
    #[serde(default)]
    pub flags: Vec<String>,
    #[serde(default)]
    pub runtime: u64,
    #[serde(default)]
    pub deadline: u64,
    #[serde(default)]
    pub period: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OciMount {
    pub destination: String,
    #[serde(rename = "type")]
    pub type_: Option<String>,
    pub source: Option<String>,
    pub options: Vec<String>,
    pub uid_mappings: Vec<IdMapping>,
    pub gid_mappings: Vec<IdMapping>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Hooks {
    pub prestart: Vec<Hook>,
    pub create_runtime: Vec<Hook>,
    pub create_container: Vec<Hook>,
    pub start_container: Vec<Hook>,
    pub poststart: Vec<Hook>,
    pub poststop: Vec<Hook>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Hook {
    pub path: String,
    pub args: Vec<String>,
    pub env: Vec<String>,
    /// Seconds.
    pub timeout: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Linux {
    pub uid_mappings: Vec<IdMapping>,
    pub gid_mappings: Vec<IdMapping>,
    pub sysctl: BTreeMap<String, String>,
    pub resources: Option<Resources>,
    pub cgroups_path: Option<String>,
    pub namespaces: Vec<Namespace>,
    /// The offsets of a new time namespace.
    pub time_offsets: TimeOffsets,
    pub devices: Vec<Device>,
    pub seccomp: Option<super::seccomp::Profile>,
    pub rootfs_propagation: Option<String>,
    pub masked_paths: Vec<String>,
    pub readonly_paths: Vec<String>,
    pub mount_label: Option<String>,
}

impl Linux {
    pub fn id_maps(&self) -> IdMaps {
        id_maps(&self.uid_mappings, &self.gid_mappings)
    }
}

impl OciMount {
    pub fn id_maps(&self) -> IdMaps {
        id_maps(&self.uid_mappings, &self.gid_mappings)
    }
}

/// Converts to the types of [`crate::id_maps`], which the daemon also uses.
fn id_maps(uids: &[IdMapping], gids: &[IdMapping]) -> IdMaps {
    let map = |one: &IdMapping| IdMap {
        container_id: one.container_id,
        host_id: one.host_id,
        size: one.size,
    };
    IdMaps {
        uids: uids.iter().map(map).collect(),
        gids: gids.iter().map(map).collect(),
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct IdMapping {
    #[serde(rename = "containerID")]
    pub container_id: u32,
    #[serde(rename = "hostID")]
    pub host_id: u32,
    pub size: u32,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TimeOffsets {
    pub monotonic: Option<ClockOffset>,
    pub boottime: Option<ClockOffset>,
}

/// Added to the host's clock; the nanoseconds are never negative.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ClockOffset {
    pub secs: i64,
    pub nanosecs: u32,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Namespace {
    #[serde(rename = "type")]
    pub type_: String,
    pub path: Option<String>,
}

/// A node below /dev. `type_` is c, b, u or p.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Device {
    pub path: String,
    #[serde(rename = "type")]
    pub type_: String,
    pub major: i64,
    pub minor: i64,
    pub file_mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// An extension of this engine: the node's path on the host, if it differs from `path`.
    pub host_path: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Resources {
    pub devices: Vec<DeviceRule>,
    pub memory: Option<Memory>,
    pub cpu: Option<Cpu>,
    pub pids: Option<Pids>,
    #[serde(rename = "blockIO")]
    pub block_io: Option<BlockIo>,
    pub hugepage_limits: Vec<HugepageLimit>,
    pub network: Option<Network>,
    pub rdma: BTreeMap<String, Rdma>,
    pub unified: BTreeMap<String, String>,
}

/// A missing major or minor means all numbers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DeviceRule {
    pub allow: bool,
    #[serde(rename = "type")]
    pub type_: Option<String>,
    pub major: Option<i64>,
    pub minor: Option<i64>,
    pub access: Option<String>,
}

/// Bytes; -1: no limit.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Memory {
    pub limit: Option<i64>,
    pub reservation: Option<i64>,
    /// Memory and swap together.
    pub swap: Option<i64>,
    pub kernel: Option<i64>,
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: Option<i64>,
    pub swappiness: Option<u64>,
    #[serde(rename = "disableOOMKiller")]
    pub disable_oom_killer: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Cpu {
    pub shares: Option<u64>,
    /// Microseconds.
    pub quota: Option<i64>,
    pub burst: Option<u64>,
    pub period: Option<u64>,
    pub realtime_runtime: Option<i64>,
    pub realtime_period: Option<u64>,
    pub cpus: Option<String>,
    pub mems: Option<String>,
    pub idle: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pids {
    pub limit: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BlockIo {
    pub weight: Option<u16>,
    pub leaf_weight: Option<u16>,
    pub weight_device: Vec<WeightDevice>,
    pub throttle_read_bps_device: Vec<ThrottleDevice>,
    pub throttle_write_bps_device: Vec<ThrottleDevice>,
    #[serde(rename = "throttleReadIOPSDevice")]
    pub throttle_read_iops_device: Vec<ThrottleDevice>,
    #[serde(rename = "throttleWriteIOPSDevice")]
    pub throttle_write_iops_device: Vec<ThrottleDevice>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightDevice {
    pub major: i64,
    pub minor: i64,
    pub weight: Option<u16>,
    pub leaf_weight: Option<u16>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct ThrottleDevice {
    pub major: i64,
    pub minor: i64,
    pub rate: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HugepageLimit {
    pub page_size: String,
    pub limit: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Network {
    #[serde(rename = "classID")]
    pub class_id: Option<u32>,
    pub priorities: Vec<Priority>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Priority {
    pub name: String,
    pub priority: u32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Rdma {
    pub hca_handles: Option<u32>,
    pub hca_objects: Option<u32>,
}

/// Parses a spec. Go's encoder (podman, containerd) writes `null` where a list or record may be missing, which serde's defaults do not
/// cover.
pub fn parse(json: &[u8]) -> crate::failure::Result<Spec> {
    parse_part(json, "an OCI spec")
}

/// Parses a spec's `linux.resources` alone.
pub fn parse_resources(json: &[u8]) -> crate::failure::Result<Resources> {
    parse_part(json, "the resources of an OCI spec")
}

fn parse_part<T: serde::de::DeserializeOwned>(json: &[u8], what: &str) -> crate::failure::Result<T> {
    let invalid =
        |error: serde_json::Error| crate::failure::Failure::new(crate::failure::Code::InvalidArgument, format!("not {what}: {error}"));
    match serde_json::from_slice::<T>(json) {
        Ok(part) => Ok(part),
        Err(_) => {
            let mut value: serde_json::Value = serde_json::from_slice(json).map_err(invalid)?;
            drop_nulls(&mut value);
            serde_json::from_value(value).map_err(invalid)
        }
    }
}

fn drop_nulls(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
