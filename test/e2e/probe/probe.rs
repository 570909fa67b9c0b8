//! Prints the properties and rights of a process, one per line: `section key = value`. It runs as a container's command, built static and
//! without crates, so that it needs no file of the image. `syscalls`: tries each number with invalid arguments, in a child process, with a
//! time limit. The result shows whether a filter (EPERM, ENOSYS, a signal) or the kernel (EINVAL, EFAULT …) has answered.

use std::ffi::{c_char, c_int, c_long, c_uint, c_void};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn fork() -> c_int;
    fn _exit(code: c_int) -> !;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn alarm(seconds: c_uint) -> c_uint;
    fn pipe(fds: *mut c_int) -> c_int;
    fn read(fd: c_int, buffer: *mut c_void, count: usize) -> isize;
    fn write(fd: c_int, buffer: *const c_void, count: usize) -> isize;
    fn close(fd: c_int) -> c_int;
    fn umask(mask: c_uint) -> c_uint;
    fn access(path: *const c_char, mode: c_int) -> c_int;
    fn setpgid(pid: c_int, group: c_int) -> c_int;
    fn __errno_location() -> *mut c_int;
}

/// More than the newest number of Linux 6.17.
const LAST: c_long = 475;

fn main() {
    status();
    limits();
    mounts();
    devices();
    environment();
    paths();
    namespaces();
    descriptors();
    println!("process umask = {:o}", unsafe { umask(0) });
    println!("process cwd = {}", std::env::current_dir().map_or("?".into(), |path| path.display().to_string()));
    syscalls();
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The fields of /proc/self/status that belong to the container and do not vary with time.
fn status() {
    const MOMENT: [&str; 14] = [
        "Name", "State", "Tgid", "Ngid", "Pid", "PPid", "TracerPid", "FDSize", "Threads", "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches", "SigQ", "untag_mask", "Kthread",
    ];
    for line in text("/proc/self/status").lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let memory = key.starts_with("Vm") || key.starts_with("Rss") || key.starts_with("Hugetlb") || key == "CoreDumping" || key == "THP_enabled";
        if !MOMENT.contains(&key) && !memory {
            println!("status {key} = {}", value.trim());
        }
    }
    println!("process oom_score_adj = {}", text("/proc/self/oom_score_adj").trim());
}

fn limits() {
    for line in text("/proc/self/limits").lines().skip(1) {
        let words: Vec<&str> = line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
        if let [name, rest @ ..] = words.as_slice() {
            println!("limits {} = {}", name.replace(' ', "-"), rest.join(" "));
        }
    }
}

/// Options of the mount and of its file system; sources and numbers differ between engines.
fn mounts() {
    for line in text("/proc/self/mountinfo").lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        let mut options: Vec<&str> = right[2].split(',').filter(|one| !one.contains("dir=") && !one.starts_with("lowerdir")).collect();
        options.sort_unstable();
        println!("mounts {} = {} {} ({})", left[4], right[0], left[5], options.join(","));
    }
}

fn devices() {
    fn walk(directory: &str) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        names.sort();
        for path in names {
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            let shown = path.display();
            let kind = meta.file_type();
            let what = if kind.is_symlink() {
                format!("link {}", fs::read_link(&path).map_or("?".into(), |to| to.display().to_string()))
            } else if kind.is_char_device() || kind.is_block_device() {
                format!("node {}:{}", meta.rdev() >> 8, meta.rdev() & 0xff)
            } else if kind.is_dir() {
                "directory".into()
            } else {
                "file".into()
            };
            println!("devices {shown} = {what} {:o} {}:{}", meta.permissions().mode() & 0o7777, meta.uid(), meta.gid());
            if kind.is_dir() && !shown.to_string().ends_with("/pts") {
                walk(&shown.to_string());
            }
        }
    }
    walk("/dev");
}

fn environment() {
    for (key, value) in std::env::vars() {
        println!("environment {key} = {}", if key == "HOSTNAME" { "(its own)".into() } else { value });
    }
}

