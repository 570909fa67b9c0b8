//! The 512-byte header: POSIX ustar, with GNU's and star's encodings of values that do not fit.

use super::member::Kind;
use crate::failure::{Code, Failure, Result};

pub const BLOCK: usize = 512;
pub type Block = [u8; BLOCK];

pub struct Field(pub usize, pub usize);
pub const NAME: Field = Field(0, 100);
pub const MODE: Field = Field(100, 8);
pub const UID: Field = Field(108, 8);
pub const GID: Field = Field(116, 8);
pub const SIZE: Field = Field(124, 12);
pub const MTIME: Field = Field(136, 12);
const CHECKSUM: Field = Field(148, 8);
const TYPE: usize = 156;
pub const LINK: Field = Field(157, 100);
const MAGIC: Field = Field(257, 8);
pub const MAJOR: Field = Field(329, 8);
pub const MINOR: Field = Field(337, 8);
const PREFIX: Field = Field(345, 155);
/// star's prefix is shorter, since times that this engine does not need follow it.
const STAR_PREFIX: Field = Field(345, 131);

pub struct Header<'a>(pub &'a Block);

impl<'a> Header<'a> {
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }

    /// Checks the checksum. Old writers summed signed bytes.
    pub fn is_sound(&self) -> bool {
        let sum = |value: fn(u8) -> i64| -> i64 {
            self.0
                .iter()
                .enumerate()
                .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { value(*byte) })
                .sum()
        };
        match self.number(CHECKSUM) {
            Ok(stated) => stated == sum(i64::from) || stated == sum(|byte| i64::from(byte as i8)),
            Err(_) => false,
        }
    }

    pub fn bytes(&self, Field(at, length): Field) -> &'a [u8] {
        &self.0[at..at + length]
    }

    /// The bytes up to the first NUL; a full field has no NUL.
    pub fn text(&self, field: Field) -> &'a [u8] {
        let bytes = self.bytes(field);
        &bytes[..bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len())]
    }

    pub fn number(&self, field: Field) -> Result<i64> {
        number(self.bytes(field))
    }

    pub fn flag(&self) -> u8 {
        self.0[TYPE]
    }

    /// The name with its prefix. Only POSIX has a prefix; GNU uses these bytes for other values.
    pub fn name(&self) -> Vec<u8> {
        let name = self.text(NAME);
        let star = &self.0[508..512] == b"tar\0";
        let prefix = match self.bytes(MAGIC) {
            b"ustar\x0000" if star => self.text(STAR_PREFIX),
            magic if magic.starts_with(b"ustar\0") => self.text(PREFIX),
            _ => b"",
        };
        if prefix.is_empty() {
            name.to_vec()
        } else {
            crate::tree::join(prefix, name)
        }
    }
}

/// Parses octal digits between spaces and NULs, or (first bit set) a big-endian two's complement number, which is GNU's encoding.
pub fn number(field: &[u8]) -> Result<i64> {
    let bad = || Failure::new(Code::InvalidArgument, "a number in a tar header is none");
    match field.first() {
        Some(first) if first & 0x80 != 0 => {
            let negative = first & 0x40 != 0;
            let mut value: i128 = if negative { -1 } else { 0 };
            for (at, byte) in field.iter().enumerate() {
                let byte = if at == 0 && !negative { byte & 0x7f } else { *byte };
                value = if at == 0 && negative {
                    i128::from(byte as i8)
                } else {
                    value << 8 | i128::from(byte)
                };
            }
            i64::try_from(value).map_err(|_| bad())
        }
        _ => {
            let digits = field
                .iter()
                .copied()
                .skip_while(|byte| *byte == b' ')
                .take_while(|byte| !matches!(byte, 0 | b' '));
            digits.into_iter().try_fold(0i64, |value, digit| match digit {
                b'0'..=b'7' => value
                    .checked_mul(8)
                    .and_then(|value| value.checked_add(i64::from(digit - b'0')))
                    .ok_or_else(bad),
                _ => Err(bad()),
            })
        }
    }
}

pub fn flag_of(kind: Kind) -> u8 {
    match kind {
        Kind::File => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::Character => b'3',
        Kind::Block => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    }
}

/// A ustar header in construction. A field whose value does not fit stays zero; the value belongs into a PAX record.
pub struct Draft(Block);

impl Draft {
    pub fn new(flag: u8) -> Self {
        let mut block = [0; BLOCK];
        block[TYPE] = flag;
        block[257..265].copy_from_slice(b"ustar\x0000");
        Draft(block)
    }

    pub fn text(&mut self, Field(at, length): Field, text: &[u8]) {
        let length = length.min(text.len());
        self.0[at..at + length].copy_from_slice(&text[..length]);
    }

    /// Returns false if `value` does not fit.
    pub fn number(&mut self, Field(at, length): Field, value: u64) -> bool {
        let digits = length - 1;
        let fits = value < 1 << (3 * digits);
        let text = format!("{:0digits$o}", if fits { value } else { 0 });
        self.0[at..at + digits].copy_from_slice(text.as_bytes());
        fits
    }

    pub fn finish(mut self) -> Block {
        self.0[148..156].copy_from_slice(b"        ");
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.0[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}
