//! The operations of tsbox on a Linux host, as a library: namespaces, mounts, cgroups, seccomp, netlink, layers.
//!
//! This library contains no policy. TypeScript decides what to do and sends it as data; this library makes the system calls. Every failure
//! is a [`failure::Failure`], which goes to Node as data.
//!
//! The folders are layers. A file imports files of its own folder and of the lines above it, never of a line below or of a neighbour on the
//! same line (`test/harness/test/imports.test.ts` checks this):
//!
//! ```text
//! failure  limits  id_maps                 types that all others use
//! sys                                      system calls, as safe functions
//! tree                                     file trees by descriptor
//! block                                    block devices
//! mount                                    mounts by descriptor
//! container     layer     net     peer     parts of a container; archives of files; netlink and nftables; tsbox's other processes
//! ```

pub mod block;
pub mod container;
pub mod failure;
#[cfg(any(feature = "fuzzing", all(test, feature = "layer")))]
pub mod fuzzing;
pub mod id_maps;
pub mod layer;
pub mod limits;
pub mod mount;
pub mod net;
pub mod peer;
pub mod sys;
pub mod tree;
