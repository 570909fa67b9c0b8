//! Stage two, in the process that becomes the container's first: from its namespaces to the change of root. It never returns.

use crate::channel::{Channel, Message};
use crate::clock::Clock;
use crate::command;
use crate::hooks;
use crate::own_files;
use crate::process::{self, Last};
use crate::rootfs::Root;
use crate::stdio::Stdio;
use rustix::net::{SocketFlags, accept_with};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use tsbox_core::container::cgroup::Cgroup;
use tsbox_core::container::masks::{self, Mask};
use tsbox_core::container::mounts::{self, Place};
use tsbox_core::container::namespaces::{self, CGROUP, MOUNT, Namespaces, PID, USER};
use tsbox_core::container::procfs::Procfs;
use tsbox_core::container::spec::{Linux, Process, Spec};
use tsbox_core::container::terminal::{self, Terminal};
use tsbox_core::container::{devices, identity, pivot, sysctl};
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::mount::attach_all;
use tsbox_core::sys::mount::{self, Attributes};
use tsbox_core::sys::xattr;
use tsbox_core::sys::{self, Call, retry};
use tsbox_core::tree::root::Root as Tree;

/// The engine's annotation for `--init` (plugins/containers/src/spec/build.ts).
const REAPER: &str = "io.tsbox.init";

/// The values that the caller has prepared.
pub struct Init<'a> {
    pub id: &'a str,
    pub spec: &'a Spec,
    pub linux: &'a Linux,
    pub process: &'a Process,
    pub namespaces: &'a Namespaces,
    pub root: Root<'a>,
    /// The root, if only the caller could open it.
    pub opened_root: Option<OwnedFd>,
    /// The binds that only the caller could open, one entry per mount.
    pub early: Vec<Option<OwnedFd>>,
    pub stdio: Stdio,
    pub cgroup: &'a Cgroup,
    pub filter: Option<&'a [u8]>,
    pub filter_flags: u32,
    pub hold: Option<BorrowedFd<'a>>,
    pub gate: Option<BorrowedFd<'a>>,
    pub bundle: &'a str,
}

impl Init<'_> {
    /// Sets the out-of-memory score and enters the v1 cgroups, while the host's /sys and /proc are visible and the process still has the
    /// host's ids.
    pub fn enter_cgroup(&self, warnings: &mut Vec<String>) -> Result<()> {
        process::set_oom_score(self.process, warnings)?;
        self.cgroup.enter().map_err(|failure| failure.at("cgroup"))
    }
}

pub fn run(init: Init, mut channel: Channel) -> ! {
    let failure = match start(init, &mut channel) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    let _ = channel.send(&Message::Failed(failure.at("init")));
    process::leave(1)
}

