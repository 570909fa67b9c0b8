//! The reading side: one thread reads the file, hashes it, inflates it and hashes the result; the caller reads the result.

use super::Layer;
use super::compression::Packed;
use crate::failure::{Code, Failure, Result};
use crate::limits::LARGEST_TRAILER;
use crate::tree::Cancel;
use flate2::bufread::GzDecoder;
use sha2::{Digest, Sha256};
use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

const CHUNK: usize = 256 << 10;
/// Chunks in the queue: enough for a writer that waits for the disk, 4 MiB in total.
const AHEAD: usize = 16;

/// The maximum dictionary of an xz stream, in KiB: more than `xz -9` uses.
const XZ_MEMORY: u32 = 128 << 10;

type Chunk = io::Result<Vec<u8>>;

/// Runs `use_plain` on the plain stream of the layer in `file`. The hashes cover the whole file, so `use_plain` must read to the end.
pub fn inflate<T>(file: impl Read + Send, cancel: &Cancel, use_plain: impl FnOnce(Stream) -> Result<T>) -> Result<(T, Layer)> {
    std::thread::scope(|scope| {
        let (full, chunks) = sync_channel::<Chunk>(AHEAD);
        let (empty, used) = sync_channel::<Vec<u8>>(AHEAD);
        let worker = std::thread::Builder::new()
            .name("inflate".to_owned())
            .spawn_scoped(scope, move || work(file, cancel, full, used));
        let worker = worker.map_err(|error| Failure::io(&error, "clone", None))?;
        // The stream is dropped when `use_plain` returns, at the latest. A worker that still has chunks to send then stops.
        let outcome = use_plain(Stream {
            chunks,
            empty,
            current: Vec::new(),
            at: 0,
        });
        let layer = worker
            .join()
            .map_err(|_| Failure::new(Code::Internal, "the inflating thread panicked"))?;
        let value = outcome?;
        layer
            .map(|layer| (value, layer))
            .ok_or_else(|| Failure::new(Code::Internal, "the layer was not read to its end"))
    })
}

/// The stream of the plain tar.
pub struct Stream {
    chunks: Receiver<Chunk>,
    empty: SyncSender<Vec<u8>>,
    current: Vec<u8>,
    at: usize,
}

impl BufRead for Stream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.current.len() {
            let Ok(chunk) = self.chunks.recv() else { return Ok(&[]) };
            // If the channel of empty buffers is full, the worker allocates one more.
            let _ = self.empty.try_send(std::mem::replace(&mut self.current, chunk?));
            self.at = 0;
        }
        Ok(&self.current[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

/// None: reading failed (the reader got the error), or the reader stopped.
fn work(file: impl Read, cancel: &Cancel, full: SyncSender<Chunk>, used: Receiver<Vec<u8>>) -> Option<Layer> {
    let mut sender = Sender {
        full,
        used,
        hash: Sha256::new(),
        reader_left: false,
    };
    match sender.all(Cancelable { file, cancel }) {
        Ok((digest, size)) => Some(Layer {
            diff_id: name(sender.hash),
            digest,
            size,
        }),
        Err(_) if sender.reader_left => None,
        Err(error) => {
            let _ = sender.full.send(Err(error));
            None
        }
    }
}

struct Sender {
    full: SyncSender<Chunk>,
    used: Receiver<Vec<u8>>,
    hash: Sha256,
    reader_left: bool,
}

impl Sender {
    fn all(&mut self, mut file: impl Read) -> io::Result<(String, u64)> {
        let mut magic = [0; 6];
        let known = start(&mut file, &mut magic)?;
        let magic = &magic[..known];
        let mut file = BufReader::with_capacity(
            CHUNK,
            Hashed {
                inner: magic.chain(file),
                hash: Sha256::new(),
                size: 0,
            },
        );
        match Packed::of_magic(magic) {
            Packed::Plain => self.pump(&mut file)?,
            Packed::Gzip => self.members(&mut file)?,
            Packed::Bzip2 => self.pump(&mut bzip2::bufread::MultiBzDecoder::new(&mut file)).map_err(corrupt)?,
            Packed::Xz => self
                .pump(&mut lzma_rust2::XzReader::new_mem_limit(&mut file, true, XZ_MEMORY))
                .map_err(corrupt)?,
            Packed::Zstd => {
                let mut plain = zstd::stream::read::Decoder::with_buffer(&mut file)?;
                // The largest window that `zstd --ultra --long` uses by default: 128 MiB, libzstd's own limit.
                plain.window_log_max(27)?;
                self.pump(&mut plain).map_err(corrupt)?;
            }
        }
        trailer(&mut file)?;
        let Hashed { hash, size, .. } = file.into_inner();
        Ok((name(hash), size))
    }

    /// Inflates gzip members, which form one stream (RFC 1952). Zeros may follow the last member as padding; other bytes mean damage.
    fn members(&mut self, file: &mut impl BufRead) -> io::Result<()> {
        let mut zeros = 0;
        loop {
            self.pump(&mut GzDecoder::new(&mut *file)).map_err(corrupt)?;
            loop {
                let buffer = file.fill_buf()?;
                let count = buffer.iter().take_while(|byte| **byte == 0).count();
                if count == 0 {
                    break;
                }
                zeros += count as u64;
                file.consume(count);
                if zeros > LARGEST_TRAILER {
                    return Err(too_long());
                }
            }
            match file.fill_buf()? {
                [] => return Ok(()),
                [0x1f, ..] => {}
                _ => return Err(corrupt(io::Error::other("bytes after the gzip stream"))),
            }
        }
    }

    fn pump(&mut self, plain: &mut impl Read) -> io::Result<()> {
        loop {
            let mut chunk = self.used.try_recv().unwrap_or_default();
            chunk.resize(CHUNK, 0);
            let mut length = 0;
            while length < CHUNK {
                match plain.read(&mut chunk[length..]) {
                    Ok(0) => break,
                    Ok(count) => length += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            chunk.truncate(length);
            if length == 0 {
                return Ok(());
            }
            self.hash.update(&chunk);
            if self.full.send(Ok(chunk)).is_err() {
                self.reader_left = true;
                return Err(io::Error::other("the reader has left"));
            }
        }
    }
}

/// Reads the first bytes, as many as there are: one read of a pipe may return fewer.
fn start(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Errors of the file itself keep their errno; all others mean that its bytes are wrong.
fn corrupt(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(_) => error,
        None => io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the compressed layer is damaged or cut short: {error}"),
        ),
    }
}

/// Returns ECANCELED once the caller has canceled: some loops here read without passing data on.
struct Cancelable<'a, R> {
    file: R,
    cancel: &'a Cancel,
}

impl<R: Read> Read for Cancelable<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cancel.check().map_err(|_| io::Error::from_raw_os_error(libc::ECANCELED))?;
        self.file.read(buffer)
    }
}

/// Reads the bytes after the compressed stream, so that the hash covers the whole file.
fn trailer(file: &mut impl Read) -> io::Result<()> {
    match io::copy(&mut file.take(LARGEST_TRAILER + 1), &mut io::sink())? {
        0..=LARGEST_TRAILER => Ok(()),
        _ => Err(too_long()),
    }
}

fn too_long() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "more than 64 MiB follow the end of the compressed layer",
    )
}

struct Hashed<R> {
    inner: R,
    hash: Sha256,
    size: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.size += count as u64;
        Ok(count)
    }
}

pub(super) fn name(hash: Sha256) -> String {
    hash.finalize()
        .iter()
        .fold(String::from("sha256:"), |name, byte| name + &format!("{byte:02x}"))
}
