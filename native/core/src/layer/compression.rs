use crate::failure::{Code, Failure, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Plain,
    Gzip,
    Zstd,
}

/// The compression of an input: the formats that this engine writes, and two more in which other archives come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packed {
    Plain,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl Packed {
    /// Detects the format by a file's first bytes: a media type may be wrong, and old media types do not name the compression.
    pub fn of_magic(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Packed::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Packed::Zstd,
            // A skippable frame, with which seekable and chunked zstd files begin.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Packed::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Packed::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Packed::Xz,
            _ => Packed::Plain,
        }
    }
}

impl Compression {
    /// Parses OCI's and Docker's media types of layers.
    pub fn of_media_type(media_type: &str) -> Result<Self> {
        match media_type.rsplit(['+', '.']).next() {
            Some("gzip") => Ok(Compression::Gzip),
            Some("zstd") => Ok(Compression::Zstd),
            Some("tar") => Ok(Compression::Plain),
            _ => Err(Failure::new(
                Code::Unsupported,
                format!("{media_type}: no layer type that this engine writes; use tar, tar+gzip or tar+zstd"),
            )),
        }
    }
}
