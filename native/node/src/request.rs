use crate::malformed;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;
use tsbox_core::block;
use tsbox_core::container::cgroup::{Cgroup, Layout};
use tsbox_core::container::spec::Resources;
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::id_maps::IdMaps;
use tsbox_core::layer::{self, Compression, Extract, Options, Own, Upper, Whiteouts};
use tsbox_core::mount::{Held, Mount, open_held, process_root};
use tsbox_core::net::{self, Bridge, Macvlan, Veth, Vlan, firewall};
use tsbox_core::sys::{Call, at, datagrams};
use tsbox_core::tree::{self, Cancel, Named, btrfs, quota};

/// Every verb, named as in plugins/host-linux/src/binding.ts.
#[derive(Deserialize)]
#[serde(tag = "call", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Request {
    OpenMounts {
        mounts: Vec<Mount>,
    },
    CloseFd {
        fd: RawFd,
    },
    ProcessRoot {
        pid: u32,
        cgroup: String,
    },
    Pipe,
    Find {
        root: String,
        path: String,
    },
    Pack {
        root: String,
        path: String,
        name: Option<String>,
        across: bool,
        maps: Option<IdMaps>,
        out: RawFd,
    },
    Extract {
        root: String,
        into: String,
        keep_kinds: bool,
        owner: Option<(u32, u32)>,
        maps: Option<IdMaps>,
        from: RawFd,
    },
    Differences {
        lower: Option<String>,
        upper: String,
        overlay: bool,
        since: Option<String>,
        snapshot: bool,
        own: Vec<String>,
    },
    ApplyLayer {
        root: String,
        layer: String,
        growing_to: Option<u64>,
        overlay: bool,
        lowers: Option<Vec<String>>,
    },
    DiffLayers {
        lower: Option<String>,
        upper: String,
        snapshot: bool,
        own: Vec<String>,
        into: String,
        media_type: String,
    },
    DiffOverlay {
        upper: String,
        since: Option<String>,
        own: Vec<String>,
        into: String,
        media_type: String,
    },
    CopyTree {
        from: String,
        to: String,
        exclude: Vec<String>,
    },
    CopyAttributes {
        from: String,
        to: String,
    },
    CopyInto {
        root: String,
        path: String,
        to: String,
        check: bool,
    },
    EmptyTree {
        path: String,
    },
    RemoveTree {
        path: String,
    },
    Usage {
        path: String,
    },
    SyncTree {
        path: String,
    },
    QuotaWorks {
        path: String,
    },
    LimitTree {
        paths: Vec<String>,
        bytes: u64,
    },
    UnlimitTree {
        path: String,
    },
    Relabel {
        path: String,
        label: String,
    },
    CreateSubvolume {
        path: String,
    },
    SnapshotSubvolume {
        from: String,
        to: String,
        read_only: bool,
    },
    DescribeSubvolume {
        path: String,
    },
    SetSubvolumeReadOnly {
        path: String,
        read_only: bool,
    },
    ListSubvolumes {
        path: String,
        most: usize,
    },
    RemoveSubvolumes {
        path: String,
        ids: Vec<u64>,
    },
    AwaitSubvolumes {
        path: String,
        ids: Vec<u64>,
        seconds: u32,
    },
    FlattenSubvolume {
        path: String,
    },
    SubvolumeUsage {
        path: String,
    },
    SubvolumeQuotas {
        path: String,
    },
    EnableSubvolumeQuotas {
        path: String,
    },
    LimitSubvolume {
        path: String,
        bytes: Option<u64>,
    },
    RemoveQuotaGroups {
        path: String,
        ids: Vec<u64>,
    },
    MapperTargets,
    MapDevice {
        name: String,
        row: block::Row,
        read_only: bool,
    },
    ReloadDevice {
        name: String,
        row: block::Row,
    },
    ResumeDevice {
        name: String,
    },
    UnmapDevice {
        name: String,
    },
    MessageDevice {
        name: String,
        message: String,
        suspended: Option<String>,
    },
    MappedDevice {
        name: String,
    },
    MappedDevices {
        prefix: String,
    },
    AttachLoop {
        file: String,
    },
    DiscardDevice {
        path: String,
    },
    GrowFileSystem {
        root: String,
        bytes: u64,
    },
    LimitGrowth {
        root: String,
        bytes: u64,
    },
    ProjectUsage {
        root: String,
    },
    CgroupLayout,
    CgroupPids {
        path: String,
    },
    CgroupStats {
        path: String,
    },
    CgroupUpdate {
        path: String,
        resources: Box<Resources>,
    },
    ProbeNetwork,
    EnsureBridge {
        bridge: Bridge,
    },
    AttachVeth {
        veth: Veth,
    },
    AttachMacvlan {
        macvlan: Macvlan,
    },
    MakeVlan {
        vlan: Vlan,
    },
    AttachLoopback {
        netns: String,
    },
    Links {
        prefix: String,
    },
    RemoveLink {
        name: String,
        netns: Option<String>,
    },
    Routes,
    Firewall {
        steps: Vec<firewall::Step>,
    },
    FirewallElements {
        table: String,
        set: firewall::Set,
    },
    FirewallTables {
        prefix: String,
    },
    ReservePort {
        protocol: String,
        address: String,
        port: u16,
    },
}

