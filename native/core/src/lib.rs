//! What tsbox does to a Linux host, as a library: namespaces, mounts, cgroups, seccomp, netlink, layers.
//!
//! No policy lives here: what to do is decided in TypeScript and arrives as data; how the kernel does it is decided here.
//! Every failure is a [`failure::Failure`], which crosses to Node as data.

pub mod address;
pub mod container;
pub mod failure;
#[cfg(any(feature = "fuzzing", all(test, feature = "layer")))]
pub mod fuzzing;
pub mod id_maps;
pub mod idmap;
pub mod layer;
pub mod limits;
pub mod lock;
pub mod mount;
pub mod net;
pub mod protocol;
pub mod tree;
pub mod unit;
pub mod wire;
