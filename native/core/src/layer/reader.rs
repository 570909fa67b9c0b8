//! Reads an archive as a stream.

use super::header::{self, BLOCK, Block, Header};
use super::member::{Kind, Member};
use super::pax::{self, Record};
use super::sparse::{self, OldMap, Sparse};
use crate::failure::{Code, Failure, Result};
use crate::limits::{LARGEST_ATTRIBUTES, LARGEST_HEADER, LARGEST_TRAILER, MOST_GLOBAL, MOST_HEADERS};
use crate::sys::at::Time;
use crate::tree::{Cancel, shown};
use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufRead};

pub struct Reader<R> {
    input: R,
    /// The unread content of the current member, and the padding of its last block.
    rest: u64,
    padding: u64,
    /// Records that apply to all following members ('g' headers).
    global: Vec<Record>,
    /// The last member's name, for errors about the next header.
    last: String,
    cancel: Cancel,
}

impl<R: BufRead> Reader<R> {
    pub fn new(input: R) -> Self {
        Reader {
            input,
            rest: 0,
            padding: 0,
            global: Vec::new(),
            last: String::new(),
            cancel: Cancel::default(),
        }
    }

    /// Checks `cancel` before each piece that is read.
    pub fn canceled_by(mut self, cancel: &Cancel) -> Self {
        self.cancel = cancel.clone();
        self
    }

    /// The next member; None: the archive's end. Unread content of the last member is skipped.
    pub fn next_member(&mut self) -> Result<Option<Member>> {
        let found = self.advance();
        found.map_err(|mut failure| {
            if !self.last.is_empty() && failure.path.is_none() {
                failure.message = format!("after {}: {}", self.last, failure.message);
            }
            failure
        })
    }

    fn advance(&mut self) -> Result<Option<Member>> {
        self.pass(self.rest + self.padding)?;
        (self.rest, self.padding) = (0, 0);
        let (mut records, mut long_name, mut long_link) = (Vec::new(), None, None);
        for _ in 0..=MOST_HEADERS {
            self.cancel.check()?;
            let Some(block) = self.block()? else { return Ok(None) };
            let header = Header(&block);
            if header.is_zero() {
                return match self.block()? {
                    Some(second) if !Header(&second).is_zero() => Err(invalid("one empty block where an archive ends with two")),
                    _ => Ok(None),
                };
            }
            if !header.is_sound() {
                return Err(invalid("no tar header where one belongs (a wrong checksum)"));
            }
            match header.flag() {
                b'x' | b'X' => records = pax::parse(&self.extra(&header)?)?,
                b'g' => self.take_global(&header)?,
                b'L' => long_name = Some(cut(self.extra(&header)?)),
                b'K' => long_link = Some(cut(self.extra(&header)?)),
                _ => return self.member(&block, records, long_name, long_link).map(Some),
            }
        }
        Err(invalid(&format!("more than {MOST_HEADERS} extended headers before one member")))
    }

    fn take_global(&mut self, header: &Header) -> Result<()> {
        let added = pax::parse(&self.extra(header)?)?;
        let replaced: HashSet<&[u8]> = added.iter().map(|record| record.0.as_slice()).collect();
        self.global.retain(|record| !replaced.contains(record.0.as_slice()));
        self.global.extend(added);
        let size: usize = self.global.iter().map(|record| record.0.len() + record.1.len()).sum();
        if size as u64 > LARGEST_HEADER {
            return Err(invalid("global PAX headers are larger than 1 MiB"));
        }
        // Each member is read with all of them, so their number is limited.
        if self.global.len() > MOST_GLOBAL {
            return Err(invalid(&format!("more than {MOST_GLOBAL} global PAX records")));
        }
        Ok(())
    }

