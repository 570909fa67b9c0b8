//! Sysctls of a container's own namespaces.

use super::namespaces::{IPC, NETWORK, Namespaces, UTS};
use super::procfs::Procfs;
use crate::failure::{Code, Failure, Result};

/// Writes one value of `linux.sysctl`: `net.ipv4.ip_forward` or `net/ipv4/…`. Only sysctls that belong to a namespace are allowed; the
/// kernel does not report this for all, so there are lists.
pub fn write(proc: &Procfs, name: &str, value: &str, namespaces: &Namespaces) -> Result<()> {
    let path = name.replace('.', "/");
    let ipc = [
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
        "kernel/shm_rmid_forced",
    ];
    let (kind, called) = if path.starts_with("net/") {
        (NETWORK, "network")
    } else if path.starts_with("fs/mqueue/") || ipc.contains(&path.as_str()) {
        (IPC, "ipc")
    } else if path == "kernel/domainname" || path == "kernel/hostname" {
        (UTS, "uts")
    } else {
        return Err(Failure::new(
            Code::InvalidArgument,
            format!("sysctl {name} is the whole host's: it can't be set for a container"),
        ));
    };
    if !namespaces.separate(kind) {
        return Err(Failure::new(
            Code::InvalidArgument,
            format!("sysctl {name} needs a {called} namespace of the container's own"),
        ));
    }
    // Interface names may contain dots, which are then written as slashes: `net.ipv4.conf.eth0/1.forwarding` swaps the two.
    let path = if name.contains('/') && name.contains('.') {
        name.chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect()
    } else {
        path
    };
    proc.write(&format!("sys/{path}"), value).map_err(|failure| match failure.errno {
        // A client would take "not found" for a missing container.
        Some(libc::ENOENT) => Failure {
            code: Code::InvalidArgument,
            message: format!("there is no sysctl {name}"),
            ..failure
        },
        Some(libc::EINVAL | libc::ERANGE | libc::EDOM) => Failure {
            message: format!("sysctl {name} takes no value {value:?}"),
            ..failure
        },
        _ => failure,
    })
}
