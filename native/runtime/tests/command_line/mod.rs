//! Tests of the command line as other engines use it.

use crate::world::{self, World, alter, process_exists};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::BufRead;

pub fn lifecycle(world: &World) {
    let bundle = world.bundle(&world.spec("echo started; sleep 1000"));
    let pid_file = world.directory.join("pid");
    let created = world.cli(&["create", "-b", &bundle, "--pid-file", &pid_file.display().to_string(), "c"]);
    assert_eq!(created.code, 0, "{created:?}");
    let pid: i32 = std::fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    let state = |expected: &str| {
        let state: BTreeMap<String, serde_json::Value> = serde_json::from_str(&world.cli(&["state", "c"]).stdout).unwrap();
        assert_eq!(state["status"], expected);
        assert_eq!(state["pid"], if expected == "stopped" { 0 } else { pid });
    };
    state("created");
    // CVE-2019-5736: until exec, the binary that a container can reach is a copy that can't be written to.
    let own = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap().display().to_string();
    assert!(own.contains("memfd:tsbox"), "{own}");
    assert!(std::fs::OpenOptions::new().write(true).open(format!("/proc/{pid}/exe")).is_err());
    assert_eq!(world.cli(&["create", "-b", &bundle, "c"]).code, 1, "the name is taken");
    assert_eq!(world.cli(&["start", "c"]).code, 0);
    state("running");
    assert!(world.cli(&["start", "c"]).stderr.contains("running, not created"));
    assert!(world.cli(&["delete", "c"]).stderr.contains("--force"));
    assert_eq!(world.cli(&["pause", "c"]).code, 0);
    state("paused");
    assert_eq!(world.cli(&["resume", "c"]).code, 0);
    assert_eq!(world.cli(&["kill", "c", "KILL"]).code, 0);
    assert_eq!(world.await_child(pid), 128 + 9);
    state("stopped");
    assert_eq!(world.cli(&["delete", "c"]).code, 0);
    assert!(world.cli(&["state", "c"]).stderr.contains("does not exist"));
    assert!(!process_exists(pid));
}

