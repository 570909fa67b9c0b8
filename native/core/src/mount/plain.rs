//! A file system whose options need no conversion.

use super::Mount;
use crate::failure::Result;
use crate::sys::mount::{Attributes, Context};
use std::os::fd::OwnedFd;

/// Opens a file system of any type, from its source and its options.
pub(super) fn open_plain(mount: &Mount, data: &[&str], attributes: Attributes) -> Result<OwnedFd> {
    let context = Context::open(&mount.type_)?;
    if !mount.source.is_empty() {
        context.set("source", &mount.source)?;
    }
    for option in data {
        context.option(option)?;
    }
    context.mount(attributes)
}