impl Request {
    pub fn run_text(text: &str, cancel: &Cancel) -> Result<Value> {
        serde_json::from_str::<Request>(text).map_err(malformed)?.run(cancel)
    }

    fn run(self, cancel: &Cancel) -> Result<Value> {
        match self {
            Request::OpenMounts { mounts } => held(open_held(&mounts)?),
            Request::ProcessRoot { pid, cgroup } => held(process_root(pid, &cgroup)?),
            Request::Pipe => pipe(),
            Request::Find { root, path } => found(layer::find(directory(&root)?.as_fd(), path.as_bytes())?),
            Request::Pack {
                root,
                path,
                name,
                across,
                maps,
                out,
            } => {
                // SAFETY: streams.ts hands over the writing end of a `Pipe`, and forgets it.
                let out = unsafe { File::from_raw_fd(out) };
                value(layer::pack(
                    directory(&root)?.as_fd(),
                    path.as_bytes(),
                    name.as_deref().map(str::as_bytes),
                    layer::Pack {
                        across,
                        maps: maps.as_ref(),
                    },
                    out,
                    cancel,
                )?)
            }
            Request::Extract {
                root,
                into,
                keep_kinds,
                owner,
                maps,
                from,
            } => {
                // SAFETY: streams.ts hands over the reading end of a `Pipe`, and forgets it.
                let from = unsafe { File::from_raw_fd(from) };
                let options = Extract { keep_kinds, owner, maps };
                value(layer::extract(directory(&root)?.as_fd(), into.as_bytes(), from, options, cancel)?)
            }
            Request::Differences {
                lower,
                upper,
                overlay,
                since,
                snapshot,
                own,
            } => {
                let [lower, since] = [lower, since].map(|path| path.map(|path| directory(&path)).transpose());
                let (lower, since) = (lower?, since?);
                let upper = directory(&upper)?;
                let touched = touched(snapshot, lower.as_ref(), &upper, cancel)?;
                let kind = match (overlay, &touched) {
                    (true, _) => Upper::Overlay {
                        since: since.as_ref().map(AsFd::as_fd),
                    },
                    (false, Some(touched)) => Upper::Snapshot(touched),
                    (false, None) => Upper::Whole,
                };
                value(layer::differences(
                    lower.as_ref().map(AsFd::as_fd),
                    upper.as_fd(),
                    kind,
                    &Own::new(&own),
                    cancel,
                )?)
            }
            Request::CloseFd { fd } => {
                // SAFETY: toolkit.ts, streams.ts and network.ts give back each descriptor of `OpenMounts`, `ProcessRoot`, `Pipe` and
                // `ReservePort` once.
                drop(unsafe { OwnedFd::from_raw_fd(fd) });
                value(())
            }
            Request::ApplyLayer {
                root,
                layer,
                growing_to,
                overlay,
                lowers,
            } => {
                let lowers = lowers
                    .map(|paths| paths.iter().map(|path| directory(path)).collect::<Result<Vec<OwnedFd>>>())
                    .transpose()?;
                let whiteouts = if overlay { Whiteouts::Overlay } else { Whiteouts::Remove };
                let options = Options { whiteouts, lowers };
                let root = directory(&root)?;
                value(match growing_to {
                    None => layer::apply(root.as_fd(), File::open(&layer).named("open", layer.as_bytes())?, options, cancel),
                    Some(size) => {
                        let file = layer::Growing::open(layer.as_ref(), size, cancel).named("open", layer.as_bytes())?;
                        layer::apply(root.as_fd(), file, options, cancel)
                    }
                }?)
            }
            Request::DiffLayers {
                lower,
                upper,
                snapshot,
                own,
                into,
                media_type,
            } => {
                let own = Own::new(&own);
                let lower = lower.map(|path| directory(&path)).transpose()?;
                let upper = directory(&upper)?;
                let touched = touched(snapshot, lower.as_ref(), &upper, cancel)?;
                create(&into, &media_type, |file, compression| match (&lower, &touched) {
                    (Some(lower), Some(touched)) => {
                        layer::diff_snapshot(lower.as_fd(), upper.as_fd(), touched, &own, file, compression, cancel)
                    }
                    _ => layer::diff(lower.as_ref().map(AsFd::as_fd), upper.as_fd(), &own, file, compression, cancel),
                })
            }
            Request::DiffOverlay {
                upper,
                since,
                own,
                into,
                media_type,
            } => {
                let own = Own::new(&own);
                let upper = directory(&upper)?;
                let since = since.map(|path| directory(&path)).transpose()?;
                create(&into, &media_type, |file, compression| match &since {
                    None => layer::diff_overlay(upper.as_fd(), &own, file, compression, cancel),
                    Some(since) => layer::diff_overlay_since(since.as_fd(), upper.as_fd(), &own, file, compression, cancel),
                })
            }
            Request::CopyTree { from, to, exclude } => copy(&from, &to, &exclude, cancel),
            Request::CopyAttributes { from, to } => {
                value(tree::copy_directory_attributes(directory(&from)?.as_fd(), directory(&to)?.as_fd())?)
            }
            Request::CopyInto { root, path, to, check } => value(copy_into(&root, &path, &to, check, cancel)?),
            Request::EmptyTree { path } => value(tree::empty(directory(&path)?.as_fd(), cancel)?),
            Request::RemoveTree { path } => value(tree::remove_tree(path.as_bytes(), cancel)?),
            Request::Usage { path } => value(tree::usage(directory(&path)?.as_fd(), cancel)?),
            Request::QuotaWorks { path } => value(quota::works(directory(&path)?.as_fd())?),
            Request::LimitTree { paths, bytes } => {
                let directories = paths.iter().map(|path| directory(path)).collect::<Result<Vec<OwnedFd>>>()?;
                value(quota::limit(&directories.iter().map(AsFd::as_fd).collect::<Vec<_>>(), bytes)?)
            }
            Request::UnlimitTree { path } => value(quota::unlimit(directory(&path)?.as_fd())?),
            Request::Relabel { path, label } => value(tree::relabel(path.as_bytes(), &label, cancel)?),
            Request::CreateSubvolume { path } => value(btrfs::create(path.as_bytes())?),
            Request::SnapshotSubvolume { from, to, read_only } => value(btrfs::snapshot(from.as_bytes(), to.as_bytes(), read_only)?),
            Request::DescribeSubvolume { path } => value(btrfs::describe(path.as_bytes())?),
            Request::SetSubvolumeReadOnly { path, read_only } => value(btrfs::set_read_only(path.as_bytes(), read_only)?),
            Request::ListSubvolumes { path, most } => value(btrfs::list(path.as_bytes(), most, cancel)?),
            Request::RemoveSubvolumes { path, ids } => value(btrfs::remove(path.as_bytes(), &ids, cancel)?),
            Request::AwaitSubvolumes { path, ids, seconds } => {
                let deadline = Duration::from_secs(seconds.into());
                value(btrfs::wait_until_gone(path.as_bytes(), &ids, deadline, cancel)?)
            }
            Request::FlattenSubvolume { path } => value(btrfs::flatten(path.as_bytes(), cancel)?),
            Request::SubvolumeUsage { path } => value(btrfs::usage(path.as_bytes(), cancel)?),
            Request::SubvolumeQuotas { path } => value(btrfs::quotas(path.as_bytes())?),
            Request::EnableSubvolumeQuotas { path } => value(btrfs::enable_quotas(path.as_bytes(), cancel)?),
            Request::LimitSubvolume { path, bytes } => value(btrfs::limit(path.as_bytes(), bytes)?),
            Request::RemoveQuotaGroups { path, ids } => value(btrfs::remove_groups(path.as_bytes(), &ids)?),
            Request::MapperTargets => value(block::targets()?),
            Request::MapDevice { name, row, read_only } => value(block::map(&name, &row, read_only)?),
            Request::ReloadDevice { name, row } => value(block::reload(&name, &row)?),
            Request::ResumeDevice { name } => value(block::resume(&name)?),
            Request::UnmapDevice { name } => value(block::unmap(&name)?),
            Request::MessageDevice {
                name,
                message,
                suspended: None,
            } => value(block::message(&name, &message)?),
            Request::MessageDevice {
                name,
                message,
                suspended: Some(quiet),
            } => value(block::suspended_message(&name, &message, &quiet)?),
            Request::MappedDevice { name } => value(block::status(&name)?),
            Request::MappedDevices { prefix } => value(block::devices(&prefix)?),
            Request::AttachLoop { file } => {
                let (fd, path) = block::attach(&file)?;
                value(json!({ "path": path, "hold": fd.into_raw_fd() }))
            }
            Request::DiscardDevice { path } => value(block::discard(&path, cancel)?),
            Request::GrowFileSystem { root, bytes } => value(block::grow(directory(&root)?.as_fd(), bytes)?),
            Request::ProjectUsage { root } => value(quota::project_usage(directory(&root)?.as_fd())?),
            Request::LimitGrowth { root, bytes } => value(quota::limit_growth(directory(&root)?.as_fd(), bytes)?),
            Request::SyncTree { path } => value(tree::sync(
                at::open_path(path.as_bytes(), libc::O_RDONLY)
                    .named("open", path.as_bytes())?
                    .as_fd(),
            )?),
            Request::ProbeNetwork => value(net::probe()?),
            Request::EnsureBridge { bridge } => value(net::ensure_bridge(&bridge)?),
            Request::AttachVeth { veth } => value(net::attach(&veth)?),
            Request::AttachMacvlan { macvlan } => value(net::attach_macvlan(&macvlan)?),
            Request::MakeVlan { vlan } => value(net::make_vlan(&vlan)?),
            Request::AttachLoopback { netns } => value(net::loopback(&netns)?),
            Request::Links { prefix } => value(net::links(&prefix)?),
            Request::RemoveLink { name, netns: None } => value(net::remove_link(&name)?),
            Request::RemoveLink { name, netns: Some(netns) } => value(net::remove_link_within(&netns, &name)?),
            Request::Routes => value(net::host_routes()?),
            Request::Firewall { steps } => value(firewall::commit(&steps)?),
            Request::FirewallElements { table, set } => value(firewall::elements(&table, &set)?),
            Request::FirewallTables { prefix } => value(firewall::tables(&prefix)?),
            Request::ReservePort { protocol, address, port } => {
                let (fd, port) = net::reserve_port(&protocol, &address, port)?;
                value(json!({ "reservation": fd.into_raw_fd(), "port": port }))
            }
            Request::CgroupLayout => value(Layout::discover()?.name()),
            Request::CgroupPids { path } => value(Cgroup::at(&path)?.pids()?),
            Request::CgroupStats { path } => value(existing(&path)?.stats()?),
            Request::CgroupUpdate { path, resources } => {
                let mut warnings = Vec::new();
                existing(&path)?.apply(&resources, &mut warnings)?;
                value(warnings)
            }
        }
    }
}

