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

/// A piece of a sparse file that is there; the rest reads as zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub offset: u64,
    pub length: u64,
}

/// One member of an archive: all that its headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// As written in the archive; any bytes but NUL.
    pub name: Vec<u8>,
    pub kind: Kind,
    /// Permission bits, with set-id and sticky.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Of the file as it is read, holes included.
    pub size: u64,
    pub mtime: Time,
    /// Where a hard or symbolic link points.
    pub link: Vec<u8>,
    pub device: (u32, u32),
    pub attributes: Attributes,
    /// In order, apart from each other, within `size`. None: the file is whole.
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

    /// Bytes of content that the archive itself holds.
    pub fn stored(&self) -> u64 {
        self.sparse
            .as_ref()
            .map_or(self.size, |segments| segments.iter().map(|segment| segment.length).sum())
    }

    /// For an error's text.
    pub fn shown(&self) -> String {
        crate::tree::shown(&self.name)
    }
}
