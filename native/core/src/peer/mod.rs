//! The communication of tsbox's processes: the socket's address, frames, messages, and the engine as a service of systemd.

pub mod address;
pub mod protocol;
pub mod unit;
pub mod wire;
