//! Opens one mount, detached, by its type: a bind, an overlay, or any other file system.

use super::overlay::open_overlay;
use super::plain::open_plain;
use super::{Mount, Parts};
use crate::failure::{Code, Failure, Result};
use crate::sys::mount::{clone_tree, set_attributes};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Opens one mount, detached.
pub fn open_one(mount: &Mount) -> Result<OwnedFd> {
    let Parts {
        bind,
        recursive,
        attributes,
        data,
    } = Parts::of(mount);
    if bind {
        if let Some(option) = data.first() {
            return Err(Failure::new(
                Code::InvalidArgument,
                format!("a bind mount of {} has no option {option}", mount.source),
            ));
        }
        let tree = clone_tree(Path::new(&mount.source), recursive)?;
        if !attributes.is_empty() {
            set_attributes(tree.as_fd(), attributes, recursive)?;
        }
        return Ok(tree);
    }
    if data.iter().any(|option| option.starts_with("lowerdir+=")) {
        open_overlay(mount, &data, attributes)
    } else {
        open_plain(mount, &data, attributes)
    }
}
