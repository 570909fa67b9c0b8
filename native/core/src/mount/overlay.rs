//! Overlays: their layers by descriptor, and support for old kernels.

use super::Mount;
use super::plain::open_plain;
use crate::failure::{Code, Failure, Result};
use crate::sys::mount::{Attributes, Context, LONGEST_VALUE, clone_tree, set_attributes};
use crate::sys::{self, Call};
use rustix::mount::MountFlags;
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// Directories that are opened before overlayfs gets them as `/proc/self/fd/N`. A process that reads a container's /proc/self/mountinfo
/// sees these names, which reveal nothing about the host. They are also short, since fsconfig(2) takes at most 255 bytes.
struct Lent(Vec<OwnedFd>);

impl Lent {
    fn name(&mut self, path: &str) -> Result<String> {
        let directory = sys::open(path, libc::O_PATH)?;
        let name = format!("{DESCRIPTORS}/{}", directory.as_raw_fd());
        self.0.push(directory);
        Ok(name)
    }

    fn options(&mut self, options: &[&str]) -> Result<Vec<String>> {
        options.iter().map(|option| self.option(option)).collect()
    }

    fn option(&mut self, option: &str) -> Result<String> {
        match option.split_once('=') {
            Some((key @ ("lowerdir+" | "upperdir" | "workdir"), path)) => Ok(format!("{key}={}", self.name(path)?)),
            _ => Ok(option.to_owned()),
        }
    }
}

const DESCRIPTORS: &str = "/proc/self/fd";

/// Opens an overlay. `lowerdir+` exists since Linux 6.5. Before that, overlayfs takes one `lowerdir=a:b`, of which fsconfig(2) takes 255
/// bytes. So the layers are named by their numbers, relative to /proc/self/fd: about 80 of them fit, and more go by mount(2). A thread with
/// a separate working directory enters that directory.
pub(super) fn open_overlay(mount: &Mount, data: &[&str], attributes: Attributes) -> Result<OwnedFd> {
    let named = forget_volatile(data)?;
    let mut lent = Lent(Vec::new());
    let options = lent.options(&named)?;
    let data: Vec<&str> = options.iter().map(String::as_str).collect();
    let refused = match open_plain(mount, &data, attributes) {
        // An old kernel takes any string and refuses it when the superblock is made.
        Err(failure) if failure.errno == Some(libc::EINVAL) && !has_lowerdir_plus() => failure,
        answer => return answer,
    };
    let (lowers, others) = joined_lowers(&data);
    if lowers.len() >= LONGEST_VALUE {
        return by_page(&mount.source, &named, attributes).map_err(|failure| Failure {
            message: format!("{} (Linux 6.5 says why: {})", failure.message, refused.message),
            ..failure
        });
    }
    let context = Context::open(&mount.type_)?;
    others.iter().try_for_each(|option| context.option(option))?;
    context.set("lowerdir", &lowers)?;
    within_descriptors(UnshareFlags::FS, || context.mount(attributes))
}

/// Opens an overlay with all options in one page, which holds five hundred layers by their numbers. That is mount(2), which attaches what
/// it makes: in a mount namespace of the moment, from where it is cloned.
fn by_page(source: &str, data: &[&str], attributes: Attributes) -> Result<OwnedFd> {
    within_descriptors(UnshareFlags::FS | UnshareFlags::NEWNS, || {
        let root = sys::open("/", libc::O_PATH)?;
        let private = Attributes {
            propagation: libc::MS_PRIVATE,
            ..Attributes::default()
        };
        set_attributes(root.as_fd(), private, true)?;
        // Opened anew: overlayfs takes layers of the caller's mount namespace only.
        let mut lent = Lent(Vec::new());
        let options = lent.options(data)?;
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let (lowers, others) = joined_lowers(&options);
        let tree = mounted_by_page(source, &lowers, &others)?;
        set_attributes(tree.as_fd(), attributes, false)?;
        Ok(tree)
    })
}

