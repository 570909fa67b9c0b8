//! Tests with real containers, from a busybox image made here: the library as the shim uses it, and the command line as other engines do.
//! Needs root and busybox-static.

mod command_line;
mod world;

use serde_json::json;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tsbox_core::container::seccomp;
use tsbox_core::container::spec::Process;
use tsbox_core::failure::Code;
use tsbox_runtime::{Exec, Stdio, exec_and_wait};
use world::{World, alter};

type Case = (&'static str, fn(&World));

const CASES: &[Case] = &[
    ("the first process has its own of everything", own_of_everything),
    ("exit codes and signals are the process's", exit_codes),
    (
        "a command that is not there, or no program, says so and leaves nothing",
        bad_commands,
    ),
    ("an error of any stage leaves nothing", bad_specs),
    ("what is held runs when it is released, and never when it is given up", held),
    ("limits hold", limits),
    ("devices are denied by the cgroup", devices),
    ("masked paths are empty and read-only ones are", masks),
    ("user, groups, umask, capabilities and no_new_privs", identity),
    ("seccomp: errno by rule, ENOSYS for what is newer", seccomp_filter),
    ("volumes, tmpfs and read-only root", volumes),
    ("a link in the image leads no mount out (CVE-2021-30465)", link_out),
    ("/proc as a link is refused (CVE-2019-16884)", proc_link),
    (
        "no descriptor of the host, no working directory outside (CVE-2024-21626)",
        descriptors,
    ),
    ("a /dev/null of the image's masks nothing (CVE-2025-31133)", false_null),
    ("release_agent is out of reach (CVE-2022-0492)", release_agent),
    ("the host's table of mounts does not change", host_table),
    ("a terminal is the container's own", terminal),
    ("exec joins, with its own user, directory and exit code", join),
    ("exec: not found, paused", join_refused),
    (
        "a filter that forbids what an exec needs before its command is installed last",
        join_strict,
    ),
    ("exec: into a container on its way out", join_dying),
    ("pause stops, resume goes on, kill_all leaves none", pause),
    ("a cgroup that was killed and not removed is made anew", killed_group),
    ("a new user namespace: root inside, nobody outside", user_namespace),
    ("a user namespace that is joined", joined_user_namespace),
    ("command line: create, state, start, kill, delete", command_line::lifecycle),
    ("command line: run, hooks and exit code", command_line::run),
    ("command line: exec", command_line::exec),
    ("command line: update and events", command_line::limits),
    ("command line: what is refused", command_line::refusals),
    ("podman runs a container with it", command_line::podman),
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if std::env::args().any(|word| word == "--list") {
        return;
    }
    if let Err(reason) = World::possible() {
        println!("skipped: containers: {reason}\n0 passed, 0 failed, {} skipped", CASES.len());
        return;
    }
    let (mut passed, mut failed) = (0, 0);
    for (name, case) in CASES
        .iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())))
    {
        let world = World::new();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            case(&world);
            world.assert_nothing_left();
        }));
        drop(world);
        match outcome {
            Ok(()) => passed += 1,
            Err(_) => {
                failed += 1;
                println!("FAILED: {name}");
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    std::process::exit(i32::from(failed > 0 || passed == 0));
}

fn own_of_everything(world: &World) {
    let ran = world.run("echo $$; hostname; ls /sys/class/net; cat /proc/self/cgroup; for n in /proc/self/ns/*; do readlink $n; done; ls -A /proc/self/fd | wc -l; echo $HOME");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[..3], ["1", "inside", "lo"], "{ran:?}");
    let groups: Vec<&&str> = lines.iter().filter(|line| line.contains(":/")).collect();
    assert!(!groups.is_empty() && groups.iter().all(|line| line.ends_with(":/")), "{ran:?}");
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "uts"] {
        let ours = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string();
        assert!(
            lines.iter().any(|line| line.starts_with(&format!("{kind}:["))) && !lines.contains(&ours.as_str()),
            "{kind}: {ran:?}"
        );
    }
    assert_eq!(lines[lines.len() - 2], "4", "0, 1, 2 and ls's own: {ran:?}");
    assert_eq!(lines[lines.len() - 1], "/root");
}

