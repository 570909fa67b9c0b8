//! The working directory of a process.

use crate::command::words_of;
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::sys::{self, Call};

pub fn change_directory(path: &str) -> Result<()> {
    let path = if path.is_empty() { "/" } else { path };
    let name = sys::text(path)?;
    rustix::process::chdir(&name).call("chdir", Some(path)).map_err(|failure| Failure {
        message: format!("chdir to cwd ({path:?}) failed: {}", words_of(failure.errno.unwrap_or(0))),
        ..failure
    })
}

/// Rejects a working directory outside of the root (a leaked descriptor of the host, CVE-2024-21626). Such a directory has no path from the
/// root: the kernel returns "(unreachable)".
pub fn check_directory(path: &str) -> Result<()> {
    let mut buffer = [0u8; 4096];
    // SAFETY: the kernel writes within the buffer's length. The C library's call, and rustix's, hide the kernel's answer.
    let length = unsafe { libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) };
    match sys::check(length, "getcwd", Some(path)) {
        Ok(_) if buffer[0] == b'/' => Ok(()),
        Ok(_) => Err(Failure::new(
            Code::InvalidArgument,
            format!("working directory {path} is outside of the container"),
        )
        .at("cwd")),
        // A path that is longer than the buffer starts at the root.
        Err(failure) if failure.errno == Some(libc::ERANGE) => Ok(()),
        Err(failure) => Err(failure.at("cwd")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_a_path_from_the_root_is_inside() {
        check_directory("/").unwrap();
        let failure = change_directory("/not/here").unwrap_err();
        assert_eq!(failure.message, "chdir to cwd (\"/not/here\") failed: no such file or directory");
    }
}
