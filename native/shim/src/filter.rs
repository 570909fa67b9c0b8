//! Compiled seccomp filters, which the daemon keeps in files.

use tsbox_core::failure::{Failure, Result};

/// Reads the filter from a file.
pub fn read_filter(path: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Failure::io(&error, "read", Some(path)).at("seccomp"))
}