fn exit_codes(world: &World) {
    assert_eq!(world.run("exit 37").code, 37);
    assert_eq!(
        world.run("kill -KILL $$; exit 3").code,
        3,
        "the first process of a pid namespace is deaf to its own"
    );
    let started = world.start("sleep 1000");
    // SAFETY: plain numbers.
    unsafe { libc::kill(started.pid, libc::SIGKILL) };
    assert_eq!(world.end(started).code, 128 + 9);
}

fn bad_commands(world: &World) {
    std::fs::write(world.rootfs.join("bin/text"), "no program\n").unwrap();
    for (command, code) in [
        ("nosuch", Code::CommandNotFound),
        ("/bin/nosuch", Code::CommandNotFound),
        ("/bin", Code::NotExecutable),
        ("/bin/text", Code::NotExecutable),
    ] {
        let spec = alter(&world.spec("true"), "/process/args", json!([command]));
        let failure = world.try_start(&spec).map(|started| started.pid).unwrap_err();
        assert_eq!(
            (failure.code, failure.stage.as_deref()),
            (code, Some("exec")),
            "{command}: {failure}"
        );
        assert!(failure.message.contains(command));
        world.assert_nothing_left();
    }
}

fn bad_specs(world: &World) {
    let cases = [
        ("/mounts/0/type", json!("nosuchfs"), "mounts"),
        ("/linux/maskedPaths", json!(["/proc/kcore", "bad\0path"]), "masks"),
        (
            "/process/rlimits",
            json!([{ "type": "RLIMIT_NONSENSE", "soft": 1, "hard": 1 }]),
            "rlimits",
        ),
        ("/process/cwd", json!("/bin/sh"), "cwd"),
        ("/linux/sysctl", json!({ "kernel.panic": "1" }), "sysctl"),
        (
            "/linux/resources",
            json!({ "pids": { "limit": 5 }, "cpu": { "cpus": "nonsense" } }),
            "cgroup",
        ),
        ("/linux/cgroupsPath", json!("/../escape"), "cgroup"),
        ("/linux/namespaces/0/type", json!("nonsense"), "namespaces"),
        ("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_MAYBE" }), "seccomp"),
    ];
    for (pointer, value, stage) in cases {
        let failure = world
            .try_start(&alter(&world.spec("true"), pointer, value))
            .map(|started| started.pid)
            .unwrap_err();
        assert_eq!(failure.stage.as_deref(), Some(stage), "{pointer}: {failure}");
        world.assert_nothing_left();
    }
}

fn held(world: &World) {
    let (reading, writing) = std::io::pipe().unwrap();
    drop(writing);
    let spec = world.spec("echo ran; exit 3");
    let pipes = world.pipes();
    let failure = world
        .launch_held(&spec, pipes.stdio(), Some(reading.as_fd()))
        .map(|started| started.pid);
    let failure = failure.unwrap_err();
    assert_eq!(
        (failure.code, failure.stage.as_deref()),
        (Code::FailedPrecondition, Some("hold")),
        "{failure}"
    );
    world.assert_nothing_left();

    let (reading, mut writing) = std::io::pipe().unwrap();
    let pipes = world.pipes();
    let released = Arc::new(AtomicBool::new(false));
    let release = std::thread::spawn({
        let released = released.clone();
        move || {
            wait_until_held();
            released.store(true, Ordering::SeqCst);
            writing.write_all(&[1]).unwrap();
        }
    });
    let started = world.launch_held(&spec, pipes.stdio(), Some(reading.as_fd())).unwrap();
    assert!(released.load(Ordering::SeqCst), "it did not wait");
    release.join().unwrap();
    world.keep(&started, pipes);
    let ran = world.end(started);
    assert_eq!((ran.code, ran.stdout.as_str()), (3, "ran\n"));
}

