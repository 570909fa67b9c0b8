//! The source of a container's root file system.

use std::path::Path;
use tsbox_core::mount::Mount;

/// Mounts are made in the child's own mount namespace: the host's mount table never changes.
#[derive(Clone, Copy)]
pub enum Root<'a> {
    Path(&'a Path),
    Mounts(&'a [Mount]),
}