fn start(mut init: Init, channel: &mut Channel) -> Result<std::convert::Infallible> {
    let mut clock = Clock::start();
    let mut warnings = Vec::new();
    process::begin(c"tsbox:[init]")?;
    if init.namespaces.joined(USER).is_none() {
        init.enter_cgroup(&mut warnings)?;
    }
    clock.lap("join cgroup");
    // Until it is forked in a pid namespace that it joins, the process is in the host's, and visible only in the host's /proc.
    let mut proc = init.namespaces.joined(PID).map(|_| Procfs::of_host()).transpose()?;
    enter_namespaces(&init, channel).map_err(|failure| failure.at("namespaces"))?;
    clock.lap("namespaces");

    // Opened while the host's /proc is mounted.
    let reaper = match init.spec.annotation(REAPER) {
        Some("true") => Some(sys::open("/proc/self/exe", libc::O_PATH).map_err(|failure| failure.at("init"))?),
        _ => None,
    };
    if let (Some(program), Some(label)) = (&reaper, init.linux.mount_label.as_deref().filter(|label| !label.is_empty())) {
        show_to_all(program.as_fd(), label);
    }
    pivot::isolate().map_err(|failure| failure.at("rootfs"))?;
    let root = open_root(&mut init).map_err(|failure| failure.at("rootfs"))?;
    clock.lap("rootfs");
    mount_all(&mut init, &root, &mut clock)?;
    let terminal = open_terminal(&init, &root, channel).map_err(|failure| failure.at("terminal"))?;
    if let Some(hooks) = &init.spec.hooks
        && (hooks.prestart.len() + hooks.create_runtime.len() + hooks.create_container.len() > 0)
    {
        channel.send(&Message::Mounted)?;
        channel.await_go_on()?;
        let pid = std::process::id() as i32;
        hooks::run(
            "createContainer",
            &hooks.create_container,
            &hooks::State::new(init.spec, init.id, "creating", pid, init.bundle),
        )?;
    }
    confine(&init, &root, proc.as_ref())?;
    clock.lap("masks");
    pivot::pivot(root.fd()).map_err(|failure| failure.at("pivot_root"))?;
    if let Some((propagation, recursive)) = init.linux.rootfs_propagation.as_deref().and_then(mounts::propagation) {
        let top = sys::open("/", libc::O_PATH | libc::O_DIRECTORY)?;
        mount::set_attributes(
            top.as_fd(),
            Attributes {
                propagation,
                ..Attributes::default()
            },
            recursive,
        )
        .map_err(|failure| failure.at("rootfs"))?;
    }
    clock.lap("pivot_root");
    name_host(&init).map_err(|failure| failure.at("hostname"))?;
    identity::join_session_keyring(&format!("_ses.{}", init.id));

    match (&terminal, init.stdio) {
        (Some(terminal), _) => terminal.lend(init.process.user.uid).map_err(|failure| failure.at("terminal"))?,
        (None, Stdio::Fds(fds)) => terminal::redirect(fds).map_err(|failure| failure.at("stdio"))?,
        (None, Stdio::Terminal { .. }) => {}
    }
    if init.gate.is_some() || reaper.is_some() {
        command::find_command(init.process)?;
    }
    if let Some(hold) = init.hold {
        wait_for_release(hold).map_err(|failure| failure.at("hold"))?;
        clock.lap("hold");
    }
    let joined = init.namespaces.joined(PID);
    let with_terminal = terminal.is_some();
    drop((root, terminal));
    if let Some(gate) = init.gate {
        if let Some(namespace) = joined {
            // The process that waits at the gate is the one that `create` reports.
            drop(proc.take());
            process::be_born_in(namespace, channel, gate, reaper.as_ref().map(AsFd::as_fd))?;
        }
        wait_at(gate, channel, &mut warnings)?;
        clock.reset();
    }
    if let Some(hooks) = init.spec.hooks.as_ref().filter(|hooks| !hooks.start_container.is_empty()) {
        hooks::run(
            "startContainer",
            &hooks.start_container,
            &hooks::State::new(init.spec, init.id, "created", 1, init.bundle),
        )?;
    }
    let last = Last {
        process: init.process,
        filter: init.filter,
        filter_flags: init.filter_flags,
        terminal: with_terminal,
        reaper: reaper.as_ref().map(AsFd::as_fd),
        procfs: proc.as_ref(),
    };
    match joined.filter(|_| init.gate.is_none()) {
        Some(namespace) => {
            namespaces::join(namespace, PID).map_err(|failure| failure.at("namespaces"))?;
            process::become_and_exec_inside(&last, channel, warnings, clock, "init")
        }
        None => process::become_and_exec(&last, channel, warnings, clock),
    }
}

/// Labels the sealed copy of this program, which cannot be written to, so that every container may execute it. A kernel without SELinux has
/// no such attribute.
fn show_to_all(program: BorrowedFd, label: &str) {
    let mut parts = label.splitn(4, ':');
    if let (Some(user), Some(role), Some(kind)) = (parts.next(), parts.next(), parts.next()) {
        let _ = xattr::set_opened(program, b"security.selinux", format!("{user}:{role}:{kind}:s0").as_bytes());
    }
}

fn enter_namespaces(init: &Init, channel: &Channel) -> Result<()> {
    let wanted = init.namespaces;
    if wanted.new & USER != 0 {
        channel.send(&Message::Unmapped)?;
        channel.await_go_on()?;
        process::become_root()?;
    }
    for (kind, namespace) in &wanted.join {
        if *kind != USER && *kind != PID {
            namespaces::join(namespace.as_fd(), *kind)?;
        }
    }
    // If one of these namespaces is joined, the caller's isolation would be undone. So the container gets a private copy of it.
    if wanted.new & MOUNT == 0 {
        namespaces::unshare(MOUNT)?;
    }
    if wanted.new & CGROUP != 0 {
        namespaces::unshare(CGROUP)?;
    }
    process::new_session()
}

/// Attaches the root over `/`, which needs no directory of the host, or at the path where hooks expect it. Until it pivots, the process
/// still looks up paths below the old root.
fn open_root(init: &mut Init) -> Result<Tree> {
    let place = match init.root {
        Root::Mounts(_) if !init.bundle.is_empty() => Path::new(init.bundle).join("rootfs"),
        _ => PathBuf::from("/"),
    };
    let tree = match (init.opened_root.take(), init.root) {
        (Some(tree), _) => {
            mount::attach(tree.as_fd(), &place)?;
            tree
        }
        (None, Root::Path(path)) => {
            let tree = mount::clone_tree(path, true)?;
            // The tree must not be a peer of the host's: mounts below it belong to the container only.
            mount::set_attributes(
                tree.as_fd(),
                Attributes {
                    propagation: libc::MS_PRIVATE,
                    ..Attributes::default()
                },
                false,
            )?;
            mount::attach(tree.as_fd(), &place)?;
            tree
        }
        (None, Root::Mounts(mounts)) => attach_all(mounts, &place)?,
    };
    Ok(Tree::new(tree))
}

