use super::*;
use crate::sys::{at, xattr};
use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

fn temporary(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("tsbox-tree-{}-{name}", std::process::id()));
    fs::create_dir(&path).unwrap();
    path
}

/// A directory in memory, for trees so deep that a disk takes seconds for them.
fn in_memory(name: &str) -> PathBuf {
    let path = Path::new("/dev/shm").join(format!("tsbox-tree-{}-{name}", std::process::id()));
    fs::create_dir(&path).unwrap();
    path
}

fn open(path: &Path) -> OwnedFd {
    at::open_path(path.as_os_str().as_bytes(), libc::O_RDONLY | libc::O_DIRECTORY).unwrap()
}

fn remove(path: &Path) {
    remove_tree(path.as_os_str().as_bytes(), &Cancel::default()).unwrap();
    assert!(!path.exists());
}

#[test]
fn a_tree_deeper_than_any_path_is_removed() {
    let path = in_memory("deep");
    let mut here = open(&path);
    for level in 0..3000 {
        at::make_directory(here.as_fd(), c"d", 0o755).unwrap();
        if level % 500 == 0 {
            at::make_node(here.as_fd(), c"file", libc::S_IFIFO, 0).unwrap();
        }
        here = at::open_directory(here.as_fd(), c"d").unwrap();
    }
    remove(&path);
}