pub fn run(world: &World) {
    let mut spec = world.spec("cat /hooked; exit 5");
    let note = world.directory.join("notes");
    let hook = |name: &str| json!([{ "path": "/bin/sh", "args": ["sh", "-c", format!("echo {name} $(cat | tr -d ' ' | grep -o '\"status\":\"[a-z]*\"') >> {}", note.display())] }]);
    spec["hooks"] = json!({
        "createRuntime": hook("createRuntime"),
        "startContainer": [{ "path": "/bin/sh", "args": ["sh", "-c", "echo inside > /hooked"] }],
        "poststart": hook("poststart"),
        "poststop": hook("poststop"),
    });
    let ran = world.cli(&["run", "-b", &world.bundle(&spec), "c"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (5, "inside\n"), "{ran:?}");
    let notes = std::fs::read_to_string(&note).unwrap();
    assert_eq!(
        notes,
        "createRuntime \"status\":\"creating\"\npoststart \"status\":\"running\"\npoststop \"status\":\"stopped\"\n"
    );
    spec["hooks"] = json!({ "createRuntime": [{ "path": "/bin/false" }] });
    let ran = world.cli(&["run", "-b", &world.bundle(&spec), "c"]);
    assert!(ran.code == 1 && ran.stderr.contains("hook /bin/false"), "{ran:?}");
}

pub fn exec(world: &World) {
    let bundle = world.bundle(&world.spec("sleep 1000"));
    assert_eq!(world.cli(&["run", "-d", "-b", &bundle, "c"]).code, 0);
    let ran = world.cli(&[
        "exec",
        "--user",
        "7:8",
        "--env",
        "A=b",
        "--cwd",
        "/tmp",
        "c",
        "sh",
        "-c",
        "id -u; id -g; echo $A; pwd; exit 3",
    ]);
    assert_eq!((ran.code, ran.stdout.as_str()), (3, "7\n8\nb\n/tmp\n"), "{ran:?}");
    assert_eq!(world.cli(&["exec", "c", "nosuch"]).code, 255);
    assert_eq!(world.cli(&["delete", "--force", "c"]).code, 0);
    world.reap_strangers();
}

pub fn limits(world: &World) {
    let bundle = world.bundle(&world.spec("while [ ! -e /go ]; do sleep 0.05; done; head -c 64m /dev/zero | tail >/dev/null; sleep 1000"));
    assert_eq!(world.cli(&["run", "-d", "-b", &bundle, "c"]).code, 0);
    let usage = || -> serde_json::Value { serde_json::from_str(&world.cli(&["events", "--stats", "c"]).stdout).unwrap() };
    let first = usage();
    assert_eq!((&first["type"], &first["id"]), (&json!("stats"), &json!("c")));
    assert!(first["data"]["memory"]["usage"]["usage"].as_u64().unwrap() > 0, "{first}");
    assert!(first["data"]["cpu"]["usage"]["total"].as_u64().unwrap() > 0, "{first}");

    let resources = world.directory.join("resources.json");
    std::fs::write(&resources, r#"{"memory":{"limit":67108864,"swap":null},"pids":{"limit":90}}"#).unwrap();
    let ran = world.cli(&["update", "--resources", &resources.display().to_string(), "--memory", "16m", "c"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let second = usage();
    assert_eq!(second["data"]["memory"]["usage"]["limit"], 16 << 20, "a flag wins over the file");
    assert_eq!(second["data"]["pids"]["limit"], 90);

    let mut watch = std::process::Command::new(world::runtime())
        .args([
            "--root",
            &world.directory.join("state").display().to_string(),
            "events",
            "--interval",
            "1h",
            "c",
        ])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut event = || -> Option<serde_json::Value> { lines.next().map(|line| serde_json::from_str(&line.unwrap()).unwrap()) };
    assert_eq!(event().unwrap()["type"], "stats");
    std::fs::write(world.rootfs.join("go"), "").unwrap();
    assert_eq!(event().unwrap()["type"], "oom");
    assert_eq!(world.cli(&["kill", "c", "KILL"]).code, 0);
    while event().is_some_and(|event| event["type"] == "oom") {}
    assert!(watch.wait().unwrap().success(), "the events end with the container");

    world.reap_strangers();
    for (words, said) in [
        (vec!["update", "--memory", "16m", "c"], "not running"),
        (vec!["events", "c"], "not running"),
        (vec!["update", "--memory", "much", "c"], "number of bytes"),
        (vec!["update", "--frobnicate", "1", "c"], "no flag"),
        (vec!["update", "--resources", "/nonexistent", "c"], "No such file"),
        (vec!["update"], "id is missing"),
        (vec!["events", "--interval", "0s", "c"], "no duration"),
        (vec!["update", "nosuch"], "does not exist"),
    ] {
        let ran = world.cli(&words);
        assert!(ran.code == 1 && ran.stderr.contains(said), "{words:?}: {ran:?}");
    }
    assert_eq!(world.cli(&["delete", "--force", "c"]).code, 0);
}

pub fn refusals(world: &World) {
    let bundle = world.bundle(&alter(&world.spec("true"), "/process/args", json!(["nosuch"])));
    let log = world.directory.join("log");
    let refused = world.cli(&[
        "--log",
        &log.display().to_string(),
        "--log-format",
        "json",
        "create",
        "-b",
        &bundle,
        "c",
    ]);
    assert_eq!(refused.code, 1);
    let line: serde_json::Value = serde_json::from_str(std::fs::read_to_string(&log).unwrap().lines().last().unwrap()).unwrap();
    assert!(
        line["level"] == "error" && line["msg"].as_str().unwrap().contains("executable file not found in $PATH"),
        "{line}"
    );
    for (words, said) in [
        (vec!["state", "nosuch"], "does not exist"),
        (vec!["create", "-b", "/nonexistent", "c"], "No such file"),
        (vec!["create", "-b", &bundle, "../c"], "no container id"),
        (vec!["--systemd-cgroup", "state", "c"], "cgroupfs"),
        (vec!["frobnicate"], "no such command"),
        (vec!["kill", "c", "NONSENSE"], "no such signal"),
    ] {
        let ran = world.cli(&words);
        assert!(ran.code == 1 && ran.stderr.contains(said), "{words:?}: {ran:?}");
    }
    let features: serde_json::Value = serde_json::from_str(&world.cli(&["features"]).stdout).unwrap();
    assert_eq!(features["linux"]["seccomp"]["enabled"], true);
}

pub fn podman(world: &World) {
    let at = |name: &str| world.directory.join(name).display().to_string();
    let podman = |words: &[&str]| {
        let (root, run, runtime) = (at("podman"), at("podman-run"), world::runtime());
        let mut all = vec![
            "--root",
            &root,
            "--runroot",
            &run,
            "--storage-driver",
            "vfs",
            "--events-backend",
            "none",
            "--cgroup-manager",
            "cgroupfs",
            "--runtime",
            &runtime,
        ];
        all.extend(words);
        world::command("podman", &all)
    };
    if world::command("podman", &["--version"]).code != 0 {
        return println!("skipped: podman runs a container with it: podman is not installed");
    }
    let rootfs = world.rootfs.display().to_string();
    let run = [
        "run",
        "--rm",
        "--ulimit",
        "nofile=1024:1024",
        "--ulimit",
        "nproc=1024:1024",
        "--net",
        "none",
        "--rootfs",
        &rootfs,
    ];
    let ran = podman(&[&run[..], &["/bin/sh", "-c", "echo hello; id -u; exit 3"]].concat());
    assert_eq!((ran.code, ran.stdout.as_str()), (3, "hello\n0\n"), "{ran:?}");
    assert_eq!(podman(&[&run[..], &["/bin/nosuch"]].concat()).code, 127);
    // Processes and cgroups that podman leaves for a later cleanup.
    world.reap_strangers();
    world::remove_podman_cgroups();
}