/// Waits until a child of this process is in its new root and reads from `hold`.
fn wait_until_held() {
    let held = |pid: &str| {
        std::fs::exists(format!("/proc/{pid}/root/bin/busybox")).unwrap_or(false)
            && !std::path::Path::new(&format!("/proc/{pid}/root/usr")).exists()
            && std::fs::read_to_string(format!("/proc/{pid}/syscall")).is_ok_and(|call| call.starts_with("0 "))
    };
    loop {
        let children = std::fs::read_to_string(format!("/proc/self/task/{}/children", std::process::id())).unwrap();
        if children.split_whitespace().any(held) {
            return;
        }
        std::thread::yield_now();
    }
}

fn limits(world: &World) {
    let resources =
        json!({ "memory": { "limit": 16 << 20, "swap": 16 << 20 }, "pids": { "limit": 8 }, "cpu": { "quota": 50000, "period": 100000 } });
    let spec = alter(
        &world.spec("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 & done 2>/dev/null; tail -c 64m /dev/zero"),
        "/linux/resources",
        resources,
    );
    let started = world.try_start(&spec).unwrap();
    let ended = world.wait(&started);
    assert!(ended != 0, "64 MiB fit into 16");
    assert!(
        started.cgroup.oom_killed() || ended == 2,
        "neither killed for memory nor out of processes: {ended}"
    );
    world.end(started);
    let spec = alter(
        &world.spec("tail -c 64m /dev/zero"),
        "/linux/resources",
        json!({ "memory": { "limit": 16 << 20, "swap": 16 << 20 } }),
    );
    let started = world.try_start(&spec).unwrap();
    assert_eq!(world.wait(&started), 128 + 9);
    assert!(started.cgroup.oom_killed());
    assert!(started.cgroup.stats().unwrap().memory_limit_bytes == Some(16 << 20));
    world.end(started);
}

fn devices(world: &World) {
    let rules = json!({ "devices": [{ "allow": false, "access": "rwm" }] });
    let script = "mknod /tmp/disk b 254 0; head -c1 /tmp/disk; echo disk $?; head -c1 /dev/zero | wc -c";
    let ran = world.end(world.try_start(&alter(&world.spec(script), "/linux/resources", rules)).unwrap());
    assert!(
        ran.stderr.contains("Operation not permitted") && ran.stdout.contains("disk 1"),
        "{ran:?}"
    );
    assert!(ran.stdout.trim_end().ends_with('1'), "{ran:?}");
}

fn masks(world: &World) {
    let ran = world.run("cat /proc/keys | wc -c; ls /sys/firmware | wc -l; touch /sys/firmware/x; echo 1 > /proc/sys/kernel/hostname");
    assert_eq!(ran.stdout, "0\n0\n", "{ran:?}");
    assert_eq!(ran.stderr.matches("Read-only file system").count(), 2, "{ran:?}");
}

fn identity(world: &World) {
    let script = "id -u; id -g; id -G; umask; grep -E '^(Cap|NoNewPrivs)' /proc/self/status; pwd; touch /etc/x";
    let spec = alter(
        &world.spec(script),
        "/process/user",
        json!({ "uid": 1000, "gid": 1001, "additionalGids": [5, 7], "umask": 63 }),
    );
    let spec = alter(&spec, "/process/noNewPrivileges", json!(true));
    let spec = alter(&spec, "/process/cwd", json!("/made/for/it"));
    let chown = json!({ "bounding": ["CAP_CHOWN", "CAP_KILL"], "permitted": ["CAP_CHOWN"], "inheritable": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"], "ambient": ["CAP_CHOWN"] });
    let ran = world.end(world.try_start(&alter(&spec, "/process/capabilities", chown)).unwrap());
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[..4], ["1000", "1001", "1001 5 7", "0077"], "{ran:?}");
    let set = |name: &str| {
        lines
            .iter()
            .find_map(|line| line.strip_prefix(name))
            .map(|rest| u64::from_str_radix(rest.trim(), 16).unwrap())
    };
    assert_eq!(
        ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:", "CapBnd:", "NoNewPrivs:"].map(set),
        [1, 1, 1, 1, 0x21, 1].map(Some),
        "{ran:?}"
    );
    assert!(
        lines.contains(&"/made/for/it") && ran.stderr.contains("Permission denied"),
        "{ran:?}"
    );
}

fn seccomp_filter(world: &World) {
    let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], "syscalls": [
        { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28 },
        { "names": ["chroot"], "action": "SCMP_ACT_ERRNO" },
    ] });
    let ran = world.end(
        world
            .try_start(&alter(
                &world.spec("mkdir /x; chroot / true; grep Seccomp: /proc/self/status"),
                "/linux/seccomp",
                profile,
            ))
            .unwrap(),
    );
    assert!(
        ran.stderr.contains("No space left") && ran.stderr.contains("Operation not permitted"),
        "{ran:?}"
    );
    assert!(ran.stdout.contains('2'), "{ran:?}");
}

