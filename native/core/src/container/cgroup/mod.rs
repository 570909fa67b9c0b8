//! A container's cgroups: one directory per v1 hierarchy, one in the unified hierarchy (v2), or both (hybrid).
//!
//! Moving a process is expensive: a pid that is written to `cgroup.procs` of v1 waits for a grace period, 5 to 23 ms. A single-threaded
//! process that writes `0` to its own `tasks` files does not wait (0.2 ms for all hierarchies), and `CLONE_INTO_CGROUP` creates a process
//! in the right v2 directory. So the container's processes enter their cgroups themselves ([`Cgroup::enter`]). On hybrid the v2 directory
//! has no relevant controller, but it has `cgroup.kill`, `cgroup.freeze` and `cgroup.events`, which v1 lacks.

mod devices;
mod memory_watch;
mod stats;
mod v1;
mod v2;

use super::spec::Resources;
use crate::failure::{Code, Failure, Result};
use crate::sys;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

pub use memory_watch::MemoryWatch;
pub use stats::{Block, Stats};

const MOUNT: &str = "/sys/fs/cgroup";

/// The cgroup layout of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    V1 {
        hierarchies: Vec<Hierarchy>,
        unified: Option<PathBuf>,
    },
    V2 {
        root: PathBuf,
    },
}

/// A mounted v1 hierarchy. `name` is the name of its directory: its controllers, separated by commas, or `systemd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    pub name: String,
    pub path: PathBuf,
}

impl Layout {
    /// Reads only /sys/fs/cgroup: a dozen system calls, however many mounts this host has.
    pub fn discover() -> Result<Layout> {
        let top = sys::open(MOUNT, libc::O_PATH | libc::O_DIRECTORY)?;
        if sys::file_system(top.as_fd())? == sys::CGROUP2_MAGIC {
            return Ok(Layout::V2 {
                root: PathBuf::from(MOUNT),
            });
        }
        let (mut hierarchies, mut unified) = (Vec::new(), None);
        let entries = std::fs::read_dir(MOUNT).map_err(|error| Failure::io(&error, "readdir", Some(MOUNT)))?;
        for entry in entries.flatten() {
            // `cpu` next to `cpu,cpuacct` is a link.
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let directory = sys::open_at(top.as_fd(), &name, libc::O_PATH | libc::O_DIRECTORY)?;
            match sys::file_system(directory.as_fd())? {
                sys::CGROUP_MAGIC => hierarchies.push(Hierarchy { name, path: entry.path() }),
                sys::CGROUP2_MAGIC => unified = Some(entry.path()),
                _ => {}
            }
        }
        if hierarchies.is_empty() && unified.is_none() {
            return Err(Failure::new(
                Code::Unsupported,
                format!("no cgroup hierarchy is mounted below {MOUNT}"),
            ));
        }
        hierarchies.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Layout::V1 { hierarchies, unified })
    }

    /// The layout's name in `HostToolkit.cgroups.layout`.
    pub fn name(&self) -> &'static str {
        match self {
            Layout::V1 { unified: None, .. } => "v1",
            Layout::V1 { .. } => "hybrid",
            Layout::V2 { .. } => "v2",
        }
    }
}

/// The cgroups of one container.
#[derive(Clone, Debug)]
pub struct Cgroup {
    layout: Layout,
    /// The path below each hierarchy's mount point, without leading slash.
    relative: PathBuf,
    /// The directory did not exist before.
    created: bool,
}

impl Cgroup {
    /// Makes the directories of `linux.cgroupsPath` and sets the limits. If that fails, it removes what it made. `own`: only this container
    /// uses these directories, so the directories and processes of an earlier start are removed first.
    pub fn create(path: &str, resources: Option<&Resources>, own: bool, warnings: &mut Vec<String>) -> Result<Cgroup> {
        let mut cgroup = Cgroup::at(path)?;
        cgroup.created = !cgroup.exists();
        if own && !cgroup.created {
            cgroup.clear()?;
            cgroup.created = true;
        }
        let made = cgroup.make().and_then(|()| match resources {
            Some(resources) => cgroup
                .apply(resources, warnings)
                .and_then(|()| cgroup.restrict_devices(resources, warnings)),
            None => Ok(()),
        });
        match made {
            Ok(()) => Ok(cgroup),
            Err(failure) => {
                if cgroup.created {
                    let _ = cgroup.remove();
                }
                Err(failure)
            }
        }
    }