    fn member(&mut self, block: &Block, own: Vec<Record>, long_name: Option<Vec<u8>>, long_link: Option<Vec<u8>>) -> Result<Member> {
        let header = Header(block);
        let name = long_name.unwrap_or_else(|| header.name());
        let mut member = Member::new(name, kind_of(&header)?);
        member.link = long_link.unwrap_or_else(|| header.text(header::LINK).to_vec());
        member.mode = header.number(header::MODE)? as u32 & 0o7777;
        member.mtime = Time {
            seconds: header.number(header::MTIME)?,
            nanoseconds: 0,
        };
        let mut owner = (header.number(header::UID)?, header.number(header::GID)?);
        let mut stored = header.number(header::SIZE)?;
        let mut real_size = None;
        let records: Vec<Record> = if self.global.is_empty() {
            own
        } else {
            self.global.iter().cloned().chain(own).collect()
        };
        let (mut attributes, mut size) = (BTreeMap::new(), 0);
        for (key, value) in &records {
            // An empty value cancels a record (POSIX), but an attribute may be empty.
            if let Some(attribute) = pax::decode_attribute(key) {
                size += attribute.len() + value.len();
                if size > LARGEST_ATTRIBUTES {
                    return Err(about(&member, "its extended attributes are larger than 1 MiB"));
                }
                attributes.insert(attribute, value);
                continue;
            }
            match key.as_slice() {
                _ if value.is_empty() => {}
                b"path" => member.name = value.clone(),
                b"linkpath" => member.link = value.clone(),
                b"size" => stored = pax::decimal(value)? as i64,
                b"uid" => owner.0 = pax::decimal(value)? as i64,
                b"gid" => owner.1 = pax::decimal(value)? as i64,
                b"mtime" => member.mtime = pax::time(value)?,
                b"GNU.sparse.realsize" | b"GNU.sparse.size" => real_size = Some(pax::decimal(value)?),
                _ => {}
            }
        }
        member.attributes = attributes.into_iter().map(|(key, value)| (key, value.clone())).collect();
        if let Some((_, name)) = records.iter().rev().find(|record| record.0 == b"GNU.sparse.name") {
            member.name = name.clone();
        }
        self.last = member.shown();
        // chown(2) takes the largest number for "unchanged".
        let is_id = |id: &u32| *id != u32::MAX;
        let id = |id: i64| {
            u32::try_from(id)
                .ok()
                .filter(is_id)
                .ok_or_else(|| about(&member, "its owner is no user id that Linux has"))
        };
        (member.uid, member.gid) = (id(owner.0)?, id(owner.1)?);
        if [&member.name, &member.link].iter().any(|text| text.contains(&0)) {
            return Err(about(&member, "a name holds a NUL byte"));
        }
        if member.kind == Kind::File && header.flag() != b'S' && member.name.ends_with(b"/") {
            member.kind = Kind::Directory;
        }
        if matches!(member.kind, Kind::Character | Kind::Block) {
            let part = |value: i64, bits: u32| u32::try_from(value).ok().filter(|value| value >> bits == 0);
            let (major, minor) = (header.number(header::MAJOR)?, header.number(header::MINOR)?);
            // The kernel's dev_t: a number that does not fit would mean another device.
            let device = part(major, 12).zip(part(minor, 20));
            member.device = device.ok_or_else(|| about(&member, "its numbers are no device's that Linux has"))?;
        }
        // Other kinds have no content, whatever size their header contains.
        let stored = if member.kind == Kind::File {
            u64::try_from(stored).map_err(|_| about(&member, "its size is negative"))?
        } else {
            0
        };
        self.rest = stored;
        self.padding = stored.next_multiple_of(BLOCK as u64) - stored;
        member.size = stored;
        if member.kind == Kind::File {
            self.sparse(&mut member, block, &records, real_size)?;
        }
        Ok(member)
    }

    fn sparse(&mut self, member: &mut Member, block: &Block, records: &[Record], real_size: Option<u64>) -> Result<()> {
        let mut segments = Vec::new();
        let mut size = real_size;
        if Header(block).flag() == b'S' {
            let mut map = OldMap::of_header(block)?;
            while map.more {
                self.cancel.check()?;
                map.extend(&self.whole_block()?)?;
            }
            segments = map.segments;
            size = Some(u64::try_from(Header(block).number(sparse::OLD_REAL_SIZE)?).map_err(|_| about(member, "its size is negative"))?);
        } else {
            match sparse::of_records(records)? {
                None => return Ok(()),
                Some(Sparse::Map(map)) => segments = map,
                Some(Sparse::Ahead) => {
                    let mut left = self.rest;
                    let mut next = || {
                        left = left
                            .checked_sub(BLOCK as u64)
                            .ok_or_else(|| invalid("the map of a sparse file is longer than the file"))?;
                        self.whole_block()
                    };
                    let (map, _) = sparse::parse_ahead(&mut next)?;
                    segments.extend(map);
                    self.rest = left;
                }
            }
        }
        member.size = size.ok_or_else(|| about(member, "a sparse file without its size"))?;
        sparse::check(&segments, member.size, self.rest)?;
        segments.retain(|segment| segment.length > 0);
        member.sparse = Some(segments);
        Ok(())
    }

