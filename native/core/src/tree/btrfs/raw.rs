//! The ioctls of linux/btrfs.h, with their records.

use super::ROOT_INODE;
use crate::failure::{Code, Failure, Result};
use crate::tree::{Named, shown};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

const SYNC: u64 = 0x9408;
pub const SNAP_CREATE_V2: u64 = 0x5000_9417;
pub const SUBVOL_CREATE_V2: u64 = 0x5000_9418;
pub const SNAP_DESTROY_V2: u64 = 0x5000_943f;
const SUBVOL_GETFLAGS: u64 = 0x8008_9419;
const SUBVOL_SETFLAGS: u64 = 0x4008_941a;
const TREE_SEARCH_V2: u64 = 0xc070_9411;
const INO_LOOKUP: u64 = 0xd000_9412;
pub const QUOTA_CTL: u64 = 0xc010_9428;
/// _IOW(0x94, 41, struct btrfs_ioctl_qgroup_assign_args)
pub const QGROUP_ASSIGN: u64 = 0x4018_9429;
pub const QGROUP_CREATE: u64 = 0x4010_942a;
pub const QGROUP_LIMIT: u64 = 0x8030_942b;

/// BTRFS_SUBVOL_RDONLY
pub const READ_ONLY: u64 = 1 << 1;
/// BTRFS_SUBVOL_SPEC_BY_ID
const BY_ID: u64 = 1 << 4;