fn mount_all(init: &mut Init, root: &Tree, clock: &mut Clock) -> Result<()> {
    if init.spec.annotation(own_files::OWN_FILES) == Some("true") {
        own_files::make(root);
    }
    let place = Place {
        root,
        cgroup: Some(init.cgroup),
        cgroup_namespace: init.namespaces.separate(CGROUP),
        label: init.linux.mount_label.as_deref(),
    };
    mounts::mount_all(&place, &init.spec.mounts, std::mem::take(&mut init.early)).map_err(|failure| failure.at("mounts"))?;
    clock.lap("mounts");
    // A /dev that is the host's, or a volume, stays unchanged.
    let own = |at: &tsbox_core::container::spec::OciMount| {
        at.destination.trim_end_matches('/') == "/dev" && mounts::Options::parse(&at.options).bind
    };
    if !init.spec.mounts.iter().any(own) {
        devices::make(root, &init.linux.devices, init.namespaces.separate(USER)).map_err(|failure| failure.at("devices"))?;
    }
    if init.process.cwd.len() > 1 {
        // runc does this, too. If a read-only root lacks the directory, the chdir fails.
        let _ = root.make_directory(&init.process.cwd, 0o755);
    }
    clock.lap("devices");
    Ok(())
}

fn open_terminal(init: &Init, root: &Tree, channel: &Channel) -> Result<Option<Terminal>> {
    let Stdio::Terminal { rows, columns } = init.stdio else {
        return Ok(None);
    };
    let terminal = Terminal::open(root)?;
    if rows > 0 && columns > 0 {
        terminal.resize(rows, columns)?;
    }
    terminal.as_console(root)?;
    channel.send_with(&Message::Console, terminal.master.as_fd())?;
    Ok(Some(terminal))
}

/// Applies sysctls and hides or protects paths of the container.
fn confine(init: &Init, root: &Tree, proc: Option<&Procfs>) -> Result<()> {
    if !init.linux.sysctl.is_empty() {
        let own;
        let proc = match proc {
            Some(proc) => proc,
            None => {
                own = Procfs::detached().map_err(|failure| failure.at("sysctl"))?;
                &own
            }
        };
        for (name, value) in &init.linux.sysctl {
            sysctl::write(proc, name, value, init.namespaces).map_err(|failure| failure.at("sysctl"))?;
        }
    }
    let with_path = |path: &str, failure: Failure| {
        Failure {
            message: format!("{path}: {}", failure.message),
            path: Some(path.to_owned()),
            ..failure
        }
        .at("masks")
    };
    for path in &init.linux.readonly_paths {
        masks::make_read_only(root, path).map_err(|failure| with_path(path, failure))?;
    }
    if !init.linux.masked_paths.is_empty() {
        let mut mask = Mask::open().map_err(|failure| failure.at("masks"))?;
        for path in &init.linux.masked_paths {
            mask.cover(root, path).map_err(|failure| with_path(path, failure))?;
        }
    }
    if init.spec.root.as_ref().is_some_and(|root| root.readonly) {
        mount::set_attributes(
            root.fd(),
            Attributes {
                set: mount::RDONLY,
                ..Attributes::default()
            },
            false,
        )
        .map_err(|failure| failure.at("rootfs"))?;
    }
    Ok(())
}

fn name_host(init: &Init) -> Result<()> {
    if let Some(name) = init.spec.hostname.as_deref().filter(|name| !name.is_empty()) {
        identity::set_host_name(name)?;
    }
    match init.spec.domainname.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => identity::set_domain_name(name),
        None => Ok(()),
    }
}

/// Waits while the caller prepares other parts, such as the network. The caller may also cancel the start.
pub(crate) fn wait_for_release(hold: BorrowedFd) -> Result<()> {
    match retry(|| rustix::io::read(hold, &mut [0u8; 1])).call("read", None)? {
        0 => Err(Failure::new(Code::FailedPrecondition, "the start was given up")),
        _ => Ok(()),
    }
}

/// `create` ends here. `start` connects, and the rest of the conversation uses that connection.
fn wait_at(gate: BorrowedFd, channel: &mut Channel, warnings: &mut Vec<String>) -> Result<()> {
    process::outlive_parent()?;
    channel.send(&Message::Ready {
        warnings: std::mem::take(warnings),
    })?;
    let accepted = retry(|| accept_with(gate, SocketFlags::CLOEXEC)).call("accept", None)?;
    *channel = Channel::of(accepted);
    Ok(())
}
