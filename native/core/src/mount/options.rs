//! Separates the options of a mount from those of its file system.

use super::Mount;
use crate::sys::mount::Attributes;

/// A mount's options, sorted by their receiver. A bind has the type `bind`, or any type and the option `bind` or `rbind`.
pub(crate) struct Parts<'a> {
    pub bind: bool,
    pub recursive: bool,
    pub attributes: Attributes,
    /// Options of the file system, in order.
    pub data: Vec<&'a str>,
}

impl Parts<'_> {
    pub fn of(mount: &Mount) -> Parts<'_> {
        let mut parts = Parts {
            bind: mount.type_ == "bind",
            recursive: false,
            attributes: Attributes::default(),
            data: Vec::new(),
        };
        for option in &mount.options {
            match option.as_str() {
                "bind" => parts.bind = true,
                "rbind" => (parts.bind, parts.recursive) = (true, true),
                "defaults" => {}
                other if parts.attributes.take(other) => {}
                other => parts.data.push(other),
            }
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mount::RDONLY;

    fn mount(type_: &str, options: &[&str]) -> Mount {
        Mount {
            type_: type_.to_owned(),
            source: "/source".to_owned(),
            target: None,
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            id_maps: None,
        }
    }

    #[test]
    fn each_option_goes_to_its_receiver() {
        let tmpfs = mount("tmpfs", &["defaults", "ro", "size=3m", "mode=1777"]);
        let parts = Parts::of(&tmpfs);
        assert!(!parts.bind && !parts.recursive);
        assert_eq!(parts.attributes.set, RDONLY);
        assert_eq!(parts.data, ["size=3m", "mode=1777"]);
    }

    #[test]
    fn a_bind_is_one_by_its_type_or_its_option() {
        for (type_, options, bind, recursive) in [
            ("bind", &[][..], true, false),
            ("none", &["bind"][..], true, false),
            ("none", &["rbind"][..], true, true),
            ("bind", &["rbind"][..], true, true),
            ("ext4", &["rw"][..], false, false),
        ] {
            let mount = mount(type_, options);
            let parts = Parts::of(&mount);
            assert_eq!((parts.bind, parts.recursive), (bind, recursive), "{type_} {options:?}");
            assert!(parts.data.is_empty());
        }
    }
}