fn value<T: Serialize>(answer: T) -> Result<Value> {
    serde_json::to_value(answer).map_err(malformed)
}

fn existing(path: &str) -> Result<Cgroup> {
    let cgroup = Cgroup::at(path)?;
    if cgroup.exists() {
        Ok(cgroup)
    } else {
        Err(Failure::new(Code::NotFound, format!("there is no cgroup {path}")))
    }
}

fn held(held: Held) -> Result<Value> {
    let namespace = held.namespace.map(IntoRawFd::into_raw_fd);
    value(json!({ "root": held.root.into_raw_fd(), "namespace": namespace }))
}

/// A large buffer, so that reader and writer wake up less often.
const PIPE_SIZE: usize = 1 << 20;

/// Returns two descriptors, the reading end first.
fn pipe() -> Result<Value> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).call("pipe2", None)?;
    // If the host's limits refuse the size, the pipe stays smaller.
    let _ = fcntl_setpipe_size(&write, PIPE_SIZE);
    value(json!({ "read": read.into_raw_fd(), "write": write.into_raw_fd() }))
}

fn found(found: layer::Found) -> Result<Value> {
    let stat = &found.stat;
    value(json!({
        "mode": stat.0.st_mode,
        "size": stat.0.st_size,
        "mtime": { "seconds": stat.mtime().seconds, "nanoseconds": stat.mtime().nanoseconds },
        "target": found.target.map(|target| String::from_utf8_lossy(&target).into_owned()),
    }))
}