    /// Passes the member's content to `sink` piece by piece, each with its offset in the file.
    pub fn content(&mut self, member: &Member, mut sink: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        let whole = [super::Segment {
            offset: 0,
            length: member.size,
        }];
        for segment in member.sparse.as_deref().unwrap_or(&whole) {
            let (mut offset, end) = (segment.offset, segment.offset + segment.length);
            while offset < end {
                self.cancel.check()?;
                let bytes = self.input.fill_buf().map_err(|error| broken(&error))?;
                if bytes.is_empty() {
                    return Err(cut_short());
                }
                let count = bytes.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
                sink(offset, &bytes[..count])?;
                self.input.consume(count);
                self.rest -= count as u64;
                offset += count as u64;
            }
        }
        Ok(())
    }

    /// Reads the bytes after the archive's end, so that hashes cover the whole stream.
    pub fn drain(&mut self) -> Result<()> {
        let mut read = 0;
        loop {
            self.cancel.check()?;
            let count = self.input.fill_buf().map_err(|error| broken(&error))?.len();
            if count == 0 {
                return Ok(());
            }
            read += count as u64;
            if read > LARGEST_TRAILER {
                return Err(invalid("more than 64 MiB follow the archive's end"));
            }
            self.input.consume(count);
        }
    }

    /// Reads the content of a header that describes the next one.
    fn extra(&mut self, header: &Header) -> Result<Vec<u8>> {
        let size = header.number(header::SIZE)?;
        if !(0..=LARGEST_HEADER as i64).contains(&size) {
            return Err(invalid("an extended header is larger than 1 MiB"));
        }
        let mut bytes = vec![0; (size as usize).next_multiple_of(BLOCK)];
        self.fill(&mut bytes)?;
        bytes.truncate(size as usize);
        Ok(bytes)
    }

    /// None: the stream ends here, where a header could begin.
    fn block(&mut self) -> Result<Option<Block>> {
        if self.input.fill_buf().map_err(|error| broken(&error))?.is_empty() {
            return Ok(None);
        }
        self.whole_block().map(Some)
    }

    fn whole_block(&mut self) -> Result<Block> {
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        Ok(block)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.input.read_exact(bytes).map_err(|error| broken(&error))
    }

    fn pass(&mut self, mut count: u64) -> Result<()> {
        while count > 0 {
            self.cancel.check()?;
            let here = self.input.fill_buf().map_err(|error| broken(&error))?.len();
            if here == 0 {
                return Err(cut_short());
            }
            let step = here.min(usize::try_from(count).unwrap_or(usize::MAX));
            self.input.consume(step);
            count -= step as u64;
        }
        Ok(())
    }
}

fn kind_of(header: &Header) -> Result<Kind> {
    match header.flag() {
        b'0' | 0 | b'7' | b'S' => Ok(Kind::File),
        b'1' => Ok(Kind::HardLink),
        b'2' => Ok(Kind::Symlink),
        b'3' => Ok(Kind::Character),
        b'4' => Ok(Kind::Block),
        b'5' => Ok(Kind::Directory),
        b'6' => Ok(Kind::Fifo),
        flag => Err(invalid(&format!(
            "{}: a member of unknown type {:?}",
            shown(&header.name()),
            flag as char
        ))),
    }
}

/// Cuts the NUL at the end of GNU's long names.
fn cut(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
    bytes
}

fn invalid(text: &str) -> Failure {
    Failure::new(Code::InvalidArgument, text)
}

pub(super) fn about(member: &Member, text: &str) -> Failure {
    Failure {
        path: Some(member.shown()),
        ..Failure::new(Code::InvalidArgument, format!("{}: {text}", member.shown()))
    }
}

fn cut_short() -> Failure {
    Failure::new(Code::DataLoss, "the archive is cut short")
}

fn broken(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => cut_short(),
        io::ErrorKind::InvalidData => Failure::new(Code::DataLoss, error.to_string()),
        _ => Failure::io(error, "read", None),
    }
}