fn volumes(world: &World) {
    let outside = world.directory.join("volume");
    std::fs::create_dir_all(outside.join("below")).unwrap();
    let mounts = json!([
        { "destination": "/proc", "type": "proc", "source": "proc" },
        { "destination": "/vol/rw", "type": "bind", "source": outside, "options": ["rbind", "rprivate"] },
        { "destination": "/vol/ro", "type": "bind", "source": outside, "options": ["rbind", "rprivate", "rro"] },
        { "destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m", "mode=1777", "noexec"] },
        { "destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"] },
    ]);
    let script = "echo 1 > /vol/rw/file; cat /vol/ro/file; echo 2 > /vol/ro/file; head -c 2m /dev/zero > /scratch/big; wc -c < /scratch/big; cat /etc/passwd; touch /etc/new; touch /root-file";
    let spec = alter(&alter(&world.spec(script), "/mounts", mounts), "/root/readonly", json!(true));
    let ran = world.end(world.try_start(&spec).unwrap());
    assert_eq!(ran.stdout, "1\n1048576\nroot:x:0:0::/root:/bin/sh\n", "{ran:?}");
    assert!(ran.stderr.matches("Read-only file system").count() == 2, "{ran:?}");
    assert_eq!(std::fs::read_to_string(outside.join("file")).unwrap(), "1\n");
}

fn link_out(world: &World) {
    let target = world.directory.join("target");
    std::fs::create_dir_all(&target).unwrap();
    std::os::unix::fs::symlink("../../../../../..", world.rootfs.join("up")).unwrap();
    let inside = format!("/up{}/mounted", target.display());
    let mounts = json!([{ "destination": inside, "type": "tmpfs", "source": "tmpfs", "options": [] }]);
    let spec = alter(&world.spec(&format!("touch {inside}/here && echo done")), "/mounts", mounts);
    assert_eq!(world.end(world.try_start(&spec).unwrap()).stdout, "done\n");
    assert!(!target.join("mounted").exists());
}

fn proc_link(world: &World) {
    std::fs::remove_dir_all(world.rootfs.join("proc")).unwrap();
    std::os::unix::fs::symlink("/tmp", world.rootfs.join("proc")).unwrap();
    let failure = world.try_start(&world.spec("true")).map(|started| started.pid).unwrap_err();
    assert!(failure.message.contains("ordinary directory"), "{failure}");
}

fn descriptors(world: &World) {
    // Descriptors that a careless caller leaves open, without close-on-exec.
    let directory = std::ffi::CString::new("/").unwrap();
    // SAFETY: a C string; closed below.
    let leaked = unsafe { libc::open(directory.as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY) };
    assert!(leaked > 2);
    assert_eq!(world.run("ls /proc/self/fd | sort -n | tr '\n' ' '").stdout, "0 1 2 3 ");
    let spec = alter(&world.spec("pwd"), "/process/cwd", json!(format!("/proc/self/fd/{leaked}")));
    let failure = world.try_start(&spec).map(|started| started.pid).unwrap_err();
    assert_eq!(failure.stage.as_deref(), Some("cwd"), "{failure}");
    // SAFETY: ours.
    unsafe { libc::close(leaked) };
}

