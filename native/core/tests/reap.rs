//! A separate test program, since it reaps any child of its process.

use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;
use tsbox_core::sys::process;

/// The children of a shim lead their own sessions and process groups.
#[test]

fn any_child_is_reaped_whatever_its_process_group() {
    let mut expected = Vec::new();
    for group in [None, Some(0)] {
        let mut command = Command::new("true");
        if let Some(group) = group {
            command.process_group(group);
        }
        let pid = command.spawn().unwrap().id() as i32;
        let pidfd = process::open(pid).unwrap();
        assert!(process::await_end(pidfd.as_fd(), Duration::from_secs(10)));
        expected.push(pid);
    }
    let mut reaped: Vec<i32> = std::iter::from_fn(|| process::reap(-1)).map(|(pid, _)| pid).collect();
    reaped.sort_unstable();
    expected.sort_unstable();
    assert_eq!(reaped, expected);
}
