//! Holds a write lease on a program: a process that executes it waits until the lease is released, or broken after 45 s (fcntl(2),
//! F_SETLEASE). `lease PROGRAM` prints `held` and keeps the lease.

use std::fs::File;
use std::os::fd::AsRawFd;

unsafe extern "C" {
    fn fcntl(fd: i32, command: i32, value: i32) -> i32;
    fn signal(number: i32, handler: usize) -> usize;
    fn pause() -> i32;
}

fn main() {
    const F_SETLEASE: i32 = 1024;
    const F_WRLCK: i32 = 1;
    const SIGIO: i32 = 29;
    const SIG_IGN: usize = 1;
    let program = std::env::args().nth(1).expect("a program");
    let file = File::options().read(true).write(true).open(program).expect("open");
    // SAFETY: plain numbers and an open descriptor.
    unsafe {
        signal(SIGIO, SIG_IGN);
        assert_eq!(fcntl(file.as_raw_fd(), F_SETLEASE, F_WRLCK), 0, "{}", std::io::Error::last_os_error());
        println!("held");
        loop {
            pause();
        }
    }
}