    /// The cgroups that another runtime is about to make. What an earlier start has left there is removed; they are this container's alone.
    pub fn vacated(path: &str) -> Result<Cgroup> {
        let mut cgroup = Cgroup::at(path)?;
        if cgroup.exists() {
            cgroup.clear()?;
        }
        cgroup.created = true;
        Ok(cgroup)
    }

    /// Existing cgroups, for example those of a container that a new process found again.
    pub fn at(path: &str) -> Result<Cgroup> {
        if path.contains(':') {
            let what = format!("cgroup path {path} is of systemd's form (slice:prefix:name): only cgroupfs paths are supported");
            return Err(Failure::new(Code::Unsupported, what));
        }
        let relative = PathBuf::from(path.trim_matches('/'));
        let plain = relative.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if relative.as_os_str().is_empty() || !plain {
            return Err(Failure::new(
                Code::InvalidArgument,
                format!("cgroup path {path:?} must name a directory below the hierarchy's root, without `..`"),
            ));
        }
        Ok(Cgroup {
            layout: Layout::discover()?,
            relative,
            created: false,
        })
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// True: [`Cgroup::create`] made it, so the caller removes it after a later failure.
    pub fn is_ours(&self) -> bool {
        self.created
    }

    /// All its directories: on v1 one per hierarchy, and the unified one last.
    pub fn directories(&self) -> impl Iterator<Item = PathBuf> {
        let roots = match &self.layout {
            Layout::V2 { root } => vec![root.clone()],
            Layout::V1 { hierarchies, unified } => hierarchies
                .iter()
                .map(|hierarchy| hierarchy.path.clone())
                .chain(unified.clone())
                .collect(),
        };
        roots.into_iter().map(|root| root.join(&self.relative))
    }

    pub fn directory_in(&self, hierarchy: &Hierarchy) -> PathBuf {
        hierarchy.path.join(&self.relative)
    }

    /// The directory of cgroup v2, if there is one.
    pub fn unified(&self) -> Option<PathBuf> {
        match &self.layout {
            Layout::V2 { root } => Some(root.join(&self.relative)),
            Layout::V1 { unified, .. } => unified.as_ref().map(|root| root.join(&self.relative)),
        }
    }

    /// The v1 directory of a controller.
    fn controller(&self, name: &str) -> Option<PathBuf> {
        let Layout::V1 { hierarchies, .. } = &self.layout else {
            return None;
        };
        hierarchies
            .iter()
            .find(|one| one.name.split(',').any(|part| part == name))
            .map(|one| self.directory_in(one))
    }

    /// The directory that reliably lists all processes of the cgroup.
    fn list(&self) -> Option<PathBuf> {
        self.unified().or_else(|| self.directories().next())
    }

    pub fn exists(&self) -> bool {
        self.directories().any(|directory| directory.exists())
    }

    /// Removes the cgroup of an earlier start. A directory in which `cgroup.kill` was used can't be used again: Linux 6.18 kills each
    /// process that is created in it (CLONE_INTO_CGROUP).
    fn clear(&self) -> Result<()> {
        self.kill_all(libc::SIGKILL)?;
        self.remove().map_err(|failure| match failure.errno {
            Some(libc::EBUSY) => Failure {
                code: Code::FailedPrecondition,
                message: format!(
                    "processes of its last start are still in its cgroup, and can't be killed: {}",
                    failure.message
                ),
                ..failure
            },
            _ => failure,
        })
    }

    fn make(&self) -> Result<()> {
        if let Layout::V1 { hierarchies, .. } = &self.layout {
            for hierarchy in hierarchies {
                let directory = self.directory_in(hierarchy);
                make_directory(&directory)?;
                if hierarchy.name.split(',').any(|name| name == "cpuset") {
                    v1::inherit_cpuset(&hierarchy.path, &self.relative)?;
                }
            }
        }
        if let Layout::V2 { root } = &self.layout {
            v2::delegate(root, &self.relative)?;
        }
        self.unified().map_or(Ok(()), |directory| make_directory(&directory))
    }

    /// Sets limits, at the start and later. Device rules are set once, by [`Cgroup::create`].
    pub fn apply(&self, resources: &Resources, warnings: &mut Vec<String>) -> Result<()> {
        match &self.layout {
            Layout::V1 { .. } => v1::apply(self, resources, warnings),
            Layout::V2 { root } => v2::apply(&root.join(&self.relative), resources, warnings),
        }
    }

    fn restrict_devices(&self, resources: &Resources, warnings: &mut Vec<String>) -> Result<()> {
        if resources.devices.is_empty() {
            return Ok(());
        }
        let rules = devices::rules(&resources.devices)?;
        match (&self.layout, self.controller("devices")) {
            (Layout::V2 { root }, _) => devices::attach(&root.join(&self.relative), &rules),
            (_, Some(directory)) => devices::write(&directory, &rules),
            (_, None) => {
                warnings.push("this host has no cgroup controller for devices: device rules are not enforced".to_owned());
                Ok(())
            }
        }
    }

    /// The v2 directory in which CLONE_INTO_CGROUP creates a process.
    pub fn entrance(&self) -> Result<Option<OwnedFd>> {
        let open = |directory: PathBuf| sys::open(&directory.to_string_lossy(), libc::O_RDONLY | libc::O_DIRECTORY);
        self.unified().map(open).transpose()
    }

    /// Moves the calling, single-threaded process into the v1 directories. The host's /sys/fs/cgroup must be visible.
    pub fn enter(&self) -> Result<()> {
        let Layout::V1 { hierarchies, .. } = &self.layout else {
            return Ok(());
        };
        for hierarchy in hierarchies {
            put(&self.directory_in(hierarchy).join("tasks"), "0")?;
        }
        Ok(())
    }

    /// All processes in the cgroup and below it.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let mut pids = Vec::new();
        if let Some(directory) = self.list() {
            collect_pids(&directory, &mut pids)?;
        }
        Ok(pids)
    }

