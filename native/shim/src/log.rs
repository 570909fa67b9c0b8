//! The container's log: one writer, bounded, readable while it grows.
//!
//! `local`, the default, is a sequence of records. One read from the container makes one record, and so one write, however many lines it
//! holds:
//! ```text
//! ┌────────────┬───────────┬─────────┬─────────────────────┬─────────┬────────────┐
//! │ length u32 │ stream u8 │ zero ×3 │ nanoseconds u64     │ bytes … │ length u32 │
//! └────────────┴───────────┴─────────┴─────────────────────┴─────────┴────────────┘
//! ```
//! Numbers are little endian. The second length lets a reader go backwards.
//!
//! The first record, of stream 3, is the head. Its payload is the offset where the records end (u64), and its time is the file's
//! generation. A full file is replaced by the oldest file, whose pages are overwritten, because allocating new pages in the kernel costs
//! ten times what the write costs. So bytes behind the end are meaningless. A reader checks the generation again after each read; when it
//! has changed, the reader discards what it read.
//!
//! `json-file` is Docker's format: one object `{"log":"line\n","stream":"stdout","time":"…"}` per line; a line longer than 16 KiB is split.
//! A full file is renamed to `PATH.1`, that one to `PATH.2`, and so on; the last is deleted. A full disk loses log lines but never stops
//! the container.

use crate::sink::Stream;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::time::{SystemTime, UNIX_EPOCH};
use tsbox_core::peer::protocol::{Log as Settings, LogDriver};

/// Docker's longest part of a line, in bytes.
const LONGEST_LINE: usize = 16 << 10;

/// Buffered records of json-file are written when they reach this size, in bytes.
const MANY: usize = 64 << 10;

/// The length of the head, the record at the beginning of a `local` file.
const HEAD: u64 = 28;
const HEAD_STREAM: u8 = 3;
/// The position in the head of the offset where the records end.
const END_AT: u64 = 16;

pub struct Log {
    settings: Settings,
    file: Option<File>,
    /// Where the next record goes.
    size: u64,
    /// json-file: the bytes of an incomplete line, by stream.
    partial: [Vec<u8>; 2],
}

impl Log {
    pub fn open(settings: Settings) -> io::Result<Log> {
        let mut log = Log { settings, ..Log::none() };
        match log.settings.driver {
            LogDriver::None => {}
            LogDriver::JsonFile => {
                let file = append(&log.settings.path)?;
                log.size = file.metadata()?.len();
                log.file = Some(file);
            }
            LogDriver::Local => log.continue_local()?,
        }
        Ok(log)
    }

    /// Continues where an earlier run of the container stopped. An empty file gets its head with its first record.
    fn continue_local(&mut self) -> io::Result<()> {
        let mut file = read_write(&self.settings.path)?;
        let empty = file.metadata()?.len() == 0;
        let end = if empty { Some(0) } else { end_of(&file) };
        match end {
            Some(end) => {
                file.seek(SeekFrom::Start(end))?;
                (self.file, self.size) = (Some(file), end);
            }
            // The file has no head: an engine of an older version wrote it.
            None => self.rotate(),
        }
        Ok(())
    }

    /// A log that discards everything.
    pub fn none() -> Log {
        Log {
            settings: Settings {
                driver: LogDriver::None,
                path: String::new(),
                max_bytes: 0,
                max_files: 0,
            },
            file: None,
            size: 0,
            partial: Default::default(),
        }
    }

    pub fn write(&mut self, stream: Stream, bytes: &[u8]) {
        match self.settings.driver {
            LogDriver::None => {}
            LogDriver::Local => self.record(stream, bytes),
            LogDriver::JsonFile => self.lines(stream, bytes),
        }
    }

