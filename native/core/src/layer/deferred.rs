use crate::failure::Result;
use crate::tree::Named;
use crate::tree::at::{self, Time};
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};

/// Directories' times, which every entry made in them would change: set when all is there.
#[derive(Default)]
pub struct Deferred(HashMap<Vec<u8>, Time>);

impl Deferred {
    /// What the layer says.
    pub fn state(&mut self, path: &[u8], time: Time) {
        self.0.insert(path.to_vec(), time);
    }

    /// What was there before, for a directory about which the layer says nothing.
    pub fn keep(&mut self, path: &[u8], time: Time) {
        if !self.0.contains_key(path) {
            self.0.insert(path.to_vec(), time);
        }
    }

    pub fn settle(self, root: BorrowedFd) -> Result<()> {
        for (path, time) in self.0 {
            match at::open_beneath(root, &path, libc::O_RDONLY | libc::O_DIRECTORY) {
                Ok(directory) => at::set_times_fd(directory.as_fd(), time).named("utimensat", &path)?,
                // The layer itself put something else in its place later.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => {}
                Err(error) => return Err(error).named("openat2", &path),
            }
        }
        Ok(())
    }
}