/// Runs an ioctl over a record of the kernel's layout.
pub fn control<T>(fd: BorrowedFd, request: u64, record: &mut T) -> io::Result<()> {
    // SAFETY: each caller passes the record that the request's number names; it outlives the call.
    match unsafe { libc::ioctl(fd.as_raw_fd(), request as _, record as *mut T) } {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// struct btrfs_ioctl_vol_args_v2.
#[repr(C)]
pub struct VolumeArguments {
    pub fd: i64,
    transid: u64,
    pub flags: u64,
    unused: [u64; 4],
    /// Also the id of a subvolume.
    name: [u8; 4040],
}

impl VolumeArguments {
    pub fn named(name: &CStr) -> Result<Self> {
        let bytes = name.to_bytes_with_nul();
        let mut arguments = VolumeArguments {
            fd: 0,
            transid: 0,
            flags: 0,
            unused: [0; 4],
            name: [0; 4040],
        };
        let room = arguments.name.get_mut(..bytes.len());
        let Some(room) = room else {
            let text = format!("{}: too long for the name of a subvolume", shown(name.to_bytes()));
            return Err(Failure::new(Code::InvalidArgument, text));
        };
        room.copy_from_slice(bytes);
        Ok(arguments)
    }

    fn by_id(id: u64) -> Self {
        let mut name = [0; 4040];
        name[..8].copy_from_slice(&id.to_ne_bytes());
        VolumeArguments {
            fd: 0,
            transid: 0,
            flags: BY_ID,
            unused: [0; 4],
            name,
        }
    }

    pub fn run(mut self, directory: BorrowedFd, request: u64, syscall: &str, path: &[u8]) -> Result<()> {
        control(directory, request, &mut self).named(syscall, path)
    }
}

/// Destroys a subvolume by its id (Linux 5.7). `any`: a directory of the same file system.
pub fn destroy(any: BorrowedFd, id: u64) -> io::Result<()> {
    control(any, SNAP_DESTROY_V2, &mut VolumeArguments::by_id(id))
}

/// The id of the subvolume that a file belongs to.
pub fn id(file: BorrowedFd) -> io::Result<u64> {
    /// struct btrfs_ioctl_ino_lookup_args.
    #[repr(C)]
    struct Lookup {
        tree: u64,
        object: u64,
        name: [u8; 4080],
    }
    let mut lookup = Lookup {
        tree: 0,
        object: ROOT_INODE,
        name: [0; 4080],
    };
    control(file, INO_LOOKUP, &mut lookup)?;
    Ok(lookup.tree)
}

pub fn flags(subvolume: BorrowedFd) -> io::Result<u64> {
    let mut flags = 0u64;
    control(subvolume, SUBVOL_GETFLAGS, &mut flags)?;
    Ok(flags)
}

pub fn set_flags(subvolume: BorrowedFd, mut flags: u64) -> io::Result<()> {
    control(subvolume, SUBVOL_SETFLAGS, &mut flags)
}

/// Writes the file system to disk, and wakes the thread that frees removed subvolumes.
pub fn sync(any: BorrowedFd) -> io::Result<()> {
    control(any, SYNC, &mut 0u64)
}

/// A key of an item in one of the file system's trees, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub object: u64,
    pub kind: u32,
    pub offset: u64,
}

impl Key {
    /// The next key in order; None: there is none.
    fn next(self) -> Option<Key> {
        let Key { object, kind, offset } = self;
        if let Some(offset) = offset.checked_add(1) {
            return Some(Key { object, kind, offset });
        }
        match kind < u32::from(u8::MAX) {
            true => Some(Key {
                object,
                kind: kind + 1,
                offset: 0,
            }),
            false => object.checked_add(1).map(|object| Key {
                object,
                kind: 0,
                offset: 0,
            }),
        }
    }
}

/// struct btrfs_ioctl_search_key, and the size of the buffer after it.
#[repr(C)]
struct Search {
    tree: u64,
    min_object: u64,
    max_object: u64,
    min_offset: u64,
    max_offset: u64,
    min_transaction: u64,
    max_transaction: u64,
    min_kind: u32,
    max_kind: u32,
    items: u32,
    unused: u32,
    unused_more: [u64; 4],
    size: u64,
    buffer: [u8; BUFFER],
}
/// More than the largest item of a leaf of 64 KiB.
const BUFFER: usize = 128 << 10;
const HEADER: usize = 32;

/// Calls `each` for the items of `tree` between two keys in their order, until it returns false. Only leaves of the transaction `since` or
/// of later ones are read. ENOENT: there is no such tree. `any`: a file of the same file system.
pub fn search(any: BorrowedFd, tree: u64, from: Key, to: Key, since: u64, each: &mut dyn FnMut(Key, &[u8]) -> Result<bool>) -> Result<()> {
    let mut from = from;
    // SAFETY: plain numbers, for which zero is a value. Boxed, since threads of requests have small stacks.
    let mut search: Box<Search> = unsafe { Box::<Search>::new_zeroed().assume_init() };
    loop {
        (search.tree, search.size) = (tree, BUFFER as u64);
        (search.min_object, search.min_kind, search.min_offset) = (from.object, from.kind, from.offset);
        (search.max_object, search.max_kind, search.max_offset) = (to.object, to.kind, to.offset);
        (search.min_transaction, search.max_transaction) = (since, u64::MAX);
        search.items = u32::MAX;
        control(any, TREE_SEARCH_V2, &mut *search).named("ioctl(BTRFS_IOC_TREE_SEARCH_V2)", b"")?;
        if search.items == 0 {
            return Ok(());
        }
        let mut rest = &search.buffer[..];
        let mut last = from;
        for _ in 0..search.items {
            let Some((header, data)) = rest.split_at_checked(HEADER) else {
                break;
            };
            let length = number32(header, 28) as usize;
            let Some((data, more)) = data.split_at_checked(length) else { break };
            last = Key {
                object: number(header, 8),
                kind: number32(header, 24),
                offset: number(header, 16),
            };
            if !each(last, data)? {
                return Ok(());
            }
            rest = more;
        }
        match last.next() {
            Some(next) if next <= to => from = next,
            _ => return Ok(()),
        }
    }
}

/// The little-endian number at an offset of an item; 0 beyond its end, where an older kernel has left fields out.
pub fn number(data: &[u8], at: usize) -> u64 {
    data.get(at..at + 8)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

pub fn number32(data: &[u8], at: usize) -> u32 {
    data.get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u32::from_le_bytes)
}

/// Opens the directory `inode` of a subvolume, wherever it is (open_by_handle_at(2)). ESTALE: it is gone.
pub fn open_inode(any: BorrowedFd, subvolume: u64, inode: u64, generation: u32) -> io::Result<OwnedFd> {
    /// struct file_handle with a struct btrfs_fid.
    #[repr(C)]
    struct Handle {
        bytes: u32,
        kind: i32,
        inode: [u8; 8],
        subvolume: [u8; 8],
        generation: u32,
    }
    /// FILEID_BTRFS_WITHOUT_PARENT
    const KIND: i32 = 0x4d;
    let mut handle = Handle {
        bytes: 20,
        kind: KIND,
        inode: inode.to_ne_bytes(),
        subvolume: subvolume.to_ne_bytes(),
        generation,
    };
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: a record of the kernel's layout, which outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_open_by_handle_at, any.as_raw_fd(), &raw mut handle, flags) };
    match fd {
        // SAFETY: the call just made it, and nobody else has it.
        0.. => Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_sizes_that_the_ioctls_name() {
        let named = |request: u64| (request >> 16 & 0x3fff) as usize;
        assert_eq!(named(SUBVOL_CREATE_V2), size_of::<VolumeArguments>());
        assert_eq!(named(TREE_SEARCH_V2), std::mem::offset_of!(Search, buffer));
    }

    #[test]
    fn keys_follow_each_other() {
        let key = |object, kind, offset| Key { object, kind, offset };
        assert_eq!(key(5, 1, 7).next(), Some(key(5, 1, 8)));
        assert_eq!(key(5, 1, u64::MAX).next(), Some(key(5, 2, 0)));
        assert_eq!(key(5, 255, u64::MAX).next(), Some(key(6, 0, 0)));
        assert_eq!(key(u64::MAX, 255, u64::MAX).next(), None);
    }
}