    /// The container writes no more: the rest without a newline becomes a line.
    pub fn close(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = std::mem::take(&mut self.partial[stream as usize - 1]);
            if !rest.is_empty() {
                let mut record = Vec::new();
                self.line(&mut record, &rest, &ending(stream));
                self.put(&[&record]);
            }
        }
    }

    fn record(&mut self, stream: Stream, bytes: &[u8]) {
        let length = (bytes.len() as u32).to_le_bytes();
        let mut header = [0u8; 16];
        header[..4].copy_from_slice(&length);
        header[4] = stream as u8;
        header[8..].copy_from_slice(&(since_epoch().as_nanos() as u64).to_le_bytes());
        if self.size == 0 {
            let end = HEAD + (header.len() + bytes.len() + length.len()) as u64;
            self.put(&[&head(end), &header, bytes, &length]);
            return;
        }
        self.put(&[&header, bytes, &length]);
        if let Some(file) = &self.file {
            // A record counts only when the head includes it, so a full disk or a killed shim loses whole records only.
            let _ = file.write_all_at(&self.size.to_le_bytes(), END_AT);
        }
    }

    /// All lines of one read get the same time and are written with few calls.
    fn lines(&mut self, stream: Stream, bytes: &[u8]) {
        let mut partial = std::mem::take(&mut self.partial[stream as usize - 1]);
        let ending = ending(stream);
        let mut records = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if partial.is_empty() && part.len() <= LONGEST_LINE && part.ends_with(b"\n") {
                self.line(&mut records, part, &ending);
                continue;
            }
            partial.extend_from_slice(part);
            while partial.len() > LONGEST_LINE {
                let rest = partial.split_off(LONGEST_LINE);
                self.line(&mut records, &partial, &ending);
                partial = rest;
            }
            if partial.ends_with(b"\n") {
                self.line(&mut records, &partial, &ending);
                partial.clear();
            }
        }
        self.partial[stream as usize - 1] = partial;
        if !records.is_empty() {
            self.put(&[&records]);
        }
    }

    /// Adds a line's record to the buffered ones. The buffered records are written first if the line would not fit into the file, and
    /// together with the line if they are many.
    fn line(&mut self, records: &mut Vec<u8>, line: &[u8], ending: &[u8]) {
        let before = records.len();
        records.extend_from_slice(b"{\"log\":");
        json_string(records, line);
        records.extend_from_slice(ending);
        if before > 0 && self.size + records.len() as u64 > self.settings.max_bytes {
            let last = records.split_off(before);
            self.put(&[records]);
            *records = last;
        }
        if records.len() >= MANY {
            self.put(&[records]);
            records.clear();
        }
    }

    fn put(&mut self, parts: &[&[u8]]) {
        let length = parts.iter().map(|part| part.len() as u64).sum::<u64>();
        let empty = if self.settings.driver == LogDriver::Local { HEAD } else { 0 };
        if self.size > empty && self.size + length > self.settings.max_bytes {
            self.rotate();
        }
        let Some(file) = &mut self.file else { return };
        let mut slices: Vec<IoSlice> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            match file.write_vectored(rest) {
                Ok(0) => break,
                Ok(count) => IoSlice::advance_slices(&mut rest, count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Half a record would hide all that follow: remove it.
                Err(_) => {
                    if self.settings.driver == LogDriver::JsonFile {
                        let _ = file.set_len(self.size);
                    }
                    let _ = file.seek(SeekFrom::Start(self.size));
                    return;
                }
            }
        }
        self.size += length;
    }

    /// Shifts the files by one. With `local` the oldest becomes the current one, and gets its new generation before it gets that name.
    fn rotate(&mut self) {
        let (path, files) = (self.settings.path.clone(), self.settings.max_files.max(1));
        let name = |at: u32| if at == 0 { path.clone() } else { format!("{path}.{at}") };
        let local = self.settings.driver == LogDriver::Local;
        let fresh = format!("{path}.new");
        let oldest = name(files - 1);
        let _ = if local {
            fs::rename(&oldest, &fresh)
        } else {
            fs::remove_file(&oldest)
        };
        for at in (1..files).rev() {
            let _ = fs::rename(name(at - 1), name(at));
        }
        let made = if local {
            begin(&fresh).and_then(|file| fs::rename(&fresh, &path).map(|()| file))
        } else {
            append(&path)
        };
        if let Ok(file) = made {
            self.file = Some(file);
            self.size = if local { HEAD } else { 0 };
        }
    }
}

fn append(path: &str) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

fn read_write(path: &str) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .mode(0o640)
        .open(path)
}

/// Opens the file and writes a head without records; old contents lose their meaning.
fn begin(path: &str) -> io::Result<File> {
    let mut file = read_write(path)?;
    file.write_all_at(&head(HEAD), 0)?;
    file.seek(SeekFrom::Start(HEAD))?;
    Ok(file)
}

fn head(end: u64) -> [u8; HEAD as usize] {
    let mut head = [0; HEAD as usize];
    head[0] = 8;
    head[4] = HEAD_STREAM;
    head[8..16].copy_from_slice(&(since_epoch().as_nanos() as u64).to_le_bytes());
    head[16..24].copy_from_slice(&end.to_le_bytes());
    head[24] = 8;
    head
}

/// The offset where the records end; None: the file has no head.
fn end_of(file: &File) -> Option<u64> {
    let mut head = [0; HEAD as usize];
    file.read_exact_at(&mut head, 0).ok()?;
    let end = u64::from_le_bytes(head[16..24].try_into().ok()?);
    (head[..8] == [8, 0, 0, 0, HEAD_STREAM, 0, 0, 0] && end >= HEAD).then_some(end)
}

fn since_epoch() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Writes a line as a JSON string. Most lines are plain text, in which only the newline at the end needs an escape.
fn json_string(to: &mut Vec<u8>, line: &[u8]) {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    if text
        .iter()
        .all(|byte| matches!(byte, b' '..=b'~') && *byte != b'"' && *byte != b'\\')
    {
        to.push(b'"');
        to.extend_from_slice(text);
        to.extend_from_slice(if text.len() < line.len() { b"\\n\"" } else { b"\"" });
    } else {
        // Neither can fail: a vector takes all bytes, and any string is valid JSON.
        let _ = serde_json::to_writer(to, &String::from_utf8_lossy(line));
    }
}

