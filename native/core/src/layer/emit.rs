//! Converts entries of a tree to members of an archive.

use super::WHITEOUT;
use super::member::{Kind, Member, Segment};
use super::writer::Writer;
use crate::failure::{Code, Failure, Result};
use crate::id_maps::IdMaps;
use crate::sys::{at, xattr};
use crate::tree::{Cancel, Named, join, shown};
use std::collections::HashMap;
use std::ffi::CStr;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A file whose holes are smaller in total is not written as a sparse member, which not every reader supports.
const WORTH: u64 = 64 << 10;
/// A file with more pieces than this is written completely, and may become a terabyte for a few bytes. A longer list of pieces may exceed
/// the mebibyte that Go's archive/tar, and therefore Docker, reads.
const MOST_PIECES: usize = 32 << 10;

/// The reader of the archive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A layer: names that would be read as a whiteout are refused, holes are recorded, and a file that changes meanwhile is an error.
    Layer,
    /// Any reader. Docker's readers copy members and lose extensions that they do not know, so holes are not recorded. A file that shrinks
    /// meanwhile is filled up with zeros, as tar(1) does.
    Plain,
}

pub struct Emitter<'a, W: Write> {
    writer: Writer<W>,
    purpose: Purpose,
    /// Maps the host's ids to the container's.
    maps: Option<&'a IdMaps>,
    /// The first name of every file that has several names.
    links: HashMap<(u64, u64), Vec<u8>>,
    cancel: &'a Cancel,
}

impl<'a, W: Write> Emitter<'a, W> {
    pub fn new(stream: W, purpose: Purpose, cancel: &'a Cancel) -> Self {
        Emitter {
            writer: Writer::new(stream),
            purpose,
            maps: None,
            links: HashMap::new(),
            cancel,
        }
    }

    pub fn mapped(mut self, maps: Option<&'a IdMaps>) -> Self {
        self.maps = maps;
        self
    }

    pub fn finish(self) -> Result<()> {
        self.writer.finish().map(|_| ())
    }

    /// Writes the entry `name` of `directory` under `path` in the archive; `.` is the directory itself. False: nothing was written, because
    /// the entry was removed meanwhile, or is a socket.
    pub fn entry(&mut self, directory: BorrowedFd, name: &CStr, path: &[u8], stat: &at::Stat) -> Result<bool> {
        if let Some(first) = self.first_name(stat) {
            self.check(path)?;
            let mut member = Member::new(path.to_vec(), Kind::HardLink);
            self.describe(&mut member, stat);
            member.link = first;
            self.writer.member(&member)?;
            return Ok(true);
        }
        match at::open(directory, name, libc::O_PATH, 0).named("openat", path) {
            Err(failure) if failure.is_gone() => Ok(false),
            node => self.node(node?.as_fd(), path, stat.is_directory()),
        }
    }

    /// As [`Emitter::entry`], for an entry that was opened with `O_PATH`. Metadata and content are of this one inode, because a running
    /// process may replace the entry at any time. False: nothing was written; also if the entry is a directory against `is_directory`.
    pub fn node(&mut self, node: BorrowedFd, path: &[u8], is_directory: bool) -> Result<bool> {
        self.check(path)?;
        let stat = at::stat_fd(node).named("stat", path)?;
        let kind = match stat.kind() {
            libc::S_IFREG => Kind::File,
            libc::S_IFDIR => Kind::Directory,
            libc::S_IFLNK => Kind::Symlink,
            libc::S_IFCHR => Kind::Character,
            libc::S_IFBLK => Kind::Block,
            libc::S_IFIFO => Kind::Fifo,
            // A socket is useless without its listening process, and no archive format supports it.
            _ => return Ok(false),
        };
        if stat.is_directory() != is_directory {
            return Ok(false);
        }
        let mut member = Member::new(path.to_vec(), kind);
        self.describe(&mut member, &stat);
        member.attributes = xattr::all_opened(node).named("listxattr", path)?;
        member.attributes.retain(|(key, _)| !xattr::is_private(key));
        if kind != Kind::Directory && stat.0.st_nlink > 1 {
            self.links.insert(stat.inode(), path.to_vec());
        }
        match kind {
            Kind::File => {
                member.size = stat.0.st_size as u64;
                self.file(member, at::open_again(node).named("open", path)?)?;
                return Ok(true);
            }
            Kind::Symlink => member.link = at::read_link(node, c"").named("readlinkat", path)?,
            Kind::Character | Kind::Block => member.device = (libc::major(stat.0.st_rdev), libc::minor(stat.0.st_rdev)),
            _ => {}
        }
        self.writer.member(&member)?;
        Ok(true)
    }

