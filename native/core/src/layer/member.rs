use crate::sys::at::Time;
use crate::sys::xattr::Attributes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    HardLink,
    Symlink,
    Character,
    Block,
    Directory,
    Fifo,
}

/// A data segment of a sparse file; the rest reads as zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub offset: u64,
    pub length: u64,
}

/// A member of an archive, with all data of its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The name in the archive; any bytes except NUL.
    pub name: Vec<u8>,
    pub kind: Kind,
    /// Permission bits, with set-id and sticky bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// The size of the file, holes included.
    pub size: u64,
    pub mtime: Time,
    /// The target of a hard or symbolic link.
    pub link: Vec<u8>,
    pub device: (u32, u32),
    pub attributes: Attributes,
    /// In order, without overlaps, within `size`. None: the file is not sparse.
    pub sparse: Option<Vec<Segment>>,
}

impl Member {
    pub fn new(name: Vec<u8>, kind: Kind) -> Self {
        let (link, attributes) = (Vec::new(), Vec::new());
        Member {
            name,
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: Time::default(),
            link,
            device: (0, 0),
            attributes,
            sparse: None,
        }
    }

    /// The number of bytes of content in the archive.
    pub fn stored(&self) -> u64 {
        self.sparse
            .as_ref()
            .map_or(self.size, |segments| segments.iter().map(|segment| segment.length).sum())
    }

    /// The name for an error message.
    pub fn shown(&self) -> String {
        crate::tree::shown(&self.name)
    }
}