fn false_null(world: &World) {
    // The container has the image's /dev, in which null is a link. A mask that used this null would make the link's target writable.
    let mounts = json!([{ "destination": "/proc", "type": "proc", "source": "proc" }, { "destination": "/dev", "type": "bind", "source": world.rootfs.join("dev"), "options": ["rbind"] }]);
    std::os::unix::fs::symlink("/proc/sys/kernel/core_pattern", world.rootfs.join("dev/null")).unwrap();
    let spec = alter(
        &alter(&world.spec("stat -c '%t:%T' /proc/keys"), "/mounts", mounts),
        "/linux/maskedPaths",
        json!(["/proc/keys"]),
    );
    assert_eq!(world.end(world.try_start(&spec).unwrap()).stdout, "1:3\n");
}

fn release_agent(world: &World) {
    let ran = world.run("mkdir /tmp/g && mount -t cgroup -o memory cgroup /tmp/g; find /sys/fs/cgroup -name release_agent | wc -l; echo x > /sys/fs/cgroup/cgroup.procs");
    assert!(
        ran.stderr.contains("Operation not permitted") || ran.stderr.contains("permission denied"),
        "{ran:?}"
    );
    assert_eq!(ran.stdout, "0\n", "{ran:?}");
    assert!(ran.stderr.contains("Read-only file system"), "{ran:?}");
}

fn host_table(world: &World) {
    let table = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = table();
    let started = world.start("sleep 1000");
    assert!(!table().contains(&world.directory.display().to_string()));
    assert_eq!(before, table());
    started.cgroup.kill_all(libc::SIGKILL).unwrap();
    world.end(started);
}

fn terminal(world: &World) {
    let spec = world.spec("tty; stty size; stat -c '%t:%T %u' /dev/console; exit 4");
    let started = world.launch(&spec, Stdio::Terminal { rows: 33, columns: 77 }).unwrap();
    let said = world::read_terminal(started.console.as_ref().expect("a terminal"));
    assert_eq!(said.replace('\r', ""), "/dev/pts/0\n33 77\n88:0 0\n");
    assert_eq!(world.end(started).code, 4);
}

fn join(world: &World) {
    let started = world.start("sleep 1000");
    let process = |script: &str, uid: u32| Process {
        args: ["/bin/sh", "-c", script].map(String::from).to_vec(),
        env: vec!["PATH=/bin".to_owned(), "WHO=me".to_owned()],
        cwd: "/tmp".to_owned(),
        user: tsbox_core::container::spec::User {
            uid,
            gid: uid,
            ..Default::default()
        },
        ..Process::default()
    };
    let join = |process: &Process, stdio: Stdio| {
        exec_and_wait(&Exec {
            pid: started.pid,
            pidfd: started.pidfd.as_fd(),
            cgroup: &started.cgroup,
            process,
            stdio,
            seccomp: None,
        })
    };
    let pipes = world.pipes();
    let joined = join(
        &process(
            "id -u; pwd; echo $WHO; cat /proc/1/comm; cat /proc/self/cgroup; readlink /proc/self/ns/mnt; ls /proc/self/fd | wc -l; exit 9",
            1000,
        ),
        pipes.stdio(),
    )
    .unwrap();
    let ran = world.collect(joined.pid, pipes);
    assert_eq!(ran.code, 9);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[..4], ["1000", "/tmp", "me", "sleep"], "{ran:?}");
    assert!(
        lines.iter().filter(|line| line.contains(":/")).all(|line| line.ends_with(":/")),
        "in the container's own cgroups: {ran:?}"
    );
    let first = std::fs::read_link(format!("/proc/{}/ns/mnt", started.pid)).unwrap();
    assert!(lines.contains(&first.to_string_lossy().as_ref()), "{ran:?}");
    assert_eq!(lines[lines.len() - 1], "4");

    let joined = join(&process("tty; stty size", 0), Stdio::Terminal { rows: 11, columns: 22 }).unwrap();
    assert_eq!(
        world::read_terminal(joined.console.as_ref().expect("a terminal")).replace('\r', ""),
        "/dev/pts/0\n11 22\n"
    );
    world::reap(joined.pid);
    started.cgroup.kill_all(libc::SIGKILL).unwrap();
    world.end(started);
}