fn directory(path: &str) -> Result<OwnedFd> {
    at::open_path(path.as_bytes(), libc::O_RDONLY | libc::O_DIRECTORY).named("open", path.as_bytes())
}

fn touched(snapshot: bool, lower: Option<&OwnedFd>, upper: &OwnedFd, cancel: &Cancel) -> Result<Option<btrfs::Touched>> {
    match lower.filter(|_| snapshot) {
        Some(lower) => btrfs::Touched::of(lower.as_fd(), upper.as_fd(), cancel),
        None => Ok(None),
    }
}

/// Creates a file that must not exist yet, and removes it if writing fails.
fn create(into: &str, media_type: &str, write: impl FnOnce(File, Compression) -> Result<layer::Layer>) -> Result<Value> {
    let compression = Compression::of_media_type(media_type)?;
    let file = File::create_new(into).named("open", into.as_bytes())?;
    let written = write(file, compression);
    if written.is_err() {
        // Ignore this error: the first failure is the one that matters.
        let _ = std::fs::remove_file(into);
    }
    value(written?)
}

fn copy(from: &str, to: &str, exclude: &[String], cancel: &Cancel) -> Result<Value> {
    let exclude = exclude.iter().map(|path| path.as_bytes().to_vec()).collect();
    let source = directory(from)?;
    match std::fs::create_dir(to) {
        // A new subvolume, for example.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && is_empty(to)? => {}
        other => other.named("mkdir", to.as_bytes())?,
    }
    let copied = directory(to).and_then(|target| tree::copy_tree(source.as_fd(), target.as_fd(), &exclude, cancel));
    if copied.is_err() {
        let _ = tree::remove_tree(to.as_bytes(), &Cancel::default());
    }
    value(copied?)
}