    /// Sends a signal to all processes. SIGKILL leaves no process, even if some fork meanwhile.
    pub fn kill_all(&self, signal: i32) -> Result<()> {
        if signal == libc::SIGKILL
            && let Some(directory) = self.unified()
        {
            match put(&directory.join("cgroup.kill"), "1") {
                Ok(()) => return Ok(()),
                Err(failure) if failure.code == Code::NotFound && !directory.exists() => return Ok(()),
                // This file exists since Linux 5.14.
                Err(failure) if failure.code == Code::NotFound => {}
                Err(failure) => return Err(failure),
            }
        }
        // Each round kills the processes that exist. New processes that fork faster than that are killed by the next round.
        let rounds = if signal == libc::SIGKILL { 32 } else { 1 };
        for _ in 0..rounds {
            let pids = self.pids()?;
            if pids.is_empty() {
                break;
            }
            for pid in pids {
                // The process may have ended meanwhile, which is no failure.
                let _ = sys::process::kill(pid, signal);
            }
        }
        Ok(())
    }

    pub fn freeze(&self) -> Result<()> {
        match self.unified() {
            Some(directory) => v2::freeze(&directory, true),
            None => v1::freeze(&self.freezer()?, true),
        }
    }

    pub fn thaw(&self) -> Result<()> {
        match self.unified() {
            Some(directory) => v2::freeze(&directory, false),
            None => v1::freeze(&self.freezer()?, false),
        }
    }

    pub fn is_frozen(&self) -> bool {
        match self.unified() {
            Some(directory) => get(&directory.join("cgroup.freeze")).is_ok_and(|state| state.trim() == "1"),
            None => self
                .freezer()
                .and_then(|directory| get(&directory.join("freezer.state")))
                .is_ok_and(|state| state.trim() != "THAWED"),
        }
    }

    fn freezer(&self) -> Result<PathBuf> {
        self.controller("freezer")
            .ok_or_else(|| Failure::new(Code::Unsupported, "this host has no cgroup freezer"))
    }

    /// Whether the kernel has killed a process of the cgroup because memory ran out.
    pub fn oom_killed(&self) -> bool {
        self.oom_kills() > 0
    }