/// The part of a record that follows the line's text.
fn ending(stream: Stream) -> Vec<u8> {
    let name = if stream == Stream::Stdout { "stdout" } else { "stderr" };
    format!(",\"stream\":\"{name}\",\"time\":\"{}\"}}\n", rfc3339()).into_bytes()
}

/// RFC 3339 in UTC with nanoseconds, as Docker writes it. Civil date from days after Howard Hinnant's algorithm.
fn rfc3339() -> String {
    let now = since_epoch();
    let (days, second) = ((now.as_secs() / 86_400) as i64, now.as_secs() % 86_400);
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:09}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        now.subsec_nanos()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(driver: LogDriver, max_bytes: u64, max_files: u32) -> (std::path::PathBuf, Log) {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let name = format!(
            "tsbox-log-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("log").to_str().unwrap().to_owned();
        (
            folder,
            Log::open(Settings {
                driver,
                path,
                max_bytes,
                max_files,
            })
            .unwrap(),
        )
    }

    #[test]
    fn a_full_file_is_rotated_and_the_last_one_dropped() {
        let (folder, mut log) = log(LogDriver::Local, 100, 2);
        for at in 0..6u8 {
            log.write(Stream::Stdout, &[at; 60]);
        }
        let mut names: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["log", "log.1"]);
        assert_eq!(fs::read(folder.join("log")).unwrap()[HEAD as usize + 16], 5);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_oldest_file_is_overwritten_and_its_end_is_recorded() {
        let (folder, mut log) = log(LogDriver::Local, 400, 2);
        let inode = |name: &str| std::os::unix::fs::MetadataExt::ino(&fs::metadata(folder.join(name)).unwrap());
        let generation = |name: &str| fs::read(folder.join(name)).unwrap()[8..16].to_vec();
        for at in 0..4u8 {
            log.write(Stream::Stdout, &[at; 300]);
        }
        let (older, present, old) = (inode("log.1"), inode("log"), generation("log.1"));
        log.write(Stream::Stderr, &[9; 100]);
        assert_eq!((inode("log.1"), inode("log")), (present, older));
        assert_ne!(generation("log"), old);
        let end = HEAD + 16 + 100 + 4;
        assert_eq!(end_of(&File::open(folder.join("log")).unwrap()), Some(end));
        assert!(fs::metadata(folder.join("log")).unwrap().len() > end);
        // The container's next start continues there.
        let mut again = Log::open(log.settings.clone()).unwrap();
        again.write(Stream::Stdout, b"on");
        assert_eq!(end_of(&File::open(folder.join("log")).unwrap()), Some(end + 16 + 2 + 4));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn json_lines_of_one_read_are_cut_where_the_file_is_full() {
        let (folder, mut log) = log(LogDriver::JsonFile, 170, 4);
        log.write(Stream::Stdout, b"one\ntwo\nthree\nfour\nfive\n");
        let lines = |name: &str| fs::read_to_string(folder.join(name)).unwrap().lines().count();
        assert_eq!([lines("log.2"), lines("log.1"), lines("log")], [2, 2, 1]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn json_lines_contain_the_output_whatever_its_bytes() {
        let (folder, mut log) = log(LogDriver::JsonFile, 1 << 20, 1);
        let mut lines: Vec<Vec<u8>> = (0..=255u8)
            .filter(|byte| *byte != b'\n')
            .map(|byte| vec![b'a', byte, b'\n'])
            .collect();
        lines.push(b"\n".to_vec());
        lines.push("caf\u{e9} \u{1f980}\n".as_bytes().to_vec());
        lines.push([vec![b'x'; LONGEST_LINE - 1], b"\n".to_vec()].concat());
        // More than one write takes.
        lines.extend((0..2_000).map(|at| format!("{at}\n").into_bytes()));
        log.write(Stream::Stdout, &lines.concat());
        let text = fs::read_to_string(folder.join("log")).unwrap();
        let read: Vec<String> = text
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["log"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        let written: Vec<String> = lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        assert_eq!(read, written);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn json_lines_are_whole_lines_and_long_ones_come_in_parts() {
        let (folder, mut log) = log(LogDriver::JsonFile, 1 << 20, 1);
        log.write(Stream::Stdout, b"on");
        log.write(Stream::Stdout, b"e\ntwo \"quoted\"\n");
        log.write(Stream::Stdout, &vec![b'x'; LONGEST_LINE + 5]);
        log.close();
        let text = fs::read_to_string(folder.join("log")).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let logs: Vec<usize> = lines.iter().map(|line| line["log"].as_str().unwrap().len()).collect();
        assert_eq!(logs, [4, 13, LONGEST_LINE, 5]);
        assert_eq!(lines[0]["log"], "one\n");
        fs::remove_dir_all(folder).unwrap();
    }
}
