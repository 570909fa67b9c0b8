//! The writing side: the caller writes the plain tar; one thread hashes it, compresses it, hashes the result and writes the file.

use super::inflate::name;
use super::{Compression, Layer};
use crate::failure::{Code, Failure, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

const CHUNK: usize = 256 << 10;
const AHEAD: usize = 16;
/// zstd's default level.
const ZSTD_LEVEL: i32 = 3;

/// Runs `write_plain` and compresses its output into `file`.
pub fn deflate(file: File, compression: Compression, write_plain: impl FnOnce(&mut Stream) -> Result<()>) -> Result<Layer> {
    std::thread::scope(|scope| {
        let (full, chunks) = sync_channel::<Vec<u8>>(AHEAD);
        let worker = std::thread::Builder::new()
            .name("deflate".to_owned())
            .spawn_scoped(scope, move || work(file, compression, chunks));
        let worker = worker.map_err(|error| Failure::io(&error, "clone", None))?;
        let mut stream = Stream {
            full,
            current: Vec::with_capacity(CHUNK),
        };
        let outcome = write_plain(&mut stream).and_then(|()| stream.flush().map_err(|error| Failure::io(&error, "write", None)));
        drop(stream);
        let layer = worker
            .join()
            .map_err(|_| Failure::new(Code::Internal, "the compressing thread panicked"))?;
        // If the thread could not write, its error is the cause, and the caller only saw a closed channel.
        let layer = layer.map_err(|error| Failure::io(&error, "write", None))?;
        outcome.map(|()| layer)
    })
}

pub struct Stream {
    full: SyncSender<Vec<u8>>,
    current: Vec<u8>,
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(CHUNK - self.current.len());
        self.current.extend_from_slice(&bytes[..count]);
        if self.current.len() == CHUNK {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        let chunk = std::mem::replace(&mut self.current, Vec::with_capacity(CHUNK));
        self.full
            .send(chunk)
            .map_err(|_| io::Error::other("the compressing thread has stopped"))
    }
}

fn work(file: File, compression: Compression, chunks: Receiver<Vec<u8>>) -> io::Result<Layer> {
    let out = BufWriter::with_capacity(
        CHUNK,
        Hashed {
            inner: file,
            hash: Sha256::new(),
            size: 0,
        },
    );
    let mut encoder = match compression {
        Compression::Plain => Encoder::Plain(out),
        // The header has neither name nor time, so that the same tree makes the same file.
        Compression::Gzip => Encoder::Gzip(flate2::GzBuilder::new().write(out, flate2::Compression::default())),
        Compression::Zstd => {
            let mut zstd = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
            zstd.include_checksum(true)?;
            Encoder::Zstd(zstd)
        }
    };
    let mut plain = Sha256::new();
    for chunk in chunks {
        plain.update(&chunk);
        match &mut encoder {
            Encoder::Plain(out) => out.write_all(&chunk)?,
            Encoder::Gzip(gzip) => gzip.write_all(&chunk)?,
            Encoder::Zstd(zstd) => zstd.write_all(&chunk)?,
        }
    }
    let out = match encoder {
        Encoder::Plain(out) => out,
        Encoder::Gzip(gzip) => gzip.finish()?,
        Encoder::Zstd(zstd) => zstd.finish()?,
    };
    let Hashed { hash, size, .. } = out.into_inner().map_err(|error| error.into_error())?;
    Ok(Layer {
        diff_id: name(plain),
        digest: name(hash),
        size,
    })
}

enum Encoder {
    Plain(BufWriter<Hashed>),
    Gzip(flate2::write::GzEncoder<BufWriter<Hashed>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<Hashed>>),
}

struct Hashed {
    inner: File,
    hash: Sha256,
    size: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
