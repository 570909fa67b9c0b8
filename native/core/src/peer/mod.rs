//! How tsbox's processes find one another and talk: the socket's address, frames, messages, and the engine as a service of systemd.

pub mod address;
pub mod protocol;
pub mod unit;
pub mod wire;
