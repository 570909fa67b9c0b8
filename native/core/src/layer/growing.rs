//! Reads a file that is still being written, up to its final size.

use crate::tree::Cancel;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// How often a waiting reader checks for cancellation, in milliseconds: only new data wakes it.
const CANCEL_INTERVAL: libc::c_int = 100;

/// Reads `size` bytes, and waits (inotify(7)) for bytes that are not written yet. ECANCELED: the caller canceled; ESTALE: the file was
/// removed before it was complete.
pub struct Growing<'a> {
    file: File,
    left: u64,
    watch: File,
    cancel: &'a Cancel,
}

impl<'a> Growing<'a> {
    pub fn open(path: &Path, size: u64, cancel: &'a Cancel) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Growing {
            file,
            left: size,
            watch: watch(path)?,
            cancel,
        })
    }

    fn wait(&mut self) -> io::Result<()> {
        let mut ready = libc::pollfd {
            fd: self.watch.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one pollfd.
        if unsafe { libc::poll(&raw mut ready, 1, CANCEL_INTERVAL) } > 0 {
            // The kind of event does not matter.
            let mut events = [0; 4096];
            let _ = self.watch.read(&mut events)?;
        }
        Ok(())
    }
}

impl Read for Growing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        loop {
            let count = self.file.read(&mut buffer[..wanted])?;
            if count > 0 || wanted == 0 {
                self.left -= count as u64;
                return Ok(count);
            }
            self.cancel.check().map_err(|_| io::Error::from_raw_os_error(libc::ECANCELED))?;
            if self.file.metadata()?.nlink() == 0 {
                return Err(io::Error::from_raw_os_error(libc::ESTALE));
            }
            self.wait()?;
        }
    }
}

fn watch(path: &Path) -> io::Result<File> {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    // The removal of a file's last name changes the file's attributes.
    inotify::add_watch(&watch, &path, WatchFlags::MODIFY | WatchFlags::ATTRIB)?;
    Ok(File::from(watch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;
    use std::sync::mpsc::channel;

    fn file(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("tsbox-growing-{}-{name}", std::process::id()))
    }

    #[test]
    fn bytes_that_come_later_are_awaited() {
        let path = file("later");
        let mut writer = File::create(&path).unwrap();
        writer.write_all(b"first, ").unwrap();
        let (sender, receiver) = channel();
        let read = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let cancel = Cancel::default();
                let mut growing = Growing::open(&path, 13, &cancel).unwrap();
                let mut start = [0; 7];
                growing.read_exact(&mut start).unwrap();
                sender.send(()).unwrap();
                let mut rest = String::new();
                growing.read_to_string(&mut rest).unwrap();
                [String::from_utf8_lossy(&start).into_owned(), rest].concat()
            });
            receiver.recv().unwrap();
            // The file may be renamed while it is read. Bytes after its final size are not read.
            let moved = file("moved");
            fs::rename(&path, &moved).unwrap();
            writer.write_all(b"second, and more").unwrap();
            let read = reader.join().unwrap();
            fs::remove_file(&moved).unwrap();
            read
        });
        assert_eq!(read, "first, second");
    }

    #[test]
    fn a_canceled_reader_stops() {
        let path = file("canceled");
        fs::write(&path, b"half").unwrap();
        let cancel = Cancel::default();
        let mut growing = Growing::open(&path, 8, &cancel).unwrap();
        cancel.cancel();
        let error = growing.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ECANCELED));
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_file_that_is_removed_unfinished_is_an_error() {
        let path = file("removed");
        fs::write(&path, b"half").unwrap();
        let cancel = Cancel::default();
        let mut growing = Growing::open(&path, 8, &cancel).unwrap();
        fs::remove_file(&path).unwrap();
        let error = growing.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESTALE));
    }
}
