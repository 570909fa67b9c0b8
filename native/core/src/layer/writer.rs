//! Writes an archive as a stream: ustar, with PAX records for values that do not fit. The same members make the same bytes on every host.

use super::header::{self, BLOCK, Draft, flag_of};
use super::member::{Kind, Member};
use super::{pax, sparse};
use crate::failure::{Failure, Result};
use std::io::Write;

pub struct Writer<W> {
    output: W,
    /// The number of bytes of content that the current member still needs.
    rest: u64,
    padding: usize,
}

impl<W: Write> Writer<W> {
    pub fn new(output: W) -> Self {
        Writer {
            output,
            rest: 0,
            padding: 0,
        }
    }

    /// Starts a member; `stored()` bytes of content must follow.
    pub fn member(&mut self, member: &Member) -> Result<()> {
        self.close_member()?;
        let map = member.sparse.as_deref().map(|segments| sparse::format_ahead(segments, member.size));
        let content = if member.kind == Kind::File { member.stored() } else { 0 };
        let size = content + map.as_ref().map_or(0, |map| map.len() as u64);
        let mut draft = Draft::new(flag_of(member.kind));
        let mut records: Vec<pax::Record> = Vec::new();
        let mut name = member.name.clone();
        if member.kind == Kind::Directory {
            name.push(b'/');
        }
        if map.is_some() {
            records.push((b"GNU.sparse.major".to_vec(), b"1".to_vec()));
            records.push((b"GNU.sparse.minor".to_vec(), b"0".to_vec()));
            records.push((b"GNU.sparse.name".to_vec(), name.clone()));
            records.push((b"GNU.sparse.realsize".to_vec(), member.size.to_string().into_bytes()));
            name = [b"GNUSparseFile.0/", base(&name)].concat();
        }
        put_text(&mut draft, &mut records, (header::NAME, b"path"), &name);
        put_text(&mut draft, &mut records, (header::LINK, b"linkpath"), &member.link);
        draft.number(header::MODE, u64::from(member.mode));
        put_number(&mut draft, &mut records, (header::UID, b"uid"), u64::from(member.uid));
        put_number(&mut draft, &mut records, (header::GID, b"gid"), u64::from(member.gid));
        put_number(&mut draft, &mut records, (header::SIZE, b"size"), size);
        let seconds = u64::try_from(member.mtime.seconds).ok().filter(|seconds| *seconds < 1 << 33);
        draft.number(header::MTIME, seconds.unwrap_or(0));
        if seconds.is_none() || member.mtime.nanoseconds != 0 {
            records.push((b"mtime".to_vec(), pax::format_time(member.mtime).into_bytes()));
        }
        if matches!(member.kind, Kind::Character | Kind::Block) {
            draft.number(header::MAJOR, u64::from(member.device.0));
            draft.number(header::MINOR, u64::from(member.device.1));
        }
        records.extend(
            member
                .attributes
                .iter()
                .map(|(key, value)| (pax::encode_attribute(key), value.clone())),
        );
        self.records(&name, records)?;
        self.put(&draft.finish())?;
        if let Some(map) = map {
            self.put(&map)?;
        }
        self.rest = content;
        self.padding = (content.next_multiple_of(BLOCK as u64) - content) as usize;
        Ok(())
    }

    pub fn content(&mut self, bytes: &[u8]) -> Result<()> {
        debug_assert!(bytes.len() as u64 <= self.rest, "more content than the header promised");
        self.rest -= bytes.len() as u64;
        self.put(bytes)
    }

    pub fn finish(mut self) -> Result<W> {
        self.close_member()?;
        self.put(&[0; 2 * BLOCK])?;
        Ok(self.output)
    }

    fn records(&mut self, name: &[u8], mut records: Vec<pax::Record>) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        records.sort();
        let mut bytes = Vec::new();
        for (key, value) in &records {
            pax::append(&mut bytes, key, value);
        }
        let mut draft = Draft::new(b'x');
        draft.text(header::NAME, &[b"PaxHeaders.0/", base(name)].concat());
        for field in [header::MODE, header::UID, header::GID, header::MTIME] {
            draft.number(field, 0);
        }
        draft.number(header::SIZE, bytes.len() as u64);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        self.put(&draft.finish())?;
        self.put(&bytes)
    }

    fn close_member(&mut self) -> Result<()> {
        debug_assert!(self.rest == 0, "less content than the header promised");
        let padding = std::mem::take(&mut self.padding);
        self.put(&[0; BLOCK][..padding])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.write_all(bytes).map_err(|error| Failure::io(&error, "write", None))
    }
}

fn put_text(draft: &mut Draft, records: &mut Vec<pax::Record>, (field, key): (header::Field, &[u8]), text: &[u8]) {
    if text.len() > field.1 {
        records.push((key.to_vec(), text.to_vec()));
    }
    draft.text(field, text);
}

fn put_number(draft: &mut Draft, records: &mut Vec<pax::Record>, (field, key): (header::Field, &[u8]), value: u64) {
    if !draft.number(field, value) {
        records.push((key.to_vec(), value.to_string().into_bytes()));
    }
}

/// The last component, cut so that it fits a header together with a directory's name.
fn base(name: &[u8]) -> &[u8] {
    let name = name.strip_suffix(b"/").unwrap_or(name);
    let base = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    &base[..base.len().min(80)]
}