fn join_refused(world: &World) {
    let started = world.start("sleep 1000");
    let process = Process {
        args: vec!["nosuch".into()],
        cwd: "/".into(),
        ..Process::default()
    };
    let join = || {
        exec_and_wait(&Exec {
            pid: started.pid,
            pidfd: started.pidfd.as_fd(),
            cgroup: &started.cgroup,
            process: &process,
            stdio: Stdio::Fds([0, 1, 2]),
            seccomp: None,
        })
    };
    assert_eq!(join().unwrap_err().code, Code::CommandNotFound);
    started.cgroup.freeze().unwrap();
    assert_eq!(join().unwrap_err().code, Code::FailedPrecondition);
    started.cgroup.thaw().unwrap();
    assert_eq!(started.cgroup.pids().unwrap(), [started.pid]);
    started.cgroup.kill_all(libc::SIGKILL).unwrap();
    world.end(started);
}

/// A filter that forbids the steps before the command is installed last. The process then has neither fewer nor more privileges than it
/// should have.
fn join_strict(world: &World) {
    let started = world.start("sleep 1000");
    let process = Process {
        args: [
            "/bin/sh",
            "-c",
            "grep -E '^(Cap(Prm|Eff)|Seccomp):' /proc/self/status; cat /proc/self/stat; true",
        ]
        .map(String::from)
        .to_vec(),
        env: vec!["PATH=/bin".into()],
        cwd: "/".into(),
        capabilities: Some(Default::default()),
        ..Process::default()
    };
    let strict = json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": [{ "names": ["setsid", "prlimit64"], "action": "SCMP_ACT_ERRNO" }] });
    let mild = json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"] });
    for (profile, no_new_privileges) in [(&strict, false), (&strict, true), (&mild, false), (&mild, true)] {
        let pipes = world.pipes();
        let joined = exec_and_wait(&Exec {
            pid: started.pid,
            pidfd: started.pidfd.as_fd(),
            cgroup: &started.cgroup,
            process: &Process {
                no_new_privileges,
                ..process.clone()
            },
            stdio: pipes.stdio(),
            seccomp: Some(&seccomp::compile(&profile.to_string()).unwrap()),
        })
        .unwrap();
        let pid = joined.pid;
        let ran = world.collect(pid, pipes);
        let lines: Vec<&str> = ran.stdout.lines().collect();
        assert_eq!(
            lines[..3],
            ["CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "Seccomp:\t2"],
            "{profile} {no_new_privileges}: {ran:?}"
        );
        // The shell's child is in the session of the shell, which leads it.
        let fields: Vec<&str> = lines[3].rsplit_once(')').unwrap().1.split_whitespace().collect();
        assert_eq!(fields[1], fields[3], "{ran:?}");
    }
    started.cgroup.kill_all(libc::SIGKILL).unwrap();
    world.end(started);
}

/// A first process stays in its exit until all processes that were created in its pid namespace are reaped: here an exec for which no
/// caller waits yet.
fn join_dying(world: &World) {
    let started = world.start("sleep 1000");
    let process = |command: &str| Process {
        args: vec![command.into(), "1000".into()],
        env: vec!["PATH=/bin".into()],
        cwd: "/".into(),
        ..Process::default()
    };
    let join = |process: &Process| {
        exec_and_wait(&Exec {
            pid: started.pid,
            pidfd: started.pidfd.as_fd(),
            cgroup: &started.cgroup,
            process,
            stdio: Stdio::Fds([0, 1, 2]),
            seccomp: None,
        })
    };
    let first = join(&process("sleep")).unwrap();
    // SAFETY: plain numbers.
    unsafe { libc::kill(started.pid, libc::SIGKILL) };
    // The kill also kills the exec, which is dead then and not reaped.
    let mut polled = libc::pollfd {
        fd: first.pidfd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one pollfd.
    assert_eq!(unsafe { libc::poll(&mut polled, 1, 10_000) }, 1);
    for command in ["sleep", "nosuch"] {
        let failure = join(&process(command)).unwrap_err();
        assert_eq!(
            (failure.code, failure.message.as_str()),
            (Code::FailedPrecondition, "the container is not running"),
            "{command}: {failure}"
        );
    }
    // SAFETY: a child of ours that is dead.
    unsafe { libc::waitpid(first.pid, std::ptr::null_mut(), 0) };
    assert_eq!(world.end(started).code, 128 + 9);
}

fn pause(world: &World) {
    let started = world.start("while :; do :; done");
    started.cgroup.freeze().unwrap();
    assert!(started.cgroup.is_frozen());
    let used = || started.cgroup.stats().unwrap().cpu_nanoseconds;
    let before = used();
    std::thread::sleep(std::time::Duration::from_millis(60));
    assert_eq!(before, used(), "a frozen process runs");
    started.cgroup.thaw().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(60));
    assert!(used() > before, "a thawed process does not run");
    started.cgroup.freeze().unwrap();
    started.cgroup.kill_all(libc::SIGKILL).unwrap();
    assert_eq!(world.end(started).code, 128 + 9);
}

fn killed_group(world: &World) {
    let first = world.start("sleep 1000");
    first.cgroup.kill_all(libc::SIGKILL).unwrap();
    assert_eq!(world.wait(&first), 137);
    world.owns_cgroup.set(true);
    let ran = world.run("echo again");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "again\n"), "{ran:?}");
}

