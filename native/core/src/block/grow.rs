//! A mounted file system, grown to the size of its device.

use super::control;
use crate::failure::{Code, Failure, Result};
use crate::sys;
use std::os::fd::{AsFd, BorrowedFd};

const EXT4_MAGIC: i64 = 0xef53;
const XFS_MAGIC: i64 = 0x5846_5342;
/// EXT4_IOC_RESIZE_FS
const EXT4_RESIZE: u64 = 0x4008_6610;
/// XFS_IOC_FSGEOMETRY
const XFS_GEOMETRY: u64 = 0x8100_587e;
/// XFS_IOC_FSGROWFSDATA
const XFS_GROW: u64 = 0x4010_586e;

/// Grows the file system of the directory `root` to `bytes`: ext4 or xfs. One that has this size already stays as it is.
pub fn grow(root: BorrowedFd, bytes: u64) -> Result<()> {
    match sys::file_system(root)? {
        EXT4_MAGIC => {
            let block = rustix::fs::fstatfs(root).map_or(4096, |found| found.f_bsize as u64);
            let mut blocks = bytes / block;
            control(root, EXT4_RESIZE, &mut blocks, "ioctl(EXT4_IOC_RESIZE_FS)", "")
        }
        XFS_MAGIC => grow_xfs(root.as_fd(), bytes),
        _ => Err(Failure::new(Code::Unsupported, "only ext4 and xfs can be grown here")),
    }
}

/// struct xfs_fsop_geom
#[repr(C)]
struct Geometry {
    block_size: u32,
    unused: [u32; 6],
    inode_percent: u32,
    data_blocks: u64,
    more: [u64; 27],
}

/// struct xfs_growfs_data
#[repr(C)]
struct Growth {
    blocks: u64,
    inode_percent: u32,
}

fn grow_xfs(root: BorrowedFd, bytes: u64) -> Result<()> {
    let mut geometry = Geometry {
        block_size: 0,
        unused: [0; 6],
        inode_percent: 0,
        data_blocks: 0,
        more: [0; 27],
    };
    control(root, XFS_GEOMETRY, &mut geometry, "ioctl(XFS_IOC_FSGEOMETRY)", "")?;
    let mut growth = Growth {
        blocks: bytes / u64::from(geometry.block_size.max(1)),
        inode_percent: geometry.inode_percent,
    };
    if growth.blocks <= geometry.data_blocks {
        return Ok(());
    }
    control(root, XFS_GROW, &mut growth, "ioctl(XFS_IOC_FSGROWFSDATA)", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_have_the_sizes_that_the_requests_name() {
        assert_eq!(std::mem::size_of::<Geometry>(), (XFS_GEOMETRY as usize >> 16) & 0x3fff);
        assert_eq!(std::mem::size_of::<Growth>(), (XFS_GROW as usize >> 16) & 0x3fff);
    }
}
