//! A process between launch and init, used only when a user namespace is joined. The other namespaces must belong to that user namespace,
//! so a process that has already joined it makes them. It forks init as its own sibling, so that the caller is init's parent, reports the
//! pid and ends.

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
            let sent = channel.send_with(&Message::Forked(pid), pidfd.as_fd());
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
    // While the process still has the host's ids.
    init.enter_cgroup(&mut Vec::new())?;
    if let Some(namespace) = init.namespaces.joined(USER) {
        namespaces::join(namespace, USER)?;
    }
    process::become_root()?;
    namespaces::fork(init.namespaces.new & !(namespaces::CGROUP | namespaces::TIME | USER), None, true)
}
