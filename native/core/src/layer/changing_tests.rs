//! Trees that change while they are read, and sparse files.

use super::tests::{World, apply_bytes, diff_bytes, open, root};
use super::*;
use crate::sys::at;
use crate::tree::Cancel;
use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Repeats a function in a thread until it is dropped.
struct Busy(Arc<AtomicBool>, Option<std::thread::JoinHandle<()>>);

impl Busy {
    fn with(mut work: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                work();
            }
        });
        Busy(stop, Some(thread))
    }

    fn exchanging(directory: &Path, one: &'static std::ffi::CStr, other: &'static std::ffi::CStr) -> Self {
        let handle = open(directory);
        Busy::with(move || rustix::fs::renameat_with(&handle, one, &handle, other, rustix::fs::RenameFlags::EXCHANGE).unwrap())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        self.1.take().unwrap().join().unwrap();
    }
}

#[test]
fn a_fifo_that_replaces_a_file_is_not_opened_and_metadata_is_not_mixed() {
    if !root() {
        return;
    }
    let work = World::new("swapped");
    let tree = work.directory("tree");
    fs::write(tree.join("swapped"), vec![b'x'; 5000]).unwrap();
    let handle = open(&tree);
    at::make_node(handle.as_fd(), c"other", libc::S_IFIFO, 0).unwrap();
    at::set_permissions(handle.as_fd(), c"other", 0o4755).unwrap();
    // The fifo stands for a device, which an open may start (a watchdog) or rewind (a tape). inotify reports each open.
    // SAFETY: plain system calls; the path is a C string, and nothing else owns the descriptor.
    let watch = unsafe {
        let fd = libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC);
        let path = at::c_string(tree.join("other").as_os_str().as_bytes()).unwrap();
        assert!(libc::inotify_add_watch(fd, path.as_ptr(), libc::IN_OPEN) >= 0);
        <File as std::os::fd::FromRawFd>::from_raw_fd(fd)
    };
    let exchanging = Busy::exchanging(&tree, c"swapped", c"other");
    for round in 0..1000 {
        let mut bytes = Vec::new();
        match round % 2 {
            0 => pack(handle.as_fd(), b"/swapped", None, Pack::default(), &mut bytes, &Cancel::default()).unwrap(),
            _ => pack(handle.as_fd(), b"/", None, Pack::default(), &mut bytes, &Cancel::default()).unwrap(),
        }
        let mut reader = Reader::new(Cursor::new(bytes));
        while let Some(member) = reader.next_member().unwrap() {
            match member.kind {
                Kind::File => assert_eq!((member.mode, member.size), (0o644, 5000)),
                Kind::Fifo => assert_eq!((member.mode, member.size), (0o4755, 0)),
                kind => assert_eq!(kind, Kind::Directory),
            }
        }
    }
    drop(exchanging);
    let mut events = [0; 64];
    assert!((&watch).read(&mut events).is_err(), "the fifo was opened");
}

#[test]
fn a_file_in_many_pieces_stays_sparse() {
    let work = World::new("pieces");
    let tree = work.directory("tree");
    let file = File::create(tree.join("pieces")).unwrap();
    for piece in 0..6000 {
        file.write_all_at(b"x", piece * (16 << 20)).unwrap();
    }
    let (_, bytes) = diff_bytes(None, &tree, &work.at("layer"), Compression::Plain);
    assert!(bytes.len() < 64 << 20, "{}", bytes.len());
    fs::create_dir(work.at("copy")).unwrap();
    apply_bytes(&work.at("copy"), bytes).unwrap();
    let copy = fs::metadata(work.at("copy/pieces")).unwrap();
    assert!(copy.len() == 5999 * (16 << 20) + 1 && copy.blocks() * 512 < 64 << 20);
}

#[test]
fn a_tree_that_changes_is_read_to_its_end() {
    if !root() {
        return;
    }
    let work = World::new("changing");
    let (tree, lower) = (work.at("tree"), work.at("lower"));
    for root in [&tree, &lower] {
        fs::create_dir_all(root.join("directory/deeper")).unwrap();
        fs::write(root.join("directory/file"), b"x").unwrap();
        symlink("target", root.join("link")).unwrap();
    }
    let handle = open(&tree);
    let _exchanging = Busy::exchanging(&tree, c"directory", c"link");
    let busy = tree.clone();
    let _coming_and_going = Busy::with(move || {
        fs::create_dir_all(busy.join("comes/and/goes")).unwrap();
        fs::write(busy.join("comes/file"), b"x").unwrap();
        fs::remove_dir_all(busy.join("comes")).unwrap();
    });
    let below = open(&lower);
    for round in 0..800 {
        let sink = || File::create(work.at("sink")).unwrap();
        let (own, cancel) = (Own::new(&["/comes".to_owned()]), Cancel::default());
        match round % 4 {
            0 => pack(handle.as_fd(), b"/.", None, Pack::default(), sink(), &cancel).unwrap(),
            1 => drop(diff_overlay(handle.as_fd(), &own, sink(), Compression::Plain, &cancel).unwrap()),
            2 => drop(diff(Some(below.as_fd()), handle.as_fd(), &own, sink(), Compression::Plain, &cancel).unwrap()),
            _ => drop(differences(Some(below.as_fd()), handle.as_fd(), Upper::Whole, &own, &cancel).unwrap()),
        }
    }
}