/// Makes `levels` nested directories with one-letter names; the last one contains a file.
fn nest(root: &Path, levels: usize) {
    let mut here = open(root);
    for _ in 0..levels {
        at::make_directory(here.as_fd(), c"d", 0o755).unwrap();
        here = at::open_directory(here.as_fd(), c"d").unwrap();
    }
    at::make_node(here.as_fd(), c"file", libc::S_IFIFO, 0).unwrap();
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn all_that_a_path_can_name_is_walked_with_few_descriptors() {
    let path = in_memory("levels");
    let (from, to) = (path.join("from"), path.join("to"));
    fs::create_dir(&from).unwrap();
    fs::create_dir(&to).unwrap();
    let levels = crate::limits::LONGEST_PATH / 2 - 2;
    nest(&from, levels);
    let (before, mut most) = (descriptors(), 0);
    let mut seen = 0;
    walk(open(&from).as_fd(), b"", &Cancel::default(), &mut |_| {
        seen += 1;
        if seen % 256 == 0 {
            most = most.max(descriptors());
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, levels + 1);
    // Other tests of this process open some descriptors meanwhile.
    assert!(most < before + 200, "{before} {most}");
    copy_tree(open(&from).as_fd(), open(&to).as_fd(), &Default::default(), &Cancel::default()).unwrap();
    assert_eq!(usage(open(&to).as_fd(), &Cancel::default()).unwrap().inodes, levels as u64 + 2);
    remove(&path);
}

#[test]
fn a_tree_deeper_than_a_path_is_refused_in_one_line_and_can_be_removed() {
    let path = in_memory("too-deep");
    fs::create_dir(path.join("from")).unwrap();
    fs::create_dir(path.join("to")).unwrap();
    nest(&path.join("from"), 40_000);
    let (from, to) = (open(&path.join("from")), open(&path.join("to")));
    let failures = [
        usage(from.as_fd(), &Cancel::default()).unwrap_err(),
        copy_tree(from.as_fd(), to.as_fd(), &Default::default(), &Cancel::default()).unwrap_err(),
    ];
    for failure in failures {
        assert_eq!(failure.code, crate::failure::Code::InvalidArgument, "{failure}");
        assert!(failure.message.len() < 400 && failure.message.contains("deeper"), "{failure}");
    }
    remove(&path);
}

#[test]
fn a_directory_that_is_moved_while_it_is_read_ends_the_walk() {
    let path = in_memory("moved");
    nest(&path, 100);
    fs::write(path.join("last"), b"").unwrap();
    let mut moved = false;
    let outcome = walk(open(&path).as_fd(), b"", &Cancel::default(), &mut |found| {
        if found.path.len() > 180 && !moved {
            moved = true;
            fs::create_dir(path.join("other")).unwrap();
            fs::rename(path.join("d/d"), path.join("other/d")).unwrap();
        }
        Ok(())
    });
    assert_eq!(outcome.unwrap_err().code, crate::failure::Code::Conflict);
    remove(&path);
}

#[test]
fn links_are_removed_and_not_followed() {
    let path = temporary("links");
    fs::create_dir(path.join("outside")).unwrap();
    fs::write(path.join("outside/file"), b"stays").unwrap();
    fs::create_dir(path.join("inside")).unwrap();
    std::os::unix::fs::symlink("../outside", path.join("inside/link")).unwrap();
    remove(&path.join("inside"));
    assert_eq!(fs::read(path.join("outside/file")).unwrap(), b"stays");
    remove_tree(path.join("never").as_os_str().as_bytes(), &Cancel::default()).unwrap();
    for wrong in ["/", "relative", "/tmp/.."] {
        assert!(remove_tree(wrong.as_bytes(), &Cancel::default()).is_err(), "{wrong}");
    }
    remove(&path);
}

#[test]
fn names_of_one_file_count_once() {
    let path = temporary("usage");
    fs::write(path.join("a"), vec![1; 100_000]).unwrap();
    let one = usage(open(&path).as_fd(), &Cancel::default()).unwrap();
    fs::hard_link(path.join("a"), path.join("b")).unwrap();
    assert_eq!(usage(open(&path).as_fd(), &Cancel::default()).unwrap(), one);
    assert_eq!(one.inodes, 2);
    assert!(one.bytes >= 100_000);
    fs::File::create(path.join("hole")).unwrap().set_len(1 << 30).unwrap();
    assert!(usage(open(&path).as_fd(), &Cancel::default()).unwrap().bytes < one.bytes + (1 << 20));
    remove(&path);
}

#[test]
fn nothing_is_opened_outside_a_root() {
    let path = temporary("root");
    fs::create_dir(path.join("root")).unwrap();
    fs::write(path.join("outside"), b"").unwrap();
    std::os::unix::fs::symlink("../outside", path.join("root/link")).unwrap();
    let root = open(&path.join("root"));
    for name in ["link", "../outside", "/outside"] {
        let opened = at::open_in_root(root.as_fd(), name.as_bytes(), libc::O_RDONLY);
        assert_eq!(opened.unwrap_err().raw_os_error(), Some(libc::ENOENT), "{name}");
    }
    assert!(at::open_beneath(root.as_fd(), b"link", libc::O_RDONLY).is_err());
    let names: Vec<CString> = sorted(open(&path).as_fd()).unwrap();
    assert_eq!(names, [c"outside".to_owned(), c"root".to_owned()]);
    remove(&path);
}

#[test]
fn a_copy_omits_excluded_paths() {
    let path = temporary("exclude");
    fs::create_dir_all(path.join("from/kept/secret")).unwrap();
    fs::write(path.join("from/kept/secret/key"), b"").unwrap();
    fs::write(path.join("from/kept/file"), b"").unwrap();
    fs::create_dir(path.join("to")).unwrap();
    let exclude = [b"kept/secret".to_vec()].into();
    copy_tree(
        open(&path.join("from")).as_fd(),
        open(&path.join("to")).as_fd(),
        &exclude,
        &Cancel::default(),
    )
    .unwrap();
    assert!(path.join("to/kept/file").exists() && !path.join("to/kept/secret").exists());
    remove(&path);
}

#[test]
fn a_label_goes_all_the_way_down_and_through_no_link() {
    let path = temporary("label");
    fs::create_dir_all(path.join("tree/below")).unwrap();
    fs::write(path.join("tree/below/file"), b"").unwrap();
    fs::write(path.join("outside"), b"").unwrap();
    std::os::unix::fs::symlink("../outside", path.join("tree/link")).unwrap();
    let label = |name: &str| {
        let name = CString::new(name).unwrap();
        xattr::get(open(&path).as_fd(), &name, c"security.selinux").unwrap()
    };
    let given = relabel(path.join("tree").as_os_str().as_bytes(), "u:r:t:s0", &Cancel::default());
    // Only root may set labels, and under SELinux only labels that its policy knows.
    if given.is_err() {
        assert!(!rustix::process::geteuid().is_root() || Path::new("/sys/fs/selinux/enforce").exists());
        return remove(&path);
    }
    for name in ["tree", "tree/below", "tree/below/file", "tree/link"] {
        assert_eq!(label(name).as_deref(), Some(b"u:r:t:s0".as_slice()), "{name}");
    }
    assert_eq!(label("outside"), None);
    relabel(
        path.join("tree/below/file").as_os_str().as_bytes(),
        "u:r:t:s0:c1,c2",
        &Cancel::default(),
    )
    .unwrap();
    assert_eq!(label("tree/below/file").as_deref(), Some(b"u:r:t:s0:c1,c2".as_slice()));
    assert_eq!(label("tree/below").as_deref(), Some(b"u:r:t:s0".as_slice()));
    assert!(relabel(path.join("nothing").as_os_str().as_bytes(), "u:r:t:s0", &Cancel::default()).is_err());
    remove(&path);
}
