use super::*;
use crate::sys::at;
use std::os::fd::AsFd;

#[test]
fn an_overlay_opens_detached_and_is_in_no_table() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: needs root");
    }
    let world = std::env::temp_dir().join(format!("tsbox-mount-{}", std::process::id()));
    for name in ["a", "b:c", "upper", "work"] {
        std::fs::create_dir_all(world.join(name)).unwrap();
    }
    std::fs::write(world.join("a/one"), "1").unwrap();
    std::fs::write(world.join("b:c/two"), "2").unwrap();
    let at = |name: &str| world.join(name).display().to_string();
    let mount = Mount {
        type_: "overlay".into(),
        source: "overlay".into(),
        target: None,
        options: vec![
            format!("lowerdir+={}", at("a")),
            format!("lowerdir+={}", at("b:c")),
            format!("upperdir={}", at("upper")),
            format!("workdir={}", at("work")),
        ],
        id_maps: None,
    };
    let tree = open_detached(std::slice::from_ref(&mount)).unwrap();
    assert!(at::open_in_root(tree.as_fd(), b"/one", libc::O_RDONLY).is_ok());
    assert!(at::open_in_root(tree.as_fd(), b"../../two", libc::O_RDONLY).is_ok());
    assert!(!std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&at("upper")));
    drop(tree);
    let mut volatile = mount.clone();
    volatile.options.push("volatile".into());
    drop(open_detached(std::slice::from_ref(&volatile)).unwrap());
    // A user's own overlay: only its owner knows whether a crash in between matters.
    assert!(open_detached(std::slice::from_ref(&volatile)).is_err());
    volatile.options.push("x-tsbox.discarded".into());
    for _ in 0..2 {
        drop(open_detached(std::slice::from_ref(&volatile)).unwrap());
        assert!(world.join("work/work/incompat/volatile").exists());
    }
    let wrong = Mount {
        options: vec![format!("lowerdir+={}", at("a")), "nonsense=1".into()],
        ..mount
    };
    let failure = open_detached(&[wrong]).unwrap_err();
    // Before 6.5, overlayfs reports the reason only to the system log.
    assert!(failure.message.contains("nonsense") || !has_lowerdir_plus(), "{failure}");
    std::fs::remove_dir_all(&world).unwrap();
}