    /// How many processes the kernel has killed because memory ran out.
    pub fn oom_kills(&self) -> u64 {
        let file = match (&self.layout, self.controller("memory")) {
            (Layout::V2 { root }, _) => root.join(&self.relative).join("memory.events"),
            (_, Some(directory)) => directory.join("memory.oom_control"),
            (_, None) => return 0,
        };
        get(&file).map_or(0, |text| stats::field(&text, "oom_kill"))
    }

    /// A watch that reports with poll(2) when memory has run out; None: no controller counts memory.
    pub fn watch_memory(&self) -> Option<MemoryWatch> {
        match &self.layout {
            Layout::V2 { root } => MemoryWatch::of_v2(&root.join(&self.relative)),
            Layout::V1 { .. } => self.controller("memory").and_then(|directory| MemoryWatch::of_v1(&directory)),
        }
    }

    pub fn stats(&self) -> Result<Stats> {
        stats::read(self)
    }

    /// Removes the directories and those below them. Waits up to two seconds for processes that are exiting, then fails with `Unavailable`.
    pub fn remove(&self) -> Result<()> {
        if let Some(directory) = self.unified() {
            v2::await_empty(&directory, REMOVE_TIMEOUT);
        }
        let begun = std::time::Instant::now();
        for directory in self.directories() {
            loop {
                match remove_tree(&directory) {
                    // v1 does not report when the last process has left: a dying task leaves the list before it leaves the group.
                    Err(failure) if failure.errno == Some(libc::EBUSY) && begun.elapsed() < REMOVE_TIMEOUT => {
                        std::thread::sleep(std::time::Duration::from_millis(1));
                    }
                    Err(failure) => return Err(failure),
                    Ok(()) => break,
                }
            }
        }
        Ok(())
    }
}

const REMOVE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// The v2 cgroup that a process is in now, below the hierarchy's mount point: a container may have moved its processes to a subgroup.
pub fn unified_of(pid: i32, layout: &Layout) -> Result<Option<PathBuf>> {
    let root = match layout {
        Layout::V2 { root } => root,
        Layout::V1 { unified: Some(root), .. } => root,
        Layout::V1 { .. } => return Ok(None),
    };
    let text = get(Path::new(&format!("/proc/{pid}/cgroup")))?;
    Ok(text
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .map(|relative| root.join(relative)))
}

fn collect_pids(directory: &Path, pids: &mut Vec<i32>) -> Result<()> {
    match get(&directory.join("cgroup.procs")) {
        Ok(text) => pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0)),
        Err(failure) if matches!(failure.errno, Some(libc::ENOENT | libc::ENODEV)) => return Ok(()),
        // A threaded v2 group lists its processes at its domain.
        Err(failure) if failure.errno == Some(libc::EOPNOTSUPP) => {}
        Err(failure) => return Err(failure),
    }
    for child in children(directory) {
        collect_pids(&child, pids)?;
    }
    Ok(())
}

fn remove_tree(directory: &Path) -> Result<()> {
    match remove_directory(directory) {
        // A directory with subdirectories also returns EBUSY.
        Err(failure) if failure.errno == Some(libc::EBUSY) => {
            for child in children(directory) {
                remove_tree(&child)?;
            }
            remove_directory(directory)
        }
        answer => answer,
    }
}

fn remove_directory(directory: &Path) -> Result<()> {
    match std::fs::remove_dir(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::io(&error, "rmdir", Some(&directory.to_string_lossy()))),
        _ => Ok(()),
    }
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn make_directory(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory).map_err(|error| Failure::io(&error, "mkdir", Some(&directory.to_string_lossy())))
}

/// Writes one value to a control file.
fn put(file: &Path, value: &str) -> Result<()> {
    let shown = file.to_string_lossy();
    let fd = sys::open(&shown, libc::O_WRONLY)?;
    sys::write(fd.as_fd(), value.as_bytes(), &shown).map_err(|failure| {
        let (name, errno) = (
            file.file_name().unwrap_or_default().to_string_lossy(),
            failure.errno.unwrap_or_default(),
        );
        let why = std::io::Error::from_raw_os_error(errno);
        Failure {
            message: format!("the kernel refuses {value:?} for the cgroup's {name}: {why}"),
            ..failure
        }
    })
}

fn get(file: &Path) -> Result<String> {
    let shown = file.to_string_lossy();
    sys::read(sys::open(&shown, libc::O_RDONLY)?.as_fd(), &shown)
}
