//! Between launch and init, only where a user namespace is joined: the other namespaces must belong to it, so they are made by a process
//! that is in it already. It makes the one that goes on as its sibling, so that the caller is the parent, says so and ends.

use crate::channel::{Channel, Message};
use crate::init::{self, Init};
use crate::process;
use std::os::fd::AsFd;
use tsbox_core::container::namespaces::{self, Forked, USER};
use tsbox_core::failure::Result;

pub fn run(init: Init, channel: Channel) -> ! {
    let answer = into(&init);
    match answer {
        Ok(Forked::Child) => init::run(init, channel),
        Ok(Forked::Parent { pid, pidfd }) => {
            let sent = channel.send_with(&Message::Born(pid), pidfd.as_fd());
            process::leave(i32::from(sent.is_err()))
        }
        Err(failure) => {
            let _ = channel.send(&Message::Failed(failure.at("user namespace")));
            process::leave(1)
        }
    }
}

fn into(init: &Init) -> Result<Forked> {
    process::begin(c"tsbox:[join]")?;
    // With the host's ids, as long as they are ours.
    init.enter_cgroup(&mut Vec::new())?;
    if let Some(namespace) = init.namespaces.joined(USER) {
        namespaces::join(namespace, USER)?;
    }
    process::become_root()?;
    namespaces::fork(init.namespaces.new & !(namespaces::CGROUP | namespaces::TIME | USER), None, true)
}
