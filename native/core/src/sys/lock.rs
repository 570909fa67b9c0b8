//! File locks with a deadline: flock(2) itself waits without limit, and the holder of a lock may be stopped, or may be an unrelated
//! process.

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// The back-off between two attempts: short at first, since most holders finish soon.
const PAUSES: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(50)];

/// Takes an exclusive lock, which ends with the last copy of the descriptor. Fails with `TimedOut` if another process keeps it for
/// `within`. The error names that process if it is known, and the file by `path`.
pub fn exclusive(file: &File, path: &Path, within: Duration) -> io::Result<()> {
    let deadline = Instant::now() + within;
    let mut pause = PAUSES[0];
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => continue,
            Err(Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error.into()),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let who = holder(file).map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{who} has kept the lock on {} for {} s", path.display(), within.as_secs()),
            ));
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(PAUSES[1]);
    }
}

/// The process that took the lock, from /proc/locks. None for a process of another pid namespace, and on file systems with their own
/// numbering of devices (btrfs).
fn holder(file: &File) -> Option<u32> {
    let there = file.metadata().ok()?;
    let (major, minor) = (libc::major(there.dev()), libc::minor(there.dev()));
    holder_in(
        &fs::read_to_string("/proc/locks").ok()?,
        &format!("{major:02x}:{minor:02x}:{}", there.ino()),
    )
}

/// A line is `1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF`; a line of a waiting process has `->` after the number.
fn holder_in(locks: &str, file: &str) -> Option<u32> {
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [_, "FLOCK", _, "WRITE", pid, at, ..] if at == file => pid.parse().ok().filter(|pid| *pid != 0),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("tsbox-lock-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_lock_that_is_kept_times_out_and_its_holder_is_named() {
        let path = scratch("kept");
        let first = File::create(&path).unwrap();
        let second = File::open(&path).unwrap();
        exclusive(&first, &path, Duration::ZERO).unwrap();
        let refused = exclusive(&second, &path, Duration::from_millis(30)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        assert!(refused.to_string().contains("has kept the lock on"), "{refused}");
        drop(first);
        // A process that another test has just forked has a copy of the descriptor for a moment.
        exclusive(&second, &path, Duration::from_secs(60)).unwrap();
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_lock_that_is_released_meanwhile_is_taken() {
        let path = scratch("let-go");
        let first = File::create(&path).unwrap();
        let second = File::open(&path).unwrap();
        exclusive(&first, &path, Duration::ZERO).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| exclusive(&second, &path, Duration::from_secs(60)));
            drop(first);
            waiting.join().unwrap().unwrap();
        });
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn the_holder_is_the_one_that_does_not_wait() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 fe:00:77 0 EOF\n2: FLOCK  ADVISORY  WRITE 12 fe:00:78 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 13 fe:00:77 0 EOF\n3: -> FLOCK  ADVISORY  WRITE 14 fe:00:77 0 EOF\n";
        assert_eq!(holder_in(locks, "fe:00:77"), Some(13));
        assert_eq!(holder_in(locks, "fe:00:79"), None);
        assert_eq!(holder_in("1: FLOCK ADVISORY WRITE 0 fe:00:77 0 EOF", "fe:00:77"), None);
    }
}
