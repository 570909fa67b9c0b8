//! The environment of one test case: a directory with a busybox root, and cgroups named after it. Nothing of either is left afterwards.

use serde_json::{Value, json};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use tsbox_core::container::spec::{self, Spec};
use tsbox_core::failure::Result;
use tsbox_core::mount::Mount;
use tsbox_runtime::{Launch, Root, Started, Stdio, launch};

pub struct World {
    pub directory: PathBuf,
    /// The image; containers write to an overlay's upper directory.
    pub rootfs: PathBuf,
    /// Whether the next container removes what an earlier container of this world left in its cgroups.
    pub owns_cgroup: std::cell::Cell<bool>,
    id: String,
    outputs: std::cell::RefCell<Vec<(i32, Pipes)>>,
}

#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

static NEXT: AtomicU32 = AtomicU32::new(0);
const APPLETS: [&str; 24] = [
    "cat", "chroot", "echo", "find", "grep", "head", "hostname", "id", "kill", "ls", "mkdir", "mknod", "mount", "readlink", "sh", "sleep",
    "sort", "stat", "stty", "tail", "touch", "tr", "tty", "wc",
];

impl World {
    pub fn possible() -> std::result::Result<(), &'static str> {
        // SAFETY: no arguments.
        if unsafe { libc::geteuid() } != 0 {
            return Err("needs root");
        }
        if !Path::new("/bin/busybox").exists() {
            return Err("needs busybox-static");
        }
        Ok(())
    }

    pub fn new() -> World {
        // This process becomes the parent of orphans of the command line's containers.
        // SAFETY: plain numbers.
        unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
        let id = format!("tsbox-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(&id);
        let rootfs = directory.join("image");
        for name in ["bin", "dev", "etc", "proc", "root", "sys", "tmp"] {
            std::fs::create_dir_all(rootfs.join(name)).unwrap();
        }
        std::fs::copy("/bin/busybox", rootfs.join("bin/busybox")).unwrap();
        for applet in APPLETS.iter().chain(&["pwd", "true", "umask"]) {
            std::os::unix::fs::symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
        }
        std::fs::write(rootfs.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
        World {
            directory,
            rootfs,
            owns_cgroup: std::cell::Cell::default(),
            id,
            outputs: std::cell::RefCell::default(),
        }
    }

    /// A spec like Docker's for a container that runs a script.
    pub fn spec(&self, script: &str) -> Value {
        let capabilities = json!([
            "CAP_CHOWN",
            "CAP_KILL",
            "CAP_SETUID",
            "CAP_SETGID",
            "CAP_MKNOD",
            "CAP_SYS_CHROOT",
            "CAP_DAC_OVERRIDE"
        ]);
        let namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup"]
            .map(|kind| json!({ "type": kind }))
            .to_vec();
        json!({
            "ociVersion": "1.2.0",
            "hostname": "inside",
            "root": { "path": "image" },
            "process": {
                "args": ["/bin/sh", "-c", script], "env": ["PATH=/bin"], "cwd": "/", "user": { "uid": 0, "gid": 0 },
                "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities },
            },
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] },
                { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
                { "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
                { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] },
                { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "ro"] },
                { "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"] },
            ],
            "linux": {
                "cgroupsPath": format!("/{}", self.id),
                "namespaces": namespaces,
                "maskedPaths": ["/proc/keys", "/sys/firmware", "/not/there"],
                "readonlyPaths": ["/proc/sys", "/proc/irq", "/not/there"],
            },
        })
    }

    pub fn launch(&self, spec: &Value, stdio: Stdio) -> Result<Started> {
        self.launch_held(spec, stdio, None)
    }

    /// `hold`: see `Launch::hold`.
    pub fn launch_held(&self, spec: &Value, stdio: Stdio, hold: Option<BorrowedFd>) -> Result<Started> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let at = |name: &str| self.directory.join(format!("{name}-{number}"));
        for name in ["upper", "work"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        let options = vec![
            format!("lowerdir+={}", self.rootfs.display()),
            format!("upperdir={}", at("upper").display()),
            format!("workdir={}", at("work").display()),
        ];
        let root = [Mount {
            type_: "overlay".into(),
            source: "overlay".into(),
            target: None,
            options,
            id_maps: None,
        }];
        let spec: Spec = spec::parse(spec.to_string().as_bytes())?;
        launch(&Launch {
            id: &self.id,
            spec: &spec,
            root: Root::Mounts(&root),
            stdio,
            seccomp: None,
            hold,
            bundle: "",
            owns_cgroup: self.owns_cgroup.get(),
        })
    }

    pub fn try_start(&self, spec: &Value) -> Result<Started> {
        let pipes = self.pipes();
        let started = self.launch(spec, pipes.stdio())?;
        self.keep(&started, pipes);
        Ok(started)
    }

    /// Keeps the container's output for `end`.
    pub fn keep(&self, started: &Started, pipes: Pipes) {
        self.outputs.borrow_mut().push((started.pid, pipes));
    }

    pub fn start(&self, script: &str) -> Started {
        self.try_start(&self.spec(script)).unwrap()
    }

    pub fn run(&self, script: &str) -> Ran {
        self.end(self.start(script))
    }

    /// Waits only for the first process.
    pub fn wait(&self, started: &Started) -> i32 {
        let code = reap(started.pid);
        let _ = started.cgroup.kill_all(libc::SIGKILL);
        code
    }

    /// Waits for the first process unless that is already done, and removes the cgroups.
    pub fn end(&self, started: Started) -> Ran {
        let at = self.outputs.borrow().iter().position(|(pid, _)| *pid == started.pid);
        let pipes = at.map(|at| self.outputs.borrow_mut().remove(at).1);
        let ran = match pipes {
            Some(pipes) => self.collect(started.pid, pipes),
            None => Ran {
                code: reap(started.pid),
                stdout: String::new(),
                stderr: String::new(),
            },
        };
        started.cgroup.remove().unwrap();
        ran
    }

    pub fn collect(&self, pid: i32, pipes: Pipes) -> Ran {
        drop((pipes.stdin, pipes.stdout.1, pipes.stderr.1));
        // The output of each case fits a pipe, so the pipes can be read one after the other.
        let (stdout, stderr) = (read_all(pipes.stdout.0), read_all(pipes.stderr.0));
        Ran {
            code: reap(pid),
            stdout,
            stderr,
        }
    }

    pub fn pipes(&self) -> Pipes {
        Pipes {
            stdin: std::fs::File::open("/dev/null").unwrap().into(),
            stdout: pipe(),
            stderr: pipe(),
        }
    }

    pub fn bundle(&self, spec: &Value) -> String {
        std::fs::write(self.directory.join("config.json"), spec.to_string()).unwrap();
        self.directory.display().to_string()
    }

    pub fn cli(&self, words: &[&str]) -> Ran {
        let root = self.directory.join("state").display().to_string();
        command(&runtime(), &[&["--root", &root], words].concat())
    }

    /// The exit code of an orphan that became a child of this process.
    pub fn await_child(&self, pid: i32) -> i32 {
        reap(pid)
    }

    pub fn reap_strangers(&self) {
        // SAFETY: no status is asked for.
        while unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } > 0 {}
    }

    pub fn assert_nothing_left(&self) {
        let left: Vec<PathBuf> = cgroups(&self.id);
        assert!(left.is_empty(), "left: {left:?}");
        // SAFETY: no status is asked for.
        let child = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
        assert_eq!(
            (child, std::io::Error::last_os_error().raw_os_error()),
            (-1, Some(libc::ECHILD)),
            "a process is left"
        );
        assert!(
            !std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&self.id),
            "a mount is left"
        );
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Ok(cgroup) = tsbox_runtime::Cgroup::at(&self.id)
            && cgroup.exists()
        {
            let _ = cgroup.kill_all(libc::SIGKILL);
            let _ = cgroup.remove();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

pub struct Pipes {
    stdin: OwnedFd,
    stdout: (OwnedFd, OwnedFd),
    stderr: (OwnedFd, OwnedFd),
}

impl Pipes {
    pub fn stdio(&self) -> Stdio {
        Stdio::Fds([self.stdin.as_raw_fd(), self.stdout.1.as_raw_fd(), self.stderr.1.as_raw_fd()])
    }
}

/// A copy of a spec with one value changed or added.
pub fn alter(spec: &Value, pointer: &str, value: Value) -> Value {
    let mut spec = spec.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match spec.pointer_mut(parent) {
        Some(Value::Array(items)) => items[name.parse::<usize>().unwrap()] = value,
        Some(fields) => fields[name] = value,
        None => panic!("{parent} is not there"),
    }
    spec
}

pub fn runtime() -> String {
    env!("CARGO_BIN_EXE_tsbox-runtime").to_owned()
}

/// Runs a program with its output in files, so that processes which it leaves running keep no pipe of ours open.
pub fn command(program: &str, words: &[&str]) -> Ran {
    let file = |name: &str| std::env::temp_dir().join(format!("tsbox-test-{}-{name}", std::process::id()));
    let (out, err) = (file("out"), file("err"));
    let create = |path: &PathBuf| std::fs::File::create(path).unwrap();
    let status = Command::new(program)
        .args(words)
        .stdin(std::process::Stdio::null())
        .stdout(create(&out))
        .stderr(create(&err))
        .status();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        std::fs::remove_file(path).unwrap();
        text
    };
    Ran {
        code: status.map_or(-1, |status| status.code().unwrap_or(-1)),
        stdout: read(&out),
        stderr: read(&err),
    }
}

