//! Attributes of a mount for mount_setattr(2), and the options of mount(8) that set them.

/// Attributes of one mount for mount_setattr(2). The values are those of uapi/linux/mount.h.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub set: u64,
    pub clear: u64,
    /// MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE, or 0: unchanged.
    pub propagation: u64,
}

pub const RDONLY: u64 = 0x1;
pub const NOSUID: u64 = 0x2;
pub const NODEV: u64 = 0x4;
pub const NOEXEC: u64 = 0x8;
const ATIME: u64 = 0x70;
const NOATIME: u64 = 0x10;
const STRICTATIME: u64 = 0x20;
const NODIRATIME: u64 = 0x80;
const NOSYMFOLLOW: u64 = 0x20_0000;
/// MOUNT_ATTR_IDMAP: only in [`super::mount::set_attributes_idmapped`].
pub(super) const IDMAP: u64 = 0x10_0000;

impl Attributes {
    /// Takes an option that is an attribute of a mount. Returns false for any other option, such as one of the file system.
    pub fn take(&mut self, option: &str) -> bool {
        let mut both = |set: u64, clear: u64| {
            self.set = (self.set & !clear) | set;
            self.clear = (self.clear & !set) | clear;
        };
        match option {
            "ro" => both(RDONLY, 0),
            "rw" => both(0, RDONLY),
            "nosuid" => both(NOSUID, 0),
            "suid" => both(0, NOSUID),
            "nodev" => both(NODEV, 0),
            "dev" => both(0, NODEV),
            "noexec" => both(NOEXEC, 0),
            "exec" => both(0, NOEXEC),
            // The kernel requires the whole access time field to be cleared before one of its values is set.
            "relatime" | "norelatime" | "atime" | "nostrictatime" => both(0, ATIME),
            "noatime" => {
                both(0, ATIME);
                self.set |= NOATIME;
            }
            "strictatime" => {
                both(0, ATIME);
                self.set |= STRICTATIME;
            }
            "nodiratime" => both(NODIRATIME, 0),
            "diratime" => both(0, NODIRATIME),
            "nosymfollow" => both(NOSYMFOLLOW, 0),
            "symfollow" => both(0, NOSYMFOLLOW),
            _ => return false,
        }
        true
    }

    pub fn is_empty(&self) -> bool {
        *self == Attributes::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_option_for_an_attribute_counts() {
        let mut attributes = Attributes::default();
        for option in ["ro", "nosuid", "rw", "noatime"] {
            assert!(attributes.take(option));
        }
        assert_eq!(
            attributes,
            Attributes {
                set: NOSUID | NOATIME,
                clear: RDONLY | ATIME,
                propagation: 0
            }
        );
        assert!(!attributes.take("size=3m"));
    }

    /// The kernel refuses a value of the access time field unless the whole field is cleared.
    #[test]
    fn an_access_time_clears_the_one_before() {
        let mut attributes = Attributes::default();
        for option in ["noatime", "strictatime"] {
            assert!(attributes.take(option));
        }
        assert_eq!((attributes.set, attributes.clear), (STRICTATIME, ATIME));
        assert!(attributes.take("relatime"));
        assert_eq!((attributes.set, attributes.clear), (0, ATIME));
    }
}
