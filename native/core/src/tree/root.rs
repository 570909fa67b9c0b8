//! A container's root as a descriptor. Every path in it is resolved by openat2 with RESOLVE_IN_ROOT, so that neither a symlink of an image
//! nor a race with one leads out of it (CVE-2019-16884, CVE-2021-30465).

use crate::failure::{Code, Failure, Result};
use crate::limits::LONGEST_PATH;
use crate::sys::at;
use crate::tree::{Named, join, too_deep};
use std::collections::VecDeque;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub struct Root {
    fd: OwnedFd,
}

impl Root {
    /// Takes a descriptor of the root directory, O_PATH or a mount.
    pub fn new(fd: OwnedFd) -> Root {
        Root { fd }
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub fn open(&self, path: &str, flags: i32) -> Result<OwnedFd> {
        at::open_in_root(self.fd(), path.as_bytes(), flags)
            .named("openat2", path.as_bytes())
            .map_err(|failure| plain(failure, path))
    }

    /// Opens the file at a path, with links followed within the root; None: it does not exist.
    pub fn find(&self, path: &str) -> Result<Option<OwnedFd>> {
        match self.open(path, libc::O_PATH) {
            Ok(fd) => Ok(Some(fd)),
            Err(failure) if matches!(failure.errno, Some(libc::ENOENT | libc::ENOTDIR)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Opens a directory, and makes it and its parents if they are missing.
    pub fn make_directory(&self, path: &str, mode: u32) -> Result<OwnedFd> {
        self.directory(path, mode).map_err(|failure| plain(failure, path))
    }

    fn directory(&self, path: &str, mode: u32) -> Result<OwnedFd> {
        match self.open(path, libc::O_PATH | libc::O_DIRECTORY) {
            Err(failure) if failure.errno == Some(libc::ENOENT) => {}
            answer => return answer,
        }
        let found = self.walk(path, mode, |directory, name, shown| make_and_open(directory, name, shown, mode))?;
        if at::stat_fd(found.as_fd()).named("stat", path.as_bytes())?.is_directory() {
            Ok(found)
        } else {
            Err(Failure::os(libc::ENOTDIR, "openat", Some(path)))
        }
    }

    /// Opens a file as a mount point: an existing file, or a new empty one.
    pub fn make_file(&self, path: &str) -> Result<OwnedFd> {
        self.file(path).map_err(|failure| plain(failure, path))
    }

    fn file(&self, path: &str) -> Result<OwnedFd> {
        if let Some(fd) = self.find(path)? {
            return Ok(fd);
        }
        split(path)?;
        self.walk(path, 0o755, |directory, name, shown| {
            let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;
            at::open(directory, name, flags, 0o644).named("openat", shown)?;
            at::open(directory, name, libc::O_PATH, 0).named("openat", shown)
        })
    }

    /// Opens the file at a path, with links followed within the root. Missing parts are made: `last` makes the last name (EEXIST if it
    /// exists by now), and directories with `mode` are made on the way to it. So a link whose target is missing gets a target, as with
    /// Docker. Links are read and followed here, since the kernel creates nothing behind a link. Each name is opened before the next one,
    /// so nothing is looked up twice.
    pub fn walk(&self, path: &str, mode: u32, last: impl Fn(BorrowedFd, &CStr, &[u8]) -> Result<OwnedFd>) -> Result<OwnedFd> {
        let top = || self.open("/", libc::O_PATH | libc::O_DIRECTORY);
        let mut ahead: VecDeque<Vec<u8>> = names(path.as_bytes()).collect();
        // The real path of `here`, without links.
        let mut real: Vec<Vec<u8>> = Vec::new();
        let mut here = top()?;
        let mut detours = 0;
        while let Some(name) = ahead.pop_front() {
            if name == b".." {
                real.pop();
                here = at::open_in_root(self.fd(), &real.join(b"/".as_slice()), libc::O_PATH | libc::O_DIRECTORY)
                    .named("openat2", path.as_bytes())?;
                continue;
            }
            let shown = [b"/".as_slice(), &real.join(b"/".as_slice())].concat();
            let shown = join(shown.strip_suffix(b"/").unwrap_or(&shown), &name);
            if shown.len() > LONGEST_PATH {
                return Err(too_deep(&shown));
            }
            let text = at::c_string(&name).named("openat", &shown)?;
            let found = match at::open(here.as_fd(), &text, libc::O_PATH, 0) {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                    let made = if ahead.is_empty() {
                        last(here.as_fd(), &text, &shown)
                    } else {
                        make_and_open(here.as_fd(), &text, &shown, mode)
                    };
                    match made {
                        // Another container with the same volume was faster: its file is used, even if it is a link.
                        Err(failure) if failure.errno == Some(libc::EEXIST) => None,
                        made => Some(made?),
                    }
                }
                opened => Some(opened.named("openat", &shown)?),
            };
            let Some(found) = found else {
                detours += 1;
                if detours > MOST_LINKS {
                    return Err(Failure::os(libc::EEXIST, "openat", Some(path)));
                }
                ahead.push_front(name);
                continue;
            };
            if at::stat_fd(found.as_fd()).named("stat", &shown)?.kind() == libc::S_IFLNK {
                detours += 1;
                if detours > MOST_LINKS {
                    return Err(plain(Failure::os(libc::ELOOP, "openat", Some(path)), path));
                }
                let target = at::read_link(found.as_fd(), c"").named("readlink", &shown)?;
                if target.starts_with(b"/") {
                    real.clear();
                    here = top()?;
                }
                let rest = std::mem::take(&mut ahead);
                ahead = names(&target).chain(rest).collect();
            } else {
                here = found;
                real.push(name);
            }
        }
        Ok(here)
    }
}

/// The same limit as the kernel's (path_resolution(7)).
const MOST_LINKS: usize = 40;

fn names(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(<[u8]>::to_vec)
}

fn make_and_open(directory: BorrowedFd, name: &CStr, shown: &[u8], mode: u32) -> Result<OwnedFd> {
    at::make_directory(directory, name, mode).named("mkdir", shown)?;
    at::open(directory, name, libc::O_PATH | libc::O_DIRECTORY, 0).named("openat", shown)
}

/// Replaces what a path may have wrong by a clear message.
fn plain(failure: Failure, path: &str) -> Failure {
    let (code, message) = match failure.errno {
        Some(libc::ELOOP) => (
            Code::InvalidArgument,
            format!("{path} cannot be resolved: its symbolic links form a loop, or there are more than {MOST_LINKS}; mend the links"),
        ),
        Some(libc::ENOTDIR) => (
            Code::InvalidArgument,
            format!("{path}: not a directory: a file is where a directory is needed; a directory fits on a directory, a file on a file"),
        ),
        Some(libc::EROFS) => (
            Code::FailedPrecondition,
            format!("{path} is missing and lies on a read-only file system; make it there first, or make that file system writable"),
        ),
        _ => return failure,
    };
    Failure { code, message, ..failure }
}

/// A path's parent and last name.
pub fn split(path: &str) -> Result<(&str, &str)> {
    let path = path.trim_end_matches('/');
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    if name.is_empty() || name == "." || name == ".." {
        return Err(Failure::new(Code::InvalidArgument, format!("{path:?} names no file")));
    }
    Ok((if parent.is_empty() { "/" } else { parent }, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    struct World {
        directory: PathBuf,
        root: Root,
    }

    impl World {
        /// A root with links, each given as name and target.
        fn new(name: &str, links: &[(&str, &str)]) -> World {
            let directory = std::env::temp_dir().join(format!("tsbox-root-{name}-{}", std::process::id()));
            fs::create_dir_all(directory.join("root")).unwrap();
            for (link, target) in links {
                let link = directory.join("root").join(link);
                fs::create_dir_all(link.parent().unwrap()).unwrap();
                symlink(target, link).unwrap();
            }
            let root = at::open_path(directory.join("root").to_str().unwrap().as_bytes(), libc::O_PATH).unwrap();
            World {
                directory,
                root: Root::new(root),
            }
        }

        fn kind(&self, path: &str) -> Option<&'static str> {
            let found = fs::symlink_metadata(self.directory.join("root").join(path)).ok()?;
            Some(if found.is_dir() { "directory" } else { "file" })
        }
    }

    impl Drop for World {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }

    #[test]
    fn a_link_that_leads_nowhere_gets_what_it_leads_to() {
        let world = World::new(
            "dangling",
            &[
                ("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf"),
                ("etc/hosts", "/var/lib/hosts"),
                ("var", "data/var"),
                ("one", "two"),
                ("two", "/three/./four//"),
                ("work", "missing/../there"),
            ],
        );
        world.root.make_file("/etc/resolv.conf").unwrap();
        assert_eq!(world.kind("run/systemd/resolve/stub-resolv.conf"), Some("file"));
        world.root.make_file("/etc/hosts").unwrap();
        assert_eq!(world.kind("data/var/lib/hosts"), Some("file"));
        world.root.make_directory("/one/deep", 0o755).unwrap();
        assert_eq!(world.kind("three/four/deep"), Some("directory"));
        world.root.make_directory("/one/deep", 0o755).unwrap();
        world.root.make_directory("/work", 0o755).unwrap();
        assert_eq!(world.kind("there"), Some("directory"));
    }

    #[test]
    fn no_link_leads_out_of_the_root() {
        let out = ["../../../outside", "/../outside", "x/../../../outside"];
        for (at, target) in out.into_iter().enumerate() {
            let world = World::new(&format!("out{at}"), &[("file", target), ("directory", &format!("{target}-d"))]);
            world.root.make_file("/file").unwrap();
            world.root.make_directory("/directory/in", 0o755).unwrap();
            assert_eq!(world.kind("outside"), Some("file"), "{target}");
            assert_eq!(world.kind("outside-d/in"), Some("directory"), "{target}");
            assert_eq!(fs::read_dir(&world.directory).unwrap().count(), 1, "{target}");
        }
    }

    #[test]
    fn a_loop_of_links_is_refused_in_words() {
        let world = World::new(
            "loop",
            &[("a", "b"), ("b", "/a"), ("self", "self/deeper"), ("grows", "new/../grows")],
        );
        for path in ["/a", "/a/below", "/self", "/grows", "/grows/x"] {
            for made in [world.root.make_file(path), world.root.make_directory(path, 0o755)] {
                let failure = made.unwrap_err();
                assert_eq!(failure.errno, Some(libc::ELOOP), "{path}: {failure}");
                assert!(failure.message.contains("form a loop"), "{failure}");
            }
        }
        // Forty links are followed, as by the kernel, but no more.
        let names: Vec<(String, String)> = (0..41).map(|at| (format!("n{at}"), format!("n{}", at + 1))).collect();
        let links: Vec<(&str, &str)> = names.iter().map(|(link, target)| (link.as_str(), target.as_str())).collect();
        let world = World::new("chain", &links);
        assert!(world.root.make_file("/n0").is_err());
        world.root.make_file("/n1").unwrap();
        assert_eq!(world.kind("n41"), Some("file"));
    }

    #[test]
    fn a_file_is_no_parent_and_no_directory() {
        let world = World::new("kinds", &[("to-file", "file"), ("below", "file/x")]);
        world.root.make_file("/file").unwrap();
        for failure in [
            world.root.make_directory("/file", 0o755).unwrap_err(),
            world.root.make_directory("/to-file", 0o755).unwrap_err(),
            world.root.make_file("/file/x").unwrap_err(),
            world.root.make_file("/below").unwrap_err(),
        ] {
            assert_eq!(failure.errno, Some(libc::ENOTDIR), "{failure}");
            assert!(failure.message.contains("a file is where a directory is needed"), "{failure}");
        }
        assert!(world.root.make_file("/").is_ok(), "what is there is the place");
    }
}