fn is_empty(path: &str) -> Result<bool> {
    Ok(tree::list(directory(path)?.as_fd())
        .named("getdents64", path.as_bytes())?
        .is_empty())
}

/// Copies the directory at `path` below `root` into the empty directory `to`, which also gets its owner, mode and times. Returns what there
/// was to copy. `check`: copies nothing.
fn copy_into(root: &str, path: &str, to: &str, check: bool, cancel: &Cancel) -> Result<&'static str> {
    let source = match at::open_in_root(directory(root)?.as_fd(), path.as_bytes(), libc::O_RDONLY | libc::O_DIRECTORY) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => return Ok("nothing"),
        other => other.named("openat2", path.as_bytes())?,
    };
    let target = directory(to)?;
    if !is_empty(to)? {
        return Ok("nothing");
    }
    let content = !tree::list(source.as_fd()).named("getdents64", path.as_bytes())?.is_empty();
    if !check {
        tree::copy_tree(source.as_fd(), target.as_fd(), &Default::default(), cancel)?;
    }
    Ok(if content { "content" } else { "owner" })
}

/// Reads a regular file below `root`; links are resolved within `root`.
pub fn send_datagrams(path: &str, bytes: &[u8], lengths: &[u32], as_file: bool) -> Result<u32> {
    let mut rest = bytes;
    let mut all = Vec::with_capacity(lengths.len());
    for length in lengths {
        let Some((datagram, after)) = rest.split_at_checked(*length as usize) else {
            return Err(Failure::new(
                Code::InvalidArgument,
                "the lengths of the datagrams are more than their bytes",
            ));
        };
        all.push(datagram);
        rest = after;
    }
    datagrams::send(path, &all, as_file).map(|count| count as u32)
}

pub fn read_file(root: &str, path: &str, limit: u32) -> Result<Vec<u8>> {
    let named = |text: &str, code| Failure {
        path: Some(path.to_owned()),
        ..Failure::new(code, format!("{path}: {text}"))
    };
    let fd = at::open_in_root(
        directory(root)?.as_fd(),
        path.as_bytes(),
        libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY,
    )
    .named("openat2", path.as_bytes())?;
    if at::stat_fd(fd.as_fd()).named("stat", path.as_bytes())?.kind() != libc::S_IFREG {
        return Err(named("no regular file", Code::InvalidArgument));
    }
    let mut bytes = Vec::new();
    File::from(fd)
        .take(u64::from(limit) + 1)
        .read_to_end(&mut bytes)
        .named("read", path.as_bytes())?;
    if bytes.len() > limit as usize {
        return Err(named(&format!("more than {limit} bytes"), Code::ResourceExhausted));
    }
    Ok(bytes)
}
