//! The five capability sets of a process.

use super::spec::Capabilities;
use crate::failure::{Failure, Result};
use crate::sys;

/// Names by number, as in uapi/linux/capability.h.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The sets as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    /// The caller's bounding set.
    have: u64,
    pub bounding: u64,
    pub effective: u64,
    pub inheritable: u64,
    pub permitted: u64,
    pub ambient: u64,
}

impl Sets {
    /// Converts names to sets. Like runc, it leaves out names that this kernel or this program does not know, and capabilities that the
    /// caller does not have, and adds a warning.
    pub fn of(wanted: &Capabilities, warnings: &mut Vec<String>) -> Result<Sets> {
        let have = current_bounding()?;
        let mut left_out = Vec::new();
        let mut bits = |names: &[String]| {
            let mut set = 0;
            for name in names {
                match number(name).filter(|number| have & (1 << number) != 0) {
                    Some(number) => set |= 1 << number,
                    None if left_out.contains(name) => {}
                    None => left_out.push(name.clone()),
                }
            }
            set
        };
        let mut sets = Sets {
            have,
            bounding: bits(&wanted.bounding),
            effective: bits(&wanted.effective),
            inheritable: bits(&wanted.inheritable),
            permitted: bits(&wanted.permitted),
            ambient: bits(&wanted.ambient),
        };
        // The kernel grants only ambient capabilities that are inheritable and permitted, but many specs list others.
        let given = sets.ambient & sets.inheritable & sets.permitted;
        if given != sets.ambient {
            warnings.push("ambient capabilities that are not both inheritable and permitted were left out".to_owned());
            sets.ambient = given;
        }
        if !left_out.is_empty() {
            warnings.push(format!("capabilities that this host can not give: {}", left_out.join(", ")));
        }
        Ok(sets)
    }

    /// Adds capabilities that the caller has to the effective and permitted sets.
    pub fn with(self, extra: u64) -> Sets {
        Sets {
            effective: self.effective | extra,
            permitted: self.permitted | extra,
            ..self
        }
    }

    /// Drops all capabilities outside of the set from the bounding set. Needs CAP_SETPCAP, so it comes before the change of user.
    pub fn bound(&self) -> Result<()> {
        for number in (0..64).filter(|number| self.have & !self.bounding & (1 << number) != 0) {
            sys::prctl(libc::PR_CAPBSET_DROP, number, 0, "PR_CAPBSET_DROP")?;
        }
        Ok(())
    }

    /// Sets the other four sets, after the change of user.
    pub fn apply(&self) -> Result<()> {
        #[repr(C)]
        struct Header {
            version: u32,
            pid: i32,
        }
        #[repr(C)]
        struct Data {
            effective: u32,
            permitted: u32,
            inheritable: u32,
        }
        const VERSION_3: u32 = 0x2008_0522;
        let header = Header {
            version: VERSION_3,
            pid: 0,
        };
        let half = |shift: u32| Data {
            effective: (self.effective >> shift) as u32,
            permitted: (self.permitted >> shift) as u32,
            inheritable: (self.inheritable >> shift) as u32,
        };
        let data = [half(0), half(32)];
        // SAFETY: version 3 takes one header and two records.
        sys::check(unsafe { libc::syscall(libc::SYS_capset, &header, data.as_ptr()) }, "capset", None)?;
        const PR_CAP_AMBIENT: i32 = 47;
        const RAISE: u64 = 2;
        const CLEAR_ALL: u64 = 4;
        sys::prctl(PR_CAP_AMBIENT, CLEAR_ALL, 0, "PR_CAP_AMBIENT")?;
        for number in (0..64).filter(|number| self.ambient & (1 << number) != 0) {
            sys::prctl(PR_CAP_AMBIENT, RAISE, number, "PR_CAP_AMBIENT")?;
        }
        Ok(())
    }
}

/// The number of a capability: `CAP_CHOWN`, `chown` → 0.
pub fn number(name: &str) -> Option<u64> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    NAMES.iter().position(|known| *known == bare).map(|at| at as u64)
}

/// The caller's bounding set. The kernel returns EINVAL beyond its last capability.
fn current_bounding() -> Result<u64> {
    let mut set = 0;
    for number in 0..64u64 {
        match sys::prctl(libc::PR_CAPBSET_READ, number, 0, "PR_CAPBSET_READ") {
            Ok(1) => set |= 1 << number,
            Ok(_) => {}
            Err(Failure {
                errno: Some(libc::EINVAL), ..
            }) => break,
            Err(failure) => return Err(failure),
        }
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_kernels_numbers() {
        assert_eq!(
            (number("CAP_CHOWN"), number("sys_admin"), number("CAP_CHECKPOINT_RESTORE")),
            (Some(0), Some(21), Some(40))
        );
        assert_eq!(number("CAP_NONSENSE"), None);
    }

    #[test]
    fn unknown_names_are_omitted_with_a_warning() {
        let mut warnings = Vec::new();
        let wanted = Capabilities {
            bounding: vec!["CAP_NONSENSE".into()],
            ..Capabilities::default()
        };
        assert_eq!(Sets::of(&wanted, &mut warnings).unwrap().bounding, 0);
        assert!(warnings[0].contains("CAP_NONSENSE"));
    }
}
