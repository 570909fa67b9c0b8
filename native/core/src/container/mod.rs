//! The parts of a container, one file each, without policy. The runtime (native/runtime) combines the parts, from an OCI runtime spec.
//!
//! Everything below a container's root is reached through [`root::Root`] and mounted by descriptor: an image's symlinks are data, and never
//! lead out of the root.

pub mod capabilities;
pub mod cgroup;
mod copy_up;
pub mod devices;
pub mod identity;
pub mod idmap;
pub mod masks;
pub mod mounts;
pub mod namespaces;
pub mod pivot;
pub mod procfs;
pub mod seccomp;
pub mod spec;
pub mod sysctl;
pub mod terminal;