    fn check(&self, path: &[u8]) -> Result<()> {
        self.cancel.check()?;
        let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        if self.purpose == Purpose::Layer && last.starts_with(WHITEOUT) {
            let text = format!(
                "{}: a layer can't hold a name that begins with .wh.; rename or remove it",
                shown(path)
            );
            return Err(Failure::new(Code::Unsupported, text));
        }
        Ok(())
    }

    /// The path under which a file with several names was written first.
    fn first_name(&self, stat: &at::Stat) -> Option<Vec<u8>> {
        match !stat.is_directory() && stat.0.st_nlink > 1 {
            true => self.links.get(&stat.inode()).cloned(),
            false => None,
        }
    }

    fn describe(&self, member: &mut Member, stat: &at::Stat) {
        member.mode = stat.permissions();
        (member.uid, member.gid, member.mtime) = (stat.0.st_uid, stat.0.st_gid, stat.mtime());
        if let Some(maps) = self.maps {
            member.uid = IdMaps::to_container(&maps.uids, member.uid);
            member.gid = IdMaps::to_container(&maps.gids, member.gid);
        }
    }

    /// Writes an empty member, for which there is no file.
    pub fn empty_file(&mut self, path: &[u8]) -> Result<()> {
        let mut member = Member::new(path.to_vec(), Kind::File);
        member.mode = 0o644;
        self.writer.member(&member)
    }

    /// Writes an empty file `.wh.NAME` in the directory of NAME, or the opaque mark.
    pub fn whiteout(&mut self, directory: &[u8], name: &[u8]) -> Result<()> {
        self.writer.member(&Member::new(join(directory, name), Kind::File))
    }

    fn file(&mut self, mut member: Member, file: OwnedFd) -> Result<()> {
        use std::os::unix::fs::FileExt;
        if self.purpose == Purpose::Layer {
            member.sparse = pieces(file.as_fd(), member.size, &member.name)?;
        }
        self.writer.member(&member)?;
        let file = std::fs::File::from(file);
        let mut buffer = vec![0; (256 << 10).min(member.stored().max(1) as usize)];
        for Segment { offset, length } in member.sparse.take().unwrap_or_else(|| {
            vec![Segment {
                offset: 0,
                length: member.size,
            }]
        }) {
            let mut done = 0;
            while done < length {
                self.cancel.check()?;
                let wanted = buffer.len().min((length - done) as usize);
                let mut count = file.read_at(&mut buffer[..wanted], offset + done).named("pread", &member.name)?;
                if count == 0 && self.purpose == Purpose::Plain {
                    buffer[..wanted].fill(0);
                    count = wanted;
                }
                if count == 0 {
                    let text = format!(
                        "{}: it became shorter while it was read; stop what writes there, and try again",
                        member.shown()
                    );
                    return Err(Failure::new(Code::Conflict, text));
                }
                self.writer.content(&buffer[..count])?;
                done += count as u64;
            }
        }
        Ok(())
    }
}

/// The pieces of a file that contain data; None: the file has no holes, or too small ones.
fn pieces(file: BorrowedFd, size: u64, path: &[u8]) -> Result<Option<Vec<Segment>>> {
    if size < WORTH {
        return Ok(None);
    }
    let (mut pieces, mut offset, mut stored) = (Vec::new(), 0, 0);
    while offset < size {
        let Some(start) = at::seek_data(file, offset).named("lseek", path)?.filter(|start| *start < size) else {
            break;
        };
        let end = at::seek_hole(file, start).named("lseek", path)?.unwrap_or(size).min(size);
        stored += end - start;
        pieces.push(Segment {
            offset: start,
            length: end - start,
        });
        if pieces.len() > MOST_PIECES {
            return Ok(None);
        }
        offset = end;
    }
    Ok((size - stored >= WORTH).then_some(pieces))
}
