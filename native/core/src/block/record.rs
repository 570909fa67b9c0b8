//! The records of linux/dm-ioctl.h: a header, and rows of variable length behind it.

use crate::failure::{Code, Failure, Result};

/// struct dm_ioctl.
pub const HEADER: usize = 312;
/// struct dm_target_spec.
const TARGET: usize = 40;
const NAME_LENGTH: usize = 128;
const KIND_LENGTH: usize = 16;
/// DM_VERSION_MAJOR, DM_VERSION_MINOR: 4.17 knows deferred removal (Linux 3.13).
const VERSION: [u32; 3] = [4, 17, 0];

const DATA_SIZE: usize = 12;
const DATA_START: usize = 16;
const TARGET_COUNT: usize = 20;
const OPEN_COUNT: usize = 24;
const FLAGS: usize = 28;
const DEVICE: usize = 40;
const NAME: usize = 48;

/// One ioctl's memory.
pub struct Record {
    /// Words, so that the kernel's records are aligned.
    words: Vec<u64>,
}

impl Record {
    /// With `room` bytes behind the header.
    pub fn new(name: &str, flags: u32, room: usize) -> Result<Record> {
        if name.len() >= NAME_LENGTH || name.contains('\0') || name.contains('/') {
            let what = format!(
                "{name:?} can't be the name of a mapped device: at most {} bytes, without /",
                NAME_LENGTH - 1
            );
            return Err(Failure::new(Code::InvalidArgument, what));
        }
        let mut record = Record {
            words: vec![0; (HEADER + room).div_ceil(8)],
        };
        for (at, number) in VERSION.iter().enumerate() {
            record.put(at * 4, *number);
        }
        record.put(DATA_SIZE, (record.words.len() * 8) as u32);
        record.put(DATA_START, HEADER as u32);
        record.put(FLAGS, flags);
        record.bytes_mut()[NAME..NAME + name.len()].copy_from_slice(name.as_bytes());
        Ok(record)
    }

    /// A table of one row: `length` sectors of the target `kind`.
    pub fn with_table(name: &str, flags: u32, length: u64, kind: &str, parameters: &str) -> Result<Record> {
        let mut record = Record::new(name, flags, TARGET + parameters.len() + 1)?;
        if kind.len() >= KIND_LENGTH {
            return Err(Failure::new(Code::InvalidArgument, format!("no target of a mapped device: {kind}")));
        }
        record.put(TARGET_COUNT, 1);
        record.put(HEADER + 20, ((TARGET + parameters.len() + 1).div_ceil(8) * 8) as u32);
        let bytes = record.bytes_mut();
        bytes[HEADER + 8..HEADER + 16].copy_from_slice(&length.to_ne_bytes());
        bytes[HEADER + 24..HEADER + 24 + kind.len()].copy_from_slice(kind.as_bytes());
        bytes[HEADER + TARGET..HEADER + TARGET + parameters.len()].copy_from_slice(parameters.as_bytes());
        Ok(record)
    }

    /// A message to a device's target: a sector, which is 0, and a text.
    pub fn with_message(name: &str, text: &str) -> Result<Record> {
        let mut record = Record::new(name, 0, 8 + text.len() + 1)?;
        record.bytes_mut()[HEADER + 8..HEADER + 8 + text.len()].copy_from_slice(text.as_bytes());
        Ok(record)
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: any bytes are words, and the length is that of the words.
        unsafe { std::slice::from_raw_parts_mut(self.words.as_mut_ptr().cast(), self.words.len() * 8) }
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), self.words.len() * 8) }
    }

    fn put(&mut self, at: usize, number: u32) {
        self.bytes_mut()[at..at + 4].copy_from_slice(&number.to_ne_bytes());
    }

    fn number(&self, at: usize) -> u32 {
        self.bytes()
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u32::from_ne_bytes)
    }

    pub fn flags(&self) -> u32 {
        self.number(FLAGS)
    }

    pub fn open_count(&self) -> i32 {
        self.number(OPEN_COUNT) as i32
    }

    /// As stat(2) encodes it: the kernel's own form has the same bits for the numbers that devices have.
    pub fn device(&self) -> u64 {
        let encoded = u64::from(self.number(DEVICE)) | u64::from(self.number(DEVICE + 4)) << 32;
        libc::makedev(
            ((encoded >> 8) & 0xfff) as u32,
            ((encoded & 0xff) | ((encoded >> 12) & 0xfff00)) as u32,
        )
    }

    /// The text of the first row of a table or of its status.
    pub fn row(&self) -> Option<(String, String)> {
        (self.number(TARGET_COUNT) > 0).then(|| {
            let start = self.number(DATA_START) as usize;
            (self.text(start + 24, KIND_LENGTH), self.text(start + TARGET, usize::MAX))
        })
    }

    /// The names in a list whose entries have a `next` at `next_at`, and their name at `name_at`.
    pub fn names(&self, next_at: usize, name_at: usize) -> Vec<String> {
        let mut names = Vec::new();
        let mut at = self.number(DATA_START) as usize;
        // The list ends with an entry without a successor; it can't be longer than the memory.
        while at + name_at < self.bytes().len() {
            names.extend(Some(self.text(at + name_at, NAME_LENGTH)).filter(|name| !name.is_empty()));
            match self.number(at + next_at) as usize {
                0 => break,
                next => at += next,
            }
        }
        names
    }

    fn text(&self, at: usize, most: usize) -> String {
        let bytes = self.bytes().get(at..).unwrap_or_default();
        let end = bytes.iter().take(most).position(|byte| *byte == 0).unwrap_or(bytes.len().min(most));
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_as_it_is_written() {
        let record = Record::with_table("name", 1, 2048, "thin", "253:0 7").unwrap();
        assert_eq!(record.row(), Some(("thin".to_owned(), "253:0 7".to_owned())));
        assert_eq!((record.flags(), record.text(NAME, NAME_LENGTH)), (1, "name".to_owned()));
        assert_eq!(record.number(DATA_SIZE) as usize, record.bytes().len());
    }

    #[test]
    fn a_device_has_the_number_that_stat_shows() {
        let mut record = Record::new("name", 0, 0).unwrap();
        // Major 253, minor 0x12345: the minor's upper bits are above the major.
        record.put(DEVICE, 0x45 | 253 << 8 | 0x123 << 20);
        assert_eq!(record.device(), libc::makedev(253, 0x12345));
    }

    #[test]
    fn a_list_is_read_to_its_end_and_not_beyond() {
        let mut record = Record::new("", 0, 64).unwrap();
        for (at, next, name) in [(0, 24, "one"), (24, 0, "two")] {
            record.put(HEADER + at + 8, next);
            record.bytes_mut()[HEADER + at + 12..][..name.len()].copy_from_slice(name.as_bytes());
        }
        assert_eq!(record.names(8, 12), ["one", "two"]);
        record.put(HEADER + 24 + 8, u32::MAX);
        assert_eq!(record.names(8, 12), ["one", "two"]);
        assert!(Record::new("", 0, 64).unwrap().names(8, 12).is_empty());
    }

    #[test]
    fn names_that_the_kernel_would_cut_are_refused() {
        for name in [&"x".repeat(NAME_LENGTH), "a/b", "a\0b"] {
            assert!(Record::new(name, 0, 0).is_err(), "{name}");
        }
    }
}
