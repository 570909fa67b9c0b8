//! What a container is made of, one part a file and no policy: the runtime (native/runtime) puts the parts together, from an OCI runtime
//! spec.
//!
//! Everything below a container's root is reached through [`root::Root`] and mounted by descriptor: an image's symlinks are data, never a
//! way out.

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
