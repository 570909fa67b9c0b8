//! Where a container's root file system comes from.

use std::path::Path;
use tsbox_core::mount::Mount;

/// Mounts are opened in the child's own mount namespace: the host's table never changes.
#[derive(Clone, Copy)]
pub enum Root<'a> {
    Path(&'a Path),
    Mounts(&'a [Mount]),
}
