//! Devices of the device mapper (linux/dm-ioctl.h), each with a table of one row.

use super::record::Record;
use super::{control, make_node};
use crate::failure::{Code, Failure, Result};
use crate::sys;
use rustix::fs::FileType;
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, OwnedFd};

const CONTROL: &str = "/dev/mapper/control";
/// MISC_MAJOR and MAPPER_CTRL_MINOR.
const CONTROL_DEVICE: (u32, u32) = (10, 236);

/// _IOWR(0xfd, number, struct dm_ioctl)
const fn request(number: u64) -> u64 {
    0xc138_fd00 | number
}
const LIST_DEVICES: u64 = request(2);
const CREATE: u64 = request(3);
const REMOVE: u64 = request(4);
/// Suspends with the flag `SUSPEND`, and resumes without it.
const SUSPEND_OR_RESUME: u64 = request(6);
const STATUS: u64 = request(7);
const LOAD: u64 = request(9);
const TABLE_STATUS: u64 = request(12);
const LIST_VERSIONS: u64 = request(13);
const MESSAGE: u64 = request(14);

const READ_ONLY: u32 = 1;
const SUSPEND: u32 = 1 << 1;
const STATUS_TABLE: u32 = 1 << 4;
const ACTIVE: u32 = 1 << 5;
const BUFFER_FULL: u32 = 1 << 8;
const SKIP_LOCK: u32 = 1 << 10;
const NO_FLUSH: u32 = 1 << 11;
const DEFERRED: u32 = 1 << 17;

/// Memory for the status of one device, and for lists. It is doubled while the kernel says that it is too small, up to the second number.
const ROOM: usize = 16 << 10;
const MOST_ROOM: usize = 64 << 20;
/// How often a device is made that disappears again at once, because its removal was under way.
const ATTEMPTS: usize = 100;

