//! `tsbox`, one binary with six roles: the client (a user's command), the launcher (`tsbox daemon`), the shim (a fork of the launcher), an
//! OCI runtime (called as `tsbox-runtime`, or `tsbox runtime …`), the first process of a container that asks for one (`--init`), and
//! the program that other runtimes start in place of a container's command (`tsbox-enter`).

use std::ffi::OsString;

#[global_allocator]
static ALLOCATOR: tsbox_shim::heap::Heap = tsbox_shim::heap::Heap;

fn main() {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    let args: Vec<OsString> = words.collect();
    // Another runtime starts these two by their path in the container.
    match name.to_str().map(|name| name.rsplit('/').next().unwrap_or(name)) {
        Some(tsbox_runtime::reaper::NAME) => std::process::exit(tsbox_runtime::reaper::main(args)),
        Some(tsbox_runtime::enter::NAME) => std::process::exit(tsbox_runtime::enter::main(args)),
        _ => {}
    }
    let role = if name.as_encoded_bytes().ends_with(b"tsbox-runtime") {
        Some("runtime")
    } else {
        args.first().and_then(|word| word.to_str())
    };
    std::process::exit(match role {
        Some("daemon") => daemon(text(&args[1..])),
        Some("runtime") if name.as_encoded_bytes().ends_with(b"tsbox-runtime") => tsbox_runtime::main(text(&args)),
        Some("runtime") => tsbox_runtime::main(text(&args[1..])),
        _ => tsbox_client::main(text(&args)),
    });
}

fn daemon(args: Vec<String>) -> i32 {
    tsbox_launcher::main(args, tsbox_client::home(), seal)
}

/// Continues in a sealed copy of this binary, since the launcher's forks enter containers. The copy can't find its own location, so it gets
/// it in the environment.
fn seal() -> Result<(), String> {
    if let Some(home) = tsbox_client::home() {
        // SAFETY: no other thread reads the environment: there is none.
        unsafe { std::env::set_var("TSBOX_HOME", home) };
    }
    tsbox_runtime::sealed::ensure().map_err(|failure| failure.to_string())
}

fn text(words: &[OsString]) -> Vec<String> {
    words.iter().map(|word| word.to_string_lossy().into_owned()).collect()
}
