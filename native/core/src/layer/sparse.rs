//! Sparse files in archives: GNU's own header, and GNU's three PAX formats.

use super::header::{BLOCK, Block, Field, number};
use super::member::Segment;
use super::pax::{Record, decimal};
use crate::failure::{Code, Failure, Result};
use crate::limits::MOST_SEGMENTS;

/// The information about a sparse file in PAX records.
#[derive(Debug, PartialEq, Eq)]
pub enum Sparse {
    /// 0.0 and 0.1: the map is in the header.
    Map(Vec<Segment>),
    /// 1.0: the map precedes the content.
    Ahead,
}

/// None: the file is not sparse.
pub fn of_records(records: &[Record]) -> Result<Option<Sparse>> {
    let value = |key: &[u8]| {
        records
            .iter()
            .rev()
            .find(|record| record.0 == key)
            .map(|record| record.1.as_slice())
    };
    if value(b"GNU.sparse.major") == Some(b"1") && value(b"GNU.sparse.minor") == Some(b"0") {
        return Ok(Some(Sparse::Ahead));
    }
    if let Some(map) = value(b"GNU.sparse.map") {
        let numbers = map
            .split(|byte| *byte == b',')
            .filter(|text| !text.is_empty())
            .map(decimal)
            .collect::<Result<Vec<u64>>>()?;
        return Ok(Some(Sparse::Map(pairs(&numbers)?)));
    }
    if value(b"GNU.sparse.numblocks").is_some() {
        let is_piece = |record: &&Record| matches!(record.0.as_slice(), b"GNU.sparse.offset" | b"GNU.sparse.numbytes");
        let numbers = records
            .iter()
            .filter(is_piece)
            .map(|record| decimal(&record.1))
            .collect::<Result<Vec<u64>>>()?;
        return Ok(Some(Sparse::Map(pairs(&numbers)?)));
    }
    Ok(None)
}

fn pairs(numbers: &[u64]) -> Result<Vec<Segment>> {
    if !numbers.len().is_multiple_of(2) || numbers.len() / 2 > MOST_SEGMENTS {
        return Err(malformed());
    }
    Ok(numbers
        .chunks_exact(2)
        .map(|pair| Segment {
            offset: pair[0],
            length: pair[1],
        })
        .collect())
}

/// GNU's own format: four segments in the header, 21 in each block that follows it.
pub struct OldMap {
    pub segments: Vec<Segment>,
    pub more: bool,
}

impl OldMap {
    pub fn of_header(block: &Block) -> Result<Self> {
        let mut map = OldMap {
            segments: Vec::new(),
            more: false,
        };
        map.pieces(&block[386..482])?;
        map.more = block[482] != 0;
        Ok(map)
    }

    pub fn extend(&mut self, block: &Block) -> Result<()> {
        self.pieces(&block[..504])?;
        self.more = block[504] != 0;
        if self.segments.len() > MOST_SEGMENTS {
            Err(malformed())
        } else {
            Ok(())
        }
    }

    fn pieces(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks_exact(24) {
            if piece[0] == 0 {
                break;
            }
            let value = |at: usize| number(&piece[at..at + 12]).and_then(|value| u64::try_from(value).map_err(|_| malformed()));
            self.segments.push(Segment {
                offset: value(0)?,
                length: value(12)?,
            });
        }
        Ok(())
    }
}

pub const OLD_REAL_SIZE: Field = Field(483, 12);

/// Parses the map before the content in 1.0: decimal numbers, one per line, the count first, padded to a block.
pub fn parse_ahead(mut next: impl FnMut() -> Result<Block>) -> Result<(Vec<Segment>, u64)> {
    let (mut numbers, mut current, mut blocks, mut wanted) = (Vec::new(), None::<u64>, 0, None::<usize>);
    loop {
        let block = next()?;
        blocks += 1;
        for byte in block {
            match (byte, current) {
                (b'0'..=b'9', value) => {
                    let digit = u64::from(byte - b'0');
                    current = Some(
                        value
                            .unwrap_or(0)
                            .checked_mul(10)
                            .and_then(|value| value.checked_add(digit))
                            .ok_or_else(malformed)?,
                    );
                }
                (b'\n', Some(value)) => {
                    current = None;
                    match wanted {
                        None if value as usize > MOST_SEGMENTS => return Err(malformed()),
                        None => wanted = Some(value as usize * 2),
                        Some(_) => numbers.push(value),
                    }
                    if wanted == Some(numbers.len()) {
                        return Ok((pairs(&numbers)?, blocks * BLOCK as u64));
                    }
                }
                _ => return Err(malformed()),
            }
        }
    }
}

/// Writes the map. GNU tar takes a file's size from it, so a hole at the end needs an empty segment.
pub fn format_ahead(segments: &[Segment], size: u64) -> Vec<u8> {
    let ends = segments.last().is_some_and(|last| last.offset + last.length == size);
    let end = Segment { offset: size, length: 0 };
    let mut text = format!("{}\n", segments.len() + usize::from(!ends));
    for segment in segments.iter().chain((!ends).then_some(&end)) {
        text.push_str(&format!("{}\n{}\n", segment.offset, segment.length));
    }
    let mut bytes = text.into_bytes();
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

/// Checks that segments are in order, do not overlap, lie within the file, and have the total length of the content in the archive.
pub fn check(segments: &[Segment], size: u64, stored: u64) -> Result<()> {
    let (mut end, mut sum) = (0u64, 0u64);
    for segment in segments {
        let until = segment.offset.checked_add(segment.length).ok_or_else(malformed)?;
        if segment.offset < end || until > size {
            return Err(malformed());
        }
        end = until;
        sum += segment.length;
    }
    if sum == stored { Ok(()) } else { Err(malformed()) }
}

fn malformed() -> Failure {
    Failure::new(Code::InvalidArgument, "the map of a sparse file is malformed")
}
