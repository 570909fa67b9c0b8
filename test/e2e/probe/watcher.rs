//! An attacker in a container that has CAP_SYS_PTRACE: it inspects every process that it sees in its pid namespace, as early as possible,
//! for objects of the host.
//!
//! `watcher MARKER`: MARKER is a path that exists only on the host, in a directory that the engine's options and environment name. It
//! prints one line for each object that it found, and runs until it is killed. It guesses the next process ids, and tries them before a
//! listing of /proc would show them.

use std::collections::HashSet;
use std::fs;

fn main() {
    let marker = std::env::args().nth(1).expect("a marker");
    // The engine's own options and environment contain this directory.
    let directory = marker.rsplit_once('/').map_or(marker.as_str(), |(directory, _)| directory);
    let own = capabilities("self").unwrap_or(0);
    let mut reported = HashSet::new();
    let mut report = |what: String| {
        if reported.insert(what.clone()) {
            println!("{what}");
        }
    };
    println!("watching");
    loop {
        let last = fs::read_to_string("/proc/loadavg").ok().and_then(|text| text.rsplit(' ').next()?.trim().parse::<u32>().ok()).unwrap_or(1);
        for pid in (last.saturating_sub(2)..last + 6).filter(|pid| *pid > 1 && *pid != std::process::id()) {
            // Several rounds for each: a fault may last only microseconds.
            for _ in 0..40 {
                let base = format!("/proc/{pid}");
                if fs::symlink_metadata(format!("{base}/root{marker}")).is_ok() {
                    let wrote = fs::write(format!("{base}/root{marker}"), "written from inside").is_ok();
                    report(format!("root of the host, written: {wrote}"));
                }
                if fs::symlink_metadata(format!("{base}/cwd{marker}")).is_ok() {
                    report("cwd of the host".to_owned());
                }
                let Ok(name) = fs::read_to_string(format!("{base}/comm")) else { break };
                if !name.starts_with("tsbox") {
                    continue;
                }
                for words in ["environ", "cmdline"] {
                    let text = fs::read(format!("{base}/{words}")).unwrap_or_default();
                    if String::from_utf8_lossy(&text).contains(directory) {
                        report(format!("{words} of the engine's in {}", name.trim()));
                    }
                }
                for entry in fs::read_dir(format!("{base}/fd")).into_iter().flatten().flatten() {
                    let path = entry.path();
                    let link = fs::read_link(&path).map(|link| link.to_string_lossy().into_owned()).unwrap_or_default();
                    let plain = ["pipe:", "socket:", "/dev/null", "/dev/pts/", "/dev/console", "/memfd:tsbox", "/dev/.init"];
                    if link.is_empty() || plain.iter().any(|start| link.starts_with(start)) {
                        continue;
                    }
                    // If the process has executed its command meanwhile, the descriptor belongs to the command.
                    if !fs::read_to_string(format!("{base}/comm")).is_ok_and(|now| now == name) {
                        break;
                    }
                    report(format!("descriptor of {}: {link}", name.trim()));
                    if fs::metadata(&path).is_ok_and(|found| found.is_dir()) && fs::symlink_metadata(path.join(&marker[1..])).is_ok() {
                        report("directory of the host".to_owned());
                    }
                }
                let more = capabilities(&pid.to_string()).unwrap_or(0) & !own;
                if more != 0 {
                    report(format!("{} has capabilities {more:x} that the container lacks", name.trim()));
                }
            }
        }
    }
}

fn capabilities(pid: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}