/// Reads from a terminal until all its users have closed it.
pub fn read_terminal(console: &OwnedFd) -> String {
    let mut text = Vec::new();
    let mut buffer = [0u8; 4096];
    loop {
        // SAFETY: the buffer is that long.
        let count = unsafe { libc::read(console.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        // EIO is a terminal's end of file.
        if count <= 0 {
            return String::from_utf8_lossy(&text).into_owned();
        }
        text.extend_from_slice(&buffer[..count as usize]);
    }
}

/// Returns the exit code as a shell reports it.
pub fn reap(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: one int.
    if unsafe { libc::waitpid(pid, &mut status, 0) } != pid {
        return -1;
    }
    if libc::WIFSIGNALED(status) {
        128 + libc::WTERMSIG(status)
    } else {
        libc::WEXITSTATUS(status)
    }
}

pub fn process_exists(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Podman keeps the parent cgroup of all its containers.
pub fn remove_podman_cgroups() {
    for directory in cgroups("libpod_parent") {
        for child in std::fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.path().is_dir())
        {
            let _ = std::fs::remove_dir(child.path());
        }
        let _ = std::fs::remove_dir(directory);
    }
}

fn cgroups(name: &str) -> Vec<PathBuf> {
    let top = Path::new("/sys/fs/cgroup");
    let inside = std::fs::read_dir(top)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join(name));
    inside.chain([top.join(name)]).filter(|path| path.exists()).collect()
}

fn pipe() -> (OwnedFd, OwnedFd) {
    let mut fds = [-1; 2];
    // SAFETY: room for two descriptors, which are nobody else's.
    unsafe {
        assert_eq!(libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
    }
}

fn read_all(fd: OwnedFd) -> String {
    use std::io::Read;
    let mut text = Vec::new();
    std::fs::File::from(fd).read_to_end(&mut text).unwrap();
    String::from_utf8_lossy(&text).into_owned()
}