/// The same, for a caller in a mount namespace of its own, whose working directory has the layers by the names in `lowers`.
pub(crate) fn mounted_by_page(source: &str, lowers: &str, others: &[&str]) -> Result<OwnedFd> {
    /// What is covered is of no use to anybody there.
    const PLACE: &str = "/proc";
    let options = [&[format!("lowerdir={lowers}").as_str()], others].concat().join(",");
    if options.len() >= PAGE {
        let count = lowers.split(':').count();
        let message = format!("the options of {count} overlay layers are too long for this kernel; Linux 6.5 takes 500 layers of any name");
        return Err(Failure::new(Code::Unsupported, message));
    }
    let (source, options) = (sys::text(source)?, sys::text(&options)?);
    rustix::mount::mount(&source, PLACE, c"overlay", MountFlags::empty(), Some(options.as_c_str())).call("mount", Some("overlay"))?;
    clone_tree(Path::new(PLACE), false)
}

/// mount(2) takes less than a page of options.
const PAGE: usize = 4096;

/// The numbers of the layers' descriptors as one `lowerdir`, and all other options.
fn joined_lowers<'a>(data: &[&'a str]) -> (String, Vec<&'a str>) {
    let (lowers, others): (Vec<&str>, Vec<&str>) = data.iter().partition(|option| option.starts_with("lowerdir+="));
    let number = |option: &&'a str| option.rsplit('/').next();
    (lowers.iter().filter_map(number).collect::<Vec<_>>().join(":"), others)
}

/// The option of an overlay whose upper layer is not needed after a crash of the host. Storage drivers set it and this file removes it; the
/// kernel does not get it.
const DISCARDED: &str = "x-tsbox.discarded";

/// An overlay that was mounted with `volatile` leaves a mark in its work directory. overlayfs then refuses that directory, since the host
/// may have crashed. If the layer is [`DISCARDED`], a crash does not matter, so the mark is removed; a user's own overlay keeps it. Returns
/// the options for the kernel.
pub(crate) fn forget_volatile<'a>(data: &[&'a str]) -> Result<Vec<&'a str>> {
    if let Some(work) = discarded_work(data) {
        let mark = Path::new(work).join("work/incompat/volatile");
        let removed = [std::fs::remove_file(mark.join("dirty")), std::fs::remove_dir(&mark)];
        for error in removed.into_iter().filter_map(std::result::Result::err) {
            if error.kind() != ErrorKind::NotFound {
                return Err(Failure::io(&error, "remove", Some(&mark.to_string_lossy())));
            }
        }
    }
    Ok(data.iter().copied().filter(|option| *option != DISCARDED).collect())
}

/// The work directory of a discarded overlay.
fn discarded_work<'a>(data: &[&'a str]) -> Option<&'a str> {
    let work = data.iter().find_map(|option| option.strip_prefix("workdir="))?;
    data.contains(&DISCARDED).then_some(work)
}

/// Runs `work` on a thread whose working directory, separate from the process's, lists this process's descriptors. `apart`: with `FS`.
fn within_descriptors<T: Send>(apart: UnshareFlags, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let directory = sys::open(DESCRIPTORS, libc::O_PATH)?;
    let enter_and_work = || {
        // SAFETY: these give this thread a working directory of its own, and mounts; it shares no descriptors or memory less.
        unsafe { unshare_unsafe(apart) }.call("unshare", None)?;
        rustix::process::fchdir(&directory).call("fchdir", None)?;
        work()
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("tsbox-mount".to_owned())
            .spawn_scoped(scope, enter_and_work);
        let thread = thread.map_err(|error| Failure::io(&error, "clone", None))?;
        thread
            .join()
            .map_err(|_| Failure::new(Code::Internal, "the mounting thread panicked"))?
    })
}