fn user_namespace(world: &World) {
    let mut spec = world.spec("id -u; touch /tmp/mine; stat -c %u /tmp/mine; cat /proc/self/uid_map; head -c1 /dev/zero | wc -c");
    let maps = json!([{ "containerID": 0, "hostID": 0, "size": 1 }, { "containerID": 1, "hostID": 100_001, "size": 65535 }]);
    spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    spec["linux"]["uidMappings"] = maps.clone();
    spec["linux"]["gidMappings"] = maps;
    let ran = world.end(world.try_start(&spec).unwrap());
    let words: Vec<&str> = ran.stdout.split_whitespace().collect();
    assert_eq!(words[..2], ["0", "0"], "{ran:?}");
    assert!(words.contains(&"100001") && words.last() == Some(&"1"), "{ran:?}");
}

fn joined_user_namespace(world: &World) {
    use tsbox_core::container::namespaces::{self, Forked, USER};
    let map = |container_id, host_id| tsbox_core::id_maps::IdMap {
        container_id,
        host_id,
        size: 1,
    };
    let maps = [map(0, 0), map(1, 100_001)];
    let Forked::Parent { pid, .. } = namespaces::fork(USER, None, false).unwrap() else {
        // SAFETY: waits for the signal that ends it.
        unsafe { libc::pause() };
        std::process::exit(0);
    };
    namespaces::write_maps(pid, &maps, &maps).unwrap();
    let path = format!("/proc/{pid}/ns/user");
    let mut spec = world.spec("readlink /proc/self/ns/user; wc -l < /proc/self/uid_map; hostname; touch /file && echo wrote; exit 6");
    spec["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "type": "user", "path": path }));
    let started = world.try_start(&spec);
    let link = std::fs::read_link(&path).unwrap().display().to_string();
    // SAFETY: plain numbers.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    world::reap(pid);
    let ran = world.end(started.unwrap());
    assert_eq!((ran.code, ran.stdout), (6, format!("{link}\n2\ninside\nwrote\n")), "{}", ran.stderr);
}
