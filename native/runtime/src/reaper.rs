//! The first process of a container with `--init`; the command is its child. It forwards signals, reaps the orphans of the container, and
//! ends with the command's exit code. It is the engine's own sealed copy of this binary, executed from a descriptor: no part of it is in
//! the container's file system, and it contains no memory of the shim.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

/// The program name of the reaper.
pub const NAME: &str = "tsbox-init";
pub(crate) const NAME_C: &CStr = c"tsbox-init";

/// Signals that report a fault in this program. They are never blocked.
const FAULTS: [i32; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGABRT,
    libc::SIGSYS,
];

/// `words`: the command and its arguments. Returns the exit code.
pub fn main(words: Vec<std::ffi::OsString>) -> i32 {
    let words = words.iter().map(|word| CString::new(word.as_bytes()));
    let Ok(words) = words.collect::<Result<Vec<CString>, _>>() else {
        return 125;
    };
    if words.is_empty() {
        return 125;
    }
    // SAFETY: signal sets are plain data that the calls fill; this process has one thread.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        for fault in FAULTS {
            libc::sigdelset(&mut all, fault);
        }
        libc::sigprocmask(libc::SIG_SETMASK, &all, &mut before);
        // Terminal access from the background must not stop this process.
        libc::signal(libc::SIGTTIN, libc::SIG_IGN);
        libc::signal(libc::SIGTTOU, libc::SIG_IGN);
        let child = libc::fork();
        if child < 0 {
            eprintln!("{NAME}: fork: {}", std::io::Error::last_os_error());
            return 125;
        }
        if child == 0 {
            execute(&words, &before);
        }
        guard(child, &all)
    }
}

/// Runs in the child: a new process group, in the foreground of the terminal if there is one, so that ctrl-C reaches the command.
unsafe fn execute(words: &[CString], before: &libc::sigset_t) -> ! {
    // SAFETY: plain numbers; the words outlive the call and their list ends with a null pointer.
    unsafe {
        libc::setpgid(0, 0);
        if libc::isatty(0) == 1 {
            libc::tcsetpgrp(0, libc::getpid());
        }
        libc::signal(libc::SIGTTIN, libc::SIG_DFL);
        libc::signal(libc::SIGTTOU, libc::SIG_DFL);
        libc::sigprocmask(libc::SIG_SETMASK, before, ptr::null_mut());
        let arguments: Vec<*const libc::c_char> = words.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect();
        libc::execvp(arguments[0], arguments.as_ptr());
        let error = std::io::Error::last_os_error();
        let absent = matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR));
        eprintln!("{NAME}: exec {:?}: {error}", words[0]);
        libc::_exit(if absent { 127 } else { 126 })
    }
}

/// Runs until the command has ended. Then the end of this process kills all others in the container's pid namespace.
unsafe fn guard(child: i32, all: &libc::sigset_t) -> i32 {
    // SAFETY: a set of signals; statuses that waitpid fills.
    unsafe {
        let mut own = None;
        loop {
            let signal = libc::sigwaitinfo(all, ptr::null_mut());
            if signal == libc::SIGCHLD {
                loop {
                    let mut status = 0;
                    let pid = libc::waitpid(-1, &mut status, libc::WNOHANG);
                    if pid <= 0 {
                        break;
                    }
                    if pid == child {
                        own = Some(if libc::WIFSIGNALED(status) {
                            128 + libc::WTERMSIG(status)
                        } else {
                            libc::WEXITSTATUS(status)
                        });
                    }
                }
                if let Some(code) = own {
                    return code;
                }
            } else if signal > 0 {
                libc::kill(child, signal);
            }
        }
    }
}