/// A device's table: that many sectors of a target.
#[derive(Clone, Debug, Deserialize)]
pub struct Row {
    pub sectors: u64,
    pub target: String,
    pub parameters: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// The path of its node.
    pub path: String,
    /// How many mounts, other devices and processes use it.
    pub open_count: i32,
    pub read_only: bool,
    pub suspended: bool,
    /// The parameters of its table.
    pub parameters: String,
    /// What its target reports.
    pub status: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Removal {
    Gone,
    /// It is in use, and goes with the last user.
    Later,
}

fn open_control() -> Result<OwnedFd> {
    let missing = |failure: Failure| match failure.errno {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => Failure {
            code: Code::Unsupported,
            message: "this kernel has no device mapper".to_owned(),
            ..failure
        },
        _ => failure,
    };
    match sys::open(CONTROL, libc::O_RDWR) {
        Err(failure) if failure.errno == Some(libc::ENOENT) => {
            // Whether the module is there: a node without it would be of no use.
            let known = std::fs::read_to_string("/proc/misc").is_ok_and(|list| list.lines().any(|line| line.ends_with(" device-mapper")));
            if !known {
                return Err(missing(failure));
            }
            make_node(
                CONTROL,
                FileType::CharacterDevice,
                libc::makedev(CONTROL_DEVICE.0, CONTROL_DEVICE.1),
            )?;
            sys::open(CONTROL, libc::O_RDWR).map_err(missing)
        }
        other => other.map_err(missing),
    }
}

fn run(record: &mut Record, request: u64, name: &str) -> Result<()> {
    let (syscall, device) = match request {
        LIST_DEVICES => ("ioctl(DM_LIST_DEVICES)", CONTROL),
        CREATE => ("ioctl(DM_DEV_CREATE)", name),
        REMOVE => ("ioctl(DM_DEV_REMOVE)", name),
        SUSPEND_OR_RESUME => ("ioctl(DM_DEV_SUSPEND)", name),
        STATUS => ("ioctl(DM_DEV_STATUS)", name),
        LOAD => ("ioctl(DM_TABLE_LOAD)", name),
        TABLE_STATUS => ("ioctl(DM_TABLE_STATUS)", name),
        MESSAGE => ("ioctl(DM_TARGET_MSG)", name),
        _ => ("ioctl(DM_LIST_VERSIONS)", CONTROL),
    };
    // SAFETY: the record begins with a header, which says how long it is; its memory is not moved meanwhile.
    let first = unsafe { &mut *record.bytes_mut().as_mut_ptr().cast::<[u8; super::record::HEADER]>() };
    control(open_control()?.as_fd(), request, first, syscall, device).map_err(|failure| match failure.errno {
        // The kernel's answer for a name that no device has.
        Some(libc::ENXIO) => Failure {
            code: Code::NotFound,
            message: format!("no mapped device {name}"),
            ..failure
        },
        _ => failure,
    })
}

/// Runs a request that fills memory, with more and more of it.
fn filled(name: &str, flags: u32, request: u64) -> Result<Record> {
    let mut room = ROOM;
    loop {
        let mut record = Record::new(name, flags, room)?;
        run(&mut record, request, name)?;
        if record.flags() & BUFFER_FULL == 0 {
            return Ok(record);
        }
        room *= 2;
        if room > MOST_ROOM {
            return Err(Failure::new(Code::ResourceExhausted, "the device mapper's list is too long"));
        }
    }
}

/// The kinds of targets that the kernel knows. `Unsupported`: it has no device mapper.
pub fn targets() -> Result<Vec<String>> {
    Ok(filled("", 0, LIST_VERSIONS)?.names(0, 16))
}

/// The names of the devices that begin with `prefix`.
pub fn devices(prefix: &str) -> Result<Vec<String>> {
    let mut names = filled("", 0, LIST_DEVICES)?.names(8, 12);
    names.retain(|name| name.starts_with(prefix));
    Ok(names)
}

fn node_of(name: &str) -> String {
    format!("/dev/mapper/{name}")
}

/// Makes a device, or takes the one that exists by this name, whose removal is called off. Returns the path of its node.
pub fn map(name: &str, row: &Row, read_only: bool) -> Result<String> {
    for _ in 0..ATTEMPTS {
        let mut record = Record::new(name, if read_only { READ_ONLY } else { 0 }, 0)?;
        match run(&mut record, CREATE, name) {
            Ok(()) => {
                let made = load(name, row, read_only).and_then(|()| resume(name));
                if let Err(failure) = made {
                    let _ = run(&mut Record::new(name, 0, 0)?, REMOVE, name);
                    return Err(failure);
                }
            }
            Err(failure) if failure.errno == Some(libc::EBUSY) => {
                // A name that is being removed can be neither used nor made anew, for a moment.
                if !keep(name)? {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                    continue;
                }
                // The engine that made it died before it had a table.
                if header(name, STATUS)?.flags() & ACTIVE == 0 {
                    load(name, row, read_only)?;
                }
                resume(name)?;
            }
            Err(failure) => return Err(failure),
        }
        let path = node_of(name);
        make_node(&path, FileType::BlockDevice, header(name, STATUS)?.device())?;
        return Ok(path);
    }
    Err(Failure::new(
        Code::Unavailable,
        format!("the mapped device {name} is being removed, and does not go"),
    ))
}

/// Calls a deferred removal off. False: the device is gone, or about to go.
fn keep(name: &str) -> Result<bool> {
    match message(name, "@cancel_deferred_remove") {
        Ok(()) => Ok(true),
        Err(failure) if matches!(failure.errno, Some(libc::ENXIO | libc::EBUSY)) => Ok(false),
        Err(failure) => Err(failure),
    }
}

fn header(name: &str, request: u64) -> Result<Record> {
    let mut record = Record::new(name, 0, 0)?;
    run(&mut record, request, name)?;
    Ok(record)
}

fn load(name: &str, row: &Row, read_only: bool) -> Result<()> {
    let flags = if read_only { READ_ONLY } else { 0 };
    let mut record = Record::with_table(name, flags, row.sectors, &row.target, &row.parameters)?;
    run(&mut record, LOAD, name)
}

/// Gives a device another table. What is being written to it is not flushed, so that this works on a device that is full.
pub fn reload(name: &str, row: &Row) -> Result<()> {
    let read_only = header(name, STATUS)?.flags() & READ_ONLY != 0;
    load(name, row, read_only)?;
    suspend(name, NO_FLUSH | SKIP_LOCK)?;
    resume(name)
}

fn suspend(name: &str, flags: u32) -> Result<()> {
    run(&mut Record::new(name, SUSPEND | flags, 0)?, SUSPEND_OR_RESUME, name)
}

/// Ends a suspension, and makes a new table the current one.
pub fn resume(name: &str) -> Result<()> {
    run(&mut Record::new(name, 0, 0)?, SUSPEND_OR_RESUME, name)
}

/// Sends a message to a device's target.
pub fn message(name: &str, text: &str) -> Result<()> {
    run(&mut Record::with_message(name, text)?, MESSAGE, name)
}

/// Sends a message to the device `name` while the device `quiet` is suspended, with all that was written to it before. `quiet` is resumed
/// whatever happens.
pub fn suspended_message(name: &str, text: &str, quiet: &str) -> Result<()> {
    suspend(quiet, 0)?;
    let sent = message(name, text);
    let resumed = resume(quiet);
    sent.and(resumed)
}

/// `None`: there is no such device.
pub fn status(name: &str) -> Result<Option<Device>> {
    let found = match filled(name, NO_FLUSH, TABLE_STATUS) {
        Err(failure) if failure.code == Code::NotFound => return Ok(None),
        other => other?,
    };
    let table = filled(name, STATUS_TABLE | NO_FLUSH, TABLE_STATUS)?;
    Ok(Some(Device {
        path: node_of(name),
        open_count: found.open_count(),
        read_only: found.flags() & READ_ONLY != 0,
        suspended: found.flags() & SUSPEND != 0,
        parameters: table.row().map_or(String::new(), |(_, text)| text),
        status: found.row().map_or(String::new(), |(_, text)| text),
    }))
}

/// Removes a device and its node. One that is in use goes with its last user. A device that does not exist is no error.
pub fn unmap(name: &str) -> Result<Removal> {
    let mut record = Record::new(name, DEFERRED, 0)?;
    let removal = match run(&mut record, REMOVE, name) {
        Err(failure) if failure.code != Code::NotFound => return Err(failure),
        Ok(()) if record.flags() & DEFERRED != 0 => Removal::Later,
        _ => Removal::Gone,
    };
    // Without its node nobody mounts it anew; with udev it is a link, which udev removes itself.
    let _ = std::fs::remove_file(node_of(name));
    Ok(removal)
}