/// Whether this kernel's overlayfs has the option `lowerdir+`.
pub(crate) fn has_lowerdir_plus() -> bool {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").is_ok_and(|release| is_at_least(&release, (6, 5)))
}

/// Parses releases such as `6.12.5-amd64`.
fn is_at_least(release: &str, version: (u32, u32)) -> bool {
    let mut numbers = release.split(['.', '-']).map(|part| part.trim().parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= version
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn naming_descriptors_leaves_the_working_directory_of_the_process_alone() {
        let before = std::env::current_dir().unwrap();
        let own = sys::open("/", libc::O_PATH).unwrap();
        let number = own.as_raw_fd().to_string();
        let seen = within_descriptors(UnshareFlags::FS, || {
            // The working directory of the process's first thread meanwhile.
            let main = std::fs::read_link(format!("/proc/self/task/{}/cwd", std::process::id())).unwrap();
            Ok((main, std::fs::metadata(&number).is_ok_and(|found| found.is_dir())))
        });
        assert_eq!(seen.unwrap(), (before.clone(), true));
        assert_eq!(std::env::current_dir().unwrap(), before);
    }

    #[test]
    fn hundreds_of_layers_fit_into_one_page() {
        if !rustix::process::geteuid().is_root() {
            return eprintln!("skipped: needs root");
        }
        let world = std::env::temp_dir().join(format!("tsbox-page-{}", std::process::id()));
        let layers: Vec<_> = (0..400).map(|at| world.join(at.to_string())).collect();
        for (at, layer) in layers.iter().enumerate() {
            std::fs::create_dir_all(layer).unwrap();
            std::fs::write(layer.join(format!("f{}", at % 7)), at.to_string()).unwrap();
        }
        let options: Vec<String> = layers.iter().map(|layer| format!("lowerdir+={}", layer.display())).collect();
        let options: Vec<&str> = options.iter().map(String::as_str).chain(["redirect_dir=off"]).collect();
        let before = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let tree = by_page("overlay", &options, Attributes::default()).unwrap();
        let seen = |name: &str| std::fs::read_to_string(format!("/proc/self/fd/{}/{name}", tree.as_raw_fd())).unwrap();
        assert_eq!((seen("f0"), seen("f6")), ("0".to_owned(), "6".to_owned()));
        assert_eq!(std::fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
        drop(tree);
        let long = vec!["x".repeat(50); 100].join(":");
        let refused = mounted_by_page("overlay", &long, &[]).unwrap_err();
        assert!(refused.message.contains("too long for this kernel"), "{refused}");
        std::fs::remove_dir_all(&world).unwrap();
    }

    #[test]
    fn releases_are_compared_by_number() {
        for (release, is) in [
            ("6.5.0-generic\n", true),
            ("6.12.5", true),
            ("6.4.99", false),
            ("5.15.0-91-generic", false),
            ("10.0-rc1", true),
            ("7", true),
            ("", false),
        ] {
            assert_eq!(is_at_least(release, (6, 5)), is, "{release:?}");
        }
    }

    #[test]
    fn layers_become_numbers_in_their_order() {
        let data = [
            "lowerdir+=/proc/self/fd/9",
            "upperdir=/proc/self/fd/4",
            "lowerdir+=/proc/self/fd/12",
            "volatile",
        ];
        let (lowers, others) = joined_lowers(&data);
        assert_eq!(lowers, "9:12");
        assert_eq!(others, ["upperdir=/proc/self/fd/4", "volatile"]);
    }

    #[test]
    fn a_mark_goes_only_with_a_layer_that_is_discarded() {
        assert_eq!(discarded_work(&["workdir=/w", "volatile", DISCARDED]), Some("/w"));
        assert_eq!(discarded_work(&["workdir=/w", "volatile"]), None);
        assert_eq!(discarded_work(&[DISCARDED]), None);
        assert_eq!(forget_volatile(&["volatile", DISCARDED]).unwrap(), ["volatile"]);
    }
}
