//! Measures the stages of a container's start. `launch-times SPEC.json ROOTFS [COUNT]` launches the spec's process over an overlay of
//! ROOTFS repeatedly, and prints each stage's median in milliseconds. Needs root.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Instant;
use tsbox_core::container::seccomp;
use tsbox_core::container::spec;
use tsbox_core::mount::Mount;
use tsbox_runtime::{Launch, Root, Stdio, launch};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [spec_file, rootfs, rest @ ..] = args.as_slice() else {
        eprintln!("usage: launch-times SPEC.json ROOTFS [COUNT]");
        std::process::exit(2);
    };
    let count: usize = rest.first().and_then(|count| count.parse().ok()).unwrap_or(50);
    let mut spec = spec::parse(&std::fs::read(spec_file).expect("the spec")).expect("an OCI spec");
    // The engine also compiles the profile only once.
    let profile = spec.linux.as_mut().and_then(|linux| linux.seccomp.take());
    let filter = profile.map(|profile| seccomp::compile_profile(&profile).expect("a seccomp profile"));
    let null: OwnedFd = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .expect("/dev/null")
        .into();
    let world = std::env::temp_dir().join(format!("tsbox-launch-times-{}", std::process::id()));
    let mut stages: Vec<String> = Vec::new();
    let mut times: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for at in 0..count {
        let id = format!("tsbox-launch-times-{at}");
        let (upper, work) = (world.join(format!("{at}/upper")), world.join(format!("{at}/work")));
        std::fs::create_dir_all(&upper)
            .and_then(|()| std::fs::create_dir_all(&work))
            .expect("directories");
        let root = [overlay(rootfs, &upper, &work)];
        if let Some(linux) = &mut spec.linux {
            linux.cgroups_path = Some(format!("/{id}"));
        }
        let begun = Instant::now();
        let stdio = Stdio::Fds([null.as_raw_fd(); 3]);
        let started = launch(&Launch {
            id: &id,
            spec: &spec,
            root: Root::Mounts(&root),
            stdio,
            seccomp: filter.as_deref(),
            hold: None,
            bundle: "",
            owns_cgroup: false,
        })
        .expect("a launch");
        let launched = begun.elapsed();
        let mut status = 0;
        // SAFETY: a child of this process.
        unsafe { libc::waitpid(started.pid, &mut status, 0) };
        let ended = begun.elapsed();
        started.cgroup.remove().expect("its cgroups go");
        let removed = begun.elapsed();
        let mut note = |stage: &str, time: f64| {
            if !times.contains_key(stage) {
                stages.push(stage.to_owned());
            }
            times.entry(stage.to_owned()).or_default().push(time);
        };
        started.timings.iter().for_each(|(stage, time)| note(stage, *time));
        note("= launch", launched.as_secs_f64() * 1e3);
        note("+ run and exit", (ended - launched).as_secs_f64() * 1e3);
        note("+ cgroups removed", (removed - ended).as_secs_f64() * 1e3);
    }
    let _ = std::fs::remove_dir_all(&world);
    for stage in stages {
        let all = times.get_mut(&stage).expect("noted");
        all.sort_by(f64::total_cmp);
        println!("{stage:<20} {:6.3}  (p90 {:.3})", all[all.len() / 2], all[all.len() * 9 / 10]);
    }
}

fn overlay(lower: &str, upper: &Path, work: &Path) -> Mount {
    let options = vec![
        format!("lowerdir+={lower}"),
        format!("upperdir={}", upper.display()),
        format!("workdir={}", work.display()),
    ];
    Mount {
        type_: "overlay".into(),
        source: "overlay".into(),
        target: None,
        options,
        id_maps: None,
    }
}