/// Which paths of /proc and /sys are hidden, and which may be written.
fn paths() {
    const PATHS: [&str; 30] = [
        "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",
        "/sys/firmware", "/sys/devices/virtual/powercap", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/shmmax",
        "/proc/sys/net/ipv4/ip_forward", "/sys/kernel", "/sys/fs/cgroup", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/devices/devices.allow", "/sys/kernel/uevent_helper", "/sys/module", "/proc/self/attr",
        "/proc/mounts", "/proc/cmdline", "/dev/shm",
    ];
    for path in PATHS {
        let what = match fs::symlink_metadata(path) {
            Err(error) => format!("{:?}", error.kind()),
            Ok(_) => {
                let name = std::ffi::CString::new(path).unwrap();
                let writable = unsafe { access(name.as_ptr(), 2) } == 0;
                let empty = match fs::read_dir(path) {
                    Ok(mut entries) => entries.next().is_none(),
                    Err(_) => fs::File::open(path).and_then(|mut file| std::io::Read::read(&mut file, &mut [0])).map_or(true, |count| count == 0),
                };
                format!("{} {}", if empty { "empty" } else { "something" }, if writable { "writable" } else { "read-only" })
            }
        };
        println!("paths {path} = {what}");
    }
    for name in ["net/ipv4/ip_unprivileged_port_start", "net/ipv4/ping_group_range", "net/ipv4/ip_forward", "kernel/core_pattern", "kernel/shm_rmid_forced"] {
        println!("sysctl {} = {}", name.replace('/', "."), text(&format!("/proc/sys/{name}")).split_whitespace().collect::<Vec<_>>().join(" "));
    }
}

/// The cgroup hierarchies with the visible paths, the pid, and the id map.
fn namespaces() {
    for line in text("/proc/self/cgroup").lines() {
        let fields: Vec<&str> = line.splitn(3, ':').collect();
        println!("cgroup {} = {}", if fields[1].is_empty() { "unified" } else { fields[1] }, if fields[2] == "/" { "/" } else { "(a path of the host)" });
    }
    println!("process pid = {}", std::process::id());
    println!("process user-map = {}", text("/proc/self/uid_map").split_whitespace().collect::<Vec<_>>().join(" "));
}

fn descriptors() {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return };
    let mut open: Vec<String> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    // Ignore the descriptor of the listing itself.
    open.retain(|number| fs::read_link(format!("/proc/self/fd/{number}")).is_ok_and(|to| !to.to_string_lossy().ends_with("/fd")));
    open.sort();
    println!("process descriptors = {}", open.join(" "));
}

fn syscalls() {
    // vfork's child would continue on the parent's stack.
    const VFORK: c_long = 58;
    for number in (0..=LAST).filter(|number| *number != VFORK) {
        println!("syscalls {number} = {}", try_one(number));
    }
}

/// The result of one call: `ok`, an errno, a signal, `ended` if the call ends its process, `late`.
fn try_one(number: c_long) -> String {
    let mut fds = [0; 2];
    unsafe {
        if pipe(fds.as_mut_ptr()) != 0 {
            return "no pipe".into();
        }
        let pid = fork();
        if pid == 0 {
            close(fds[0]);
            setpgid(0, 0);
            alarm(1);
            let answer = syscall(number, -1i64, -1i64, -1i64, -1i64, -1i64, -1i64);
            let errno: c_int = if answer == -1 { *__errno_location() } else { 0 };
            write(fds[1], (&raw const errno).cast(), 4);
            _exit(0);
        }
        close(fds[1]);
        let mut errno: c_int = 0;
        let count = read(fds[0], (&raw mut errno).cast(), 4);
        close(fds[0]);
        let mut status = 0;
        waitpid(pid, &mut status, 0);
        match (count, status & 0x7f) {
            (4, _) if errno == 0 => "ok".into(),
            (4, _) => format!("errno {errno}"),
            (_, 14) => "late".into(),
            (_, 0) => "ended".into(),
            (_, signal) => format!("signal {signal}"),
        }
    }
}
