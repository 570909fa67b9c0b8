//! Tests with GNU tar as the oracle, in both directions, and with malicious archives.

use super::header::{self, Draft};
use super::*;
use crate::failure::{Code, Failure};
use crate::sys::{at, xattr};
use crate::tree::{Cancel, copy_tree, remove_tree};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Cursor;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A temporary directory of one test.
pub(super) struct World(PathBuf);

impl World {
    pub(super) fn new(name: &str) -> Self {
        World::within(std::env::temp_dir(), name)
    }
    /// A directory in memory, for trees so deep that a disk takes seconds for them.
    fn in_memory(name: &str) -> Self {
        World::within(PathBuf::from("/dev/shm"), name)
    }
    fn within(folder: PathBuf, name: &str) -> Self {
        let path = folder.join(format!("tsbox-layer-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        World(path)
    }
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
    pub(super) fn directory(&self, name: &str) -> PathBuf {
        fs::create_dir(self.at(name)).unwrap();
        self.at(name)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        remove_tree(self.0.as_os_str().as_bytes(), &Cancel::default()).unwrap();
    }
}

pub(super) fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

pub(super) fn open(path: &Path) -> OwnedFd {
    at::open_path(path.as_os_str().as_bytes(), libc::O_RDONLY | libc::O_DIRECTORY).unwrap()
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).env("LC_ALL", "C").output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// All properties of a tree that a layer keeps, as text.
fn describe(root: &Path) -> BTreeMap<String, String> {
    let (mut all, mut inodes) = (BTreeMap::new(), BTreeMap::new());
    describe_into(root, root, &mut all, &mut inodes);
    all
}

fn describe_into(root: &Path, directory: &Path, all: &mut BTreeMap<String, String>, inodes: &mut BTreeMap<u64, String>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let handle = open(directory);
    for path in entries {
        let stat = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().escape_ascii().to_string();
        let first = inodes.entry(stat.ino()).or_insert_with(|| name.clone()).clone();
        let base = at::c_string(path.file_name().unwrap().as_bytes()).unwrap();
        let mut attributes = xattr::all(handle.as_fd(), &base).unwrap();
        attributes.retain(|(key, _)| !xattr::is_private(key));
        let content = match stat.mode() & libc::S_IFMT {
            libc::S_IFREG => sha(&fs::read(&path).unwrap()),
            libc::S_IFLNK => fs::read_link(&path).unwrap().as_os_str().as_bytes().escape_ascii().to_string(),
            _ => String::new(),
        };
        let line = format!(
            "{:o} {}:{} dev {} time {}.{:09} first {first} {attributes:?} {content}",
            stat.mode(),
            stat.uid(),
            stat.gid(),
            stat.rdev(),
            stat.mtime(),
            stat.mtime_nsec()
        );
        all.insert(name, line);
        if stat.is_dir() {
            describe_into(root, &path, all, inodes);
        }
    }
}

/// Fails with the name of the first difference.
fn assert_same(found: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>, case: &str) {
    let names: std::collections::BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
    for name in names {
        assert_eq!(found.get(name), wanted.get(name), "{case}: {name}");
    }
}

fn sha(bytes: &[u8]) -> String {
    use sha2::Digest;
    inflate::name(sha2::Sha256::new_with_prefix(bytes))
}

/// A tree with everything that archives often get wrong.
fn nasty(root: &Path) {
    let long = "n".repeat(120);
    let deep = (0..12).map(|_| "directory-with-a-name").collect::<Vec<_>>().join("/");
    fs::create_dir_all(root.join(&deep)).unwrap();
    fs::write(root.join(&deep).join(&long), b"deep and long").unwrap();
    symlink("t".repeat(300), root.join("long-link")).unwrap();
    symlink("/../../etc", root.join("link-out")).unwrap();
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"not-utf8-\xff\xfe")), b"x").unwrap();
    fs::write(root.join("with space\nand line"), vec![7; 100_000]).unwrap();
    fs::write(root.join("empty"), b"").unwrap();
    fs::write(root.join("first"), b"linked").unwrap();
    fs::hard_link(root.join("first"), root.join("zz-second")).unwrap();
    fs::hard_link(root.join("first"), root.join(&deep).join("third")).unwrap();
    fs::write(root.join("setuid"), b"#!").unwrap();
    fs::set_permissions(root.join("setuid"), fs::Permissions::from_mode(0o6755)).unwrap();
    let big = File::create(root.join("sparse")).unwrap();
    big.write_all_at(b"start", 0).unwrap();
    big.write_all_at(&[9; 5000], 10 << 20).unwrap();
    big.set_len(30 << 20).unwrap();
    File::create(root.join("hole")).unwrap().set_len(1 << 20).unwrap();
    let handle = open(root);
    at::make_node(handle.as_fd(), c"null", libc::S_IFCHR, libc::makedev(1, 3)).unwrap();
    at::make_node(handle.as_fd(), c"block", libc::S_IFBLK, libc::makedev(259, 70_000)).unwrap();
    at::make_node(handle.as_fd(), c"fifo", libc::S_IFIFO, 0).unwrap();
    at::set_owner(handle.as_fd(), c"null", 300_000, 2_200_000_000).unwrap();
    at::set_owner(handle.as_fd(), c"long-link", 3, 4_294_967_294).unwrap();
    // cap_net_raw+ep as the kernel stores it: binary, with NULs.
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    xattr::set(handle.as_fd(), c"first", b"security.capability", &capability).unwrap();
    xattr::set(handle.as_fd(), c"empty", b"user.with=equals", b"a\nb\0c").unwrap();
    xattr::set(handle.as_fd(), c"empty", b"user.plain", b"a\nb\0c").unwrap();
    xattr::set(handle.as_fd(), c"empty", b"trusted.kept", b"t").unwrap();
    // A value, and a list of names, larger than the first buffer that the kernel is asked with.
    xattr::set(handle.as_fd(), c"zz-second", b"user.long", &[b'l'; 3000]).unwrap();
    for number in 0..20 {
        xattr::set(handle.as_fd(), c"setuid", format!("user.number-{number:020}").as_bytes(), b"").unwrap();
    }
    // user::rw-, user:1000:r--, group::r--, mask::r--, other::---
    let acl = [
        2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 232, 3, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 4, 0, 255, 255, 255,
        255, 32, 0, 0, 0, 255, 255, 255, 255,
    ];
    xattr::set(handle.as_fd(), c"setuid", b"system.posix_acl_access", &acl).unwrap();
    // The same as a directory's default. The file in the directory does not have it, since it existed before.
    fs::create_dir(root.join("gives-acl")).unwrap();
    fs::write(root.join("gives-acl/older"), b"").unwrap();
    xattr::set(handle.as_fd(), c"gives-acl", b"system.posix_acl_default", &acl).unwrap();
    let time = |seconds, nanoseconds| at::Time { seconds, nanoseconds };
    at::set_times(handle.as_fd(), c"empty", time(4_000_000_000, 123_456_789)).unwrap();
    at::set_times(handle.as_fd(), c"fifo", time(-2, 500_000_000)).unwrap();
    at::set_times(handle.as_fd(), c"long-link", time(1, 1)).unwrap();
    at::set_times(handle.as_fd(), c"directory-with-a-name", time(1_000_000_000, 10)).unwrap();
}

pub(super) fn apply_bytes(target: &Path, bytes: Vec<u8>) -> crate::failure::Result<Layer> {
    apply(open(target).as_fd(), Cursor::new(bytes), removing(), &Cancel::default())
}

fn removing() -> Options {
    Options {
        whiteouts: Whiteouts::Remove,
        lowers: None,
    }
}

pub(super) fn diff_bytes(lower: Option<&Path>, upper: &Path, into: &Path, compression: Compression) -> (Layer, Vec<u8>) {
    let lower = lower.map(open);
    let file = File::create_new(into).unwrap();
    let layer = diff(
        lower.as_ref().map(|fd| fd.as_fd()),
        open(upper).as_fd(),
        &Own::default(),
        file,
        compression,
        &Cancel::default(),
    )
    .unwrap();
    (layer, fs::read(into).unwrap())
}

#[test]
fn archives_of_gnu_tar_are_applied_completely() {
    if !root() {
        return;
    }
    let world = World::new("from-gnu");
    let source = world.directory("source");
    nasty(&source);
    let wanted = describe(&source);
    let (from, archive) = (source.to_str().unwrap().to_owned(), world.at("archive"));
    let attributes = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "--sort=name"];
    for (name, format, faithful) in [
        ("pax", &["--format=posix"] as &[&str], true),
        ("pax-sparse-1.0", &["--format=posix", "--sparse"], true),
        ("pax-sparse-0.1", &["--format=posix", "--sparse", "--sparse-version=0.1"], true),
        ("pax-sparse-0.0", &["--format=posix", "--sparse", "--sparse-version=0.0"], true),
        ("gnu-sparse", &["--format=gnu", "--sparse"], false),
    ] {
        let file = archive.to_str().unwrap();
        let attributes: &[&str] = if faithful { &attributes } else { &attributes[2..] };
        run("tar", &[&["-C", &from, "-cf", file], attributes, format, &["."]].concat());
        let target = world.directory(name);
        let bytes = fs::read(&archive).unwrap();
        let layer = apply_bytes(&target, bytes.clone()).unwrap();
        assert_eq!(
            (layer.diff_id.as_str(), layer.digest.as_str(), layer.size),
            (sha(&bytes).as_str(), sha(&bytes).as_str(), bytes.len() as u64)
        );
        let found = describe(&target);
        if faithful {
            assert_same(&found, &wanted, name);
        } else {
            // The old format supports neither attributes nor fractions of seconds.
            assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
            let content = |all: &BTreeMap<String, String>, key: &str| all[key].rsplit(' ').next().unwrap().to_owned();
            assert_eq!(content(&found, "sparse"), content(&wanted, "sparse"));
        }
        if name != "pax" {
            assert!(
                fs::metadata(target.join("sparse")).unwrap().blocks() < 1000,
                "{name}: the holes are filled"
            );
        }
    }
}

#[test]
fn archives_are_read_completely_by_gnu_tar_and_by_us() {
    if !root() {
        return;
    }
    let world = World::new("to-gnu");
    let source = world.directory("source");
    nasty(&source);
    let wanted = describe(&source);
    let mut plain = None;
    for (name, compression) in [
        ("tar", Compression::Plain),
        ("gzip", Compression::Gzip),
        ("zstd", Compression::Zstd),
    ] {
        let (layer, bytes) = diff_bytes(None, &source, &world.at(&format!("{name}.layer")), compression);
        assert_eq!((layer.digest.clone(), layer.size), (sha(&bytes), bytes.len() as u64));
        assert_eq!(
            *plain.get_or_insert(layer.diff_id.clone()),
            layer.diff_id,
            "the plain tar is the same under every compression"
        );
        let ours = world.directory(name);
        assert_eq!(apply_bytes(&ours, bytes).unwrap(), layer);
        assert_same(&describe(&ours), &wanted, name);
    }
    let theirs = world.directory("gnu");
    let file = world.at("tar.layer");
    run(
        "tar",
        &[
            "-C",
            theirs.to_str().unwrap(),
            "--xattrs",
            "--xattrs-include=*",
            "--numeric-owner",
            "-xpf",
            file.to_str().unwrap(),
        ],
    );
    assert_same(&describe(&theirs), &wanted, "GNU tar");
    let copied = world.directory("copied");
    copy_tree(
        open(&source).as_fd(),
        open(&copied).as_fd(),
        &Default::default(),
        &Cancel::default(),
    )
    .unwrap();
    assert_same(&describe(&copied), &wanted, "copy");
    assert!(fs::metadata(copied.join("sparse")).unwrap().blocks() < 1000);
    let (again, _) = diff_bytes(None, &copied, &world.at("again"), Compression::Plain);
    assert_eq!(Some(again.diff_id), plain);
}

#[test]
fn numbers_beyond_octal_are_read_as_written() {
    let cases: [(&[u8], i64); 5] = [
        (b"0000644\0", 0o644),
        (b"   644 \0", 0o644),
        (&[0x80, 0, 0, 2, 0, 0, 0, 0], 2 << 32),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe], -2),
        (b"\0\0\0\0\0\0\0\0", 0),
    ];
    for (field, value) in cases {
        assert_eq!(header::number(field).unwrap(), value, "{field:?}");
    }
    assert!(header::number(b"00009\0").is_err());
    for text in ["-1.5", "0.000000001", "-0.25", "17", "-3"] {
        assert_eq!(pax::format_time(pax::time(text.as_bytes()).unwrap()), text);
    }
}

#[test]
fn a_file_of_eight_gibibytes_keeps_its_size() {
    let mut member = Member::new(b"big".to_vec(), Kind::File);
    member.size = 9 << 30;
    member.sparse = Some(vec![Segment {
        offset: 8 << 30,
        length: 3,
    }]);
    let mut writer = Writer::new(Vec::new());
    writer.member(&member).unwrap();
    writer.content(b"end").unwrap();
    let bytes = writer.finish().unwrap();
    let mut reader = Reader::new(bytes.as_slice());
    assert_eq!(reader.next_member().unwrap().unwrap(), member);
    // Without holes the member's own header must contain the size.
    member.sparse = None;
    let mut sink = Vec::new();
    Writer::new(&mut sink).member(&member).unwrap();
    assert_eq!(Reader::new(sink.as_slice()).next_member().unwrap().unwrap(), member);
}

/// An archive from members with content.
fn archive(members: &[(Member, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (member, content) in members {
        writer.member(member).unwrap();
        writer.content(content).unwrap();
    }
    writer.finish().unwrap()
}

fn owned(name: &str, kind: Kind) -> Member {
    let mut member = Member::new(name.as_bytes().to_vec(), kind);
    (member.mode, member.uid, member.gid) = (0o755, rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    member
}

fn file<'a>(name: &str, content: &'a [u8]) -> (Member, &'a [u8]) {
    let mut member = owned(name, Kind::File);
    member.size = content.len() as u64;
    (member, content)
}

fn directory(name: &str) -> (Member, &'static [u8]) {
    (owned(name, Kind::Directory), b"")
}

fn link(name: &str, kind: Kind, target: &str) -> (Member, &'static [u8]) {
    let mut member = owned(name, kind);
    member.link = target.as_bytes().to_vec();
    (member, b"")
}

fn refused(name: &str, bytes: Vec<u8>) -> Failure {
    let world = World::new(&format!("hostile-{name}"));
    let target = world.directory("root");
    fs::write(world.at("outside"), b"untouched").unwrap();
    let failure = apply_bytes(&target, bytes).unwrap_err();
    assert_eq!(fs::read(world.at("outside")).unwrap(), b"untouched");
    assert_eq!(fs::metadata(world.at("outside")).unwrap().nlink(), 1);
    assert_eq!(fs::read_dir(&world.0).unwrap().count(), 2, "{name}: something was made outside");
    failure
}

#[test]
fn archives_that_reach_outside_are_refused_with_the_members_name() {
    for (case, member) in [
        ("dots", file("../outside", b"gone")),
        ("dots-inside", file("a/../../outside", b"gone")),
        ("whiteout", file("../.wh.outside", b"")),
        ("whiteout-dots", file("sub/.wh...", b"")),
        ("hard-link", link("in", Kind::HardLink, "../outside")),
        ("hard-link-missing", link("in", Kind::HardLink, "/outside")),
        ("hard-link-itself", link("in", Kind::HardLink, "./in")),
        ("whiteout-device", (owned("null", Kind::Character), b"" as &[u8])),
    ] {
        let name = member.0.shown();
        let failure = refused(case, archive(&[directory("sub"), file("in", b""), member]));
        assert_eq!(failure.code, Code::InvalidArgument, "{case}: {failure}");
        assert!(failure.message.contains(&name), "{case}: {failure}");
    }
    let through = refused(
        "hard-link-through",
        archive(&[link("up", Kind::Symlink, "../"), link("in", Kind::HardLink, "up/outside")]),
    );
    assert_eq!(through.code, Code::InvalidArgument, "{through}");
    let under = refused("under-a-file", archive(&[file("plain", b""), file("plain/below", b"")]));
    assert_eq!(under.code, Code::InvalidArgument, "{under}");
    let circle = refused(
        "circle",
        archive(&[link("a", Kind::Symlink, "b"), link("b", Kind::Symlink, "a"), file("a/x", b"")]),
    );
    assert_eq!(circle.code, Code::InvalidArgument, "{circle}");
}

#[test]
fn attributes_that_no_file_system_has_are_the_archives_fault() {
    let mut member = file("odd", b"");
    member.0.attributes = vec![(b"evil.x".to_vec(), b"1".to_vec())];
    let failure = refused("attribute", archive(&[member]));
    assert_eq!(failure.code, Code::InvalidArgument, "{failure}");
    assert!(failure.message.contains("its attribute evil.x"), "{failure}");
}

/// `NotFound` would mean that the target directory does not exist.
#[test]
fn a_missing_entry_that_an_archive_names_is_an_invalid_argument() {
    let world = World::new("unfound");
    let root = world.directory("root");
    let bytes = archive(&[link("empty", Kind::Symlink, "")]);
    let failure = laid(&root, "/", &bytes, Extract::default()).unwrap_err();
    assert_eq!(failure.code, Code::InvalidArgument, "{failure}");
    let failure = laid(&root, "/none", &bytes, Extract::default()).unwrap_err();
    assert_eq!(failure.code, Code::NotFound, "{failure}");
}

#[test]
fn writes_through_links_stay_inside() {
    let world = World::new("through");
    let target = world.directory("root");
    let bytes = archive(&[
        link("up", Kind::Symlink, "../../../../.."),
        file("up/made", b"1"),
        link("etc", Kind::Symlink, "/usr/etc"),
        file("etc/conf", b"2"),
        file("/absolute", b"3"),
        link("final", Kind::Symlink, "../outside"),
        file("final", b"replaced"),
    ]);
    apply_bytes(&target, bytes).unwrap();
    for (name, content) in [("made", "1"), ("usr/etc/conf", "2"), ("absolute", "3"), ("final", "replaced")] {
        assert_eq!(fs::read_to_string(target.join(name)).unwrap(), content, "{name}");
    }
    assert_eq!(fs::read_dir(&world.0).unwrap().count(), 1);
    assert!(fs::symlink_metadata(target.join("final")).unwrap().is_file());
}

#[test]
fn damage_and_invalid_archives_have_different_codes() {
    let good = archive(&[file("a", &[1; 3000]), file("b", b"2")]);
    let cases = [
        ("cut-content", good[..1800].to_vec(), Code::DataLoss),
        ("cut-header", good[..700].to_vec(), Code::DataLoss),
        ("not-tar", vec![b'x'; 4096], Code::InvalidArgument),
        ("one-empty-block", [&[0; 512][..], &good].concat(), Code::InvalidArgument),
    ];
    for (name, bytes, code) in cases {
        assert_eq!(refused(name, bytes).code, code, "{name}");
    }
    let mut flipped = good.clone();
    flipped[5] ^= 1;
    assert_eq!(refused("checksum", flipped).code, Code::InvalidArgument);
    let mut huge = Draft::new(b'x');
    huge.number(header::SIZE, 1 << 30);
    assert_eq!(refused("huge-pax", huge.finish().to_vec()).code, Code::InvalidArgument);
    let mut gzip = compress(&good);
    gzip.truncate(gzip.len() - 6);
    assert_eq!(refused("cut-gzip", gzip).code, Code::DataLoss);
    assert_eq!(
        refused("garbage-after-gzip", [compress(&good), b"garbage".to_vec()].concat()).code,
        Code::DataLoss
    );
    let mut zstd = zstd::encode_all(good.as_slice(), 3).unwrap();
    zstd.truncate(zstd.len() - 3);
    assert_eq!(refused("cut-zstd", zstd).code, Code::DataLoss);
}

fn compress(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn members_of_gzip_are_one_stream_and_what_follows_the_archive_is_hashed() {
    let world = World::new("gzip-members");
    let target = world.directory("root");
    let plain = [archive(&[file("a", &[1; 3000]), file("b", b"2")]), b"what follows".to_vec()].concat();
    let parts = [compress(&plain[..1000]), compress(&plain[1000..]), vec![0; 64]].concat();
    let layer = apply_bytes(&target, parts.clone()).unwrap();
    assert_eq!(
        (layer.diff_id, layer.digest, layer.size),
        (sha(&plain), sha(&parts), parts.len() as u64)
    );
    assert_eq!(fs::read(target.join("b")).unwrap(), b"2");
}

#[test]
fn a_canceled_apply_stops() {
    let world = World::new("canceled");
    let target = world.directory("root");
    let cancel = Cancel::default();
    cancel.cancel();
    let bytes = archive(&[file("a", &[1; 3000])]);
    let failure = apply(open(&target).as_fd(), Cursor::new(bytes), removing(), &cancel).unwrap_err();
    assert_eq!(failure.code, Code::Canceled);
    assert!(!target.join("a").exists());
}

/// A lower tree, which later layers change in every way.
fn base(root: &Path) {
    for directory in ["kept", "gone/sub", "opaque/old", "usr/lib", "replaced", "mixed"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    for name in [
        "kept/file",
        "gone/sub/file",
        "opaque/old/file",
        "usr/lib/so",
        "plain",
        "file",
        "replaced/inner",
        "mixed/old",
        "linked",
    ] {
        fs::write(root.join(name), name).unwrap();
    }
    symlink("usr/lib", root.join("lib")).unwrap();
    at::set_times(
        open(root).as_fd(),
        c"usr",
        at::Time {
            seconds: 77,
            nanoseconds: 7,
        },
    )
    .unwrap();
}

fn changing() -> Vec<u8> {
    archive(&[
        file(".wh.gone", b""),
        file(".wh.plain", b""),
        file(".wh.never-there", b""),
        file("no-such/.wh.x", b""),
        directory("opaque"),
        file("opaque/new", b"new"),
        file("opaque/.wh..wh..opq", b""),
        file("lib/added", b"through the lower link"),
        file("replaced", b"a file now"),
        directory("file"),
        file("file/inside", b"a directory now"),
        file("mixed/new", b"new"),
        file(".wh.mixed", b""),
        link("second", Kind::HardLink, "lib/so"),
        link("third", Kind::HardLink, "linked"),
        file("gone", b"back as a file"),
    ])
}

fn expected() -> Vec<&'static str> {
    vec![
        "file",
        "file/inside",
        "gone",
        "kept",
        "kept/file",
        "lib",
        "linked",
        "mixed",
        "mixed/new",
        "opaque",
        "opaque/new",
        "replaced",
        "second",
        "third",
        "usr",
        "usr/lib",
        "usr/lib/added",
        "usr/lib/so",
    ]
}

#[test]
fn whiteouts_remove_what_is_below_and_leave_what_the_layer_brings() {
    let world = World::new("whiteouts");
    let target = world.directory("root");
    base(&target);
    apply_bytes(&target, changing()).unwrap();
    let found = describe(&target);
    assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), expected());
    assert!(found["second"].contains("first second") && found["usr/lib/so"].contains("first second"));
    assert!(
        found["usr"].contains("time 77.000000007"),
        "a directory that the layer does not name keeps its time"
    );
}

/// Mounts an overlay in a child's own mount namespace, and copies its merged tree.
fn merged(world: &World, lower: &Path, upper: &Path, name: &str) -> PathBuf {
    let (work, target) = (world.directory(&format!("{name}-work")), world.directory(name));
    let mount = world.directory(&format!("{name}-mount"));
    let script = format!(
        "mount -t overlay overlay -o lowerdir={},upperdir={},workdir={} {m} && cp -a {m}/. {}",
        lower.display(),
        upper.display(),
        work.display(),
        target.display(),
        m = mount.display()
    );
    run("unshare", &["-m", "sh", "-c", &script]);
    target
}

#[test]
fn an_upper_directory_written_directly_shows_the_same_tree_as_one_applied_plainly() {
    if !root() {
        return;
    }
    let world = World::new("overlay");
    let (lower, plain, upper) = (world.directory("lower"), world.directory("plain"), world.directory("upper"));
    base(&lower);
    copy_tree(open(&lower).as_fd(), open(&plain).as_fd(), &Default::default(), &Cancel::default()).unwrap();
    apply_bytes(&plain, changing()).unwrap();
    let options = Options {
        whiteouts: Whiteouts::Overlay,
        lowers: Some(vec![open(&lower)]),
    };
    apply(open(&upper).as_fd(), Cursor::new(changing()), options, &Cancel::default()).unwrap();
    assert!(fs::symlink_metadata(upper.join("never-there")).is_err(), "nothing to hide, no mark");
    let shown = describe(&merged(&world, &lower, &upper, "merged"));
    assert_same(&shown, &describe(&plain), "overlay");

    // The upper directory's own record and a comparison give the same tree.
    for (name, fast) in [("fast", true), ("slow", false)] {
        let path = world.at(&format!("{name}.layer"));
        if fast {
            diff_overlay(
                open(&upper).as_fd(),
                &Own::default(),
                File::create_new(&path).unwrap(),
                Compression::Gzip,
                &Cancel::default(),
            )
            .unwrap();
        } else {
            diff_bytes(Some(&lower), &plain, &path, Compression::Zstd);
        }
        let again = world.directory(name);
        copy_tree(open(&lower).as_fd(), open(&again).as_fd(), &Default::default(), &Cancel::default()).unwrap();
        apply_bytes(&again, fs::read(&path).unwrap()).unwrap();
        assert_same(&describe(&again), &describe(&plain), name);
    }
}

/// Runs a shell script that changes a mounted overlay.
fn changed(world: &World, lower: &Path, upper: &Path, script: &str) {
    let (work, mount) = (world.directory("changed-work"), world.directory("changed-mount"));
    let script = format!(
        "mount -t overlay overlay -o lowerdir={},upperdir={},workdir={} {m} && cd {m} && {script}",
        lower.display(),
        upper.display(),
        work.display(),
        m = mount.display()
    );
    run("unshare", &["-m", "sh", "-ec", &script]);
    for path in [work, mount] {
        remove_tree(path.as_os_str().as_bytes(), &Cancel::default()).unwrap();
    }
}

#[test]
fn only_changes_after_the_copy_are_listed() {
    if !root() {
        return;
    }
    let world = World::new("since");
    let (lower, before, after) = (world.directory("lower"), world.directory("before"), world.directory("after"));
    let made = "mkdir -p kept gone turned whole/deep; for name in kept/a kept/b gone/a turned/a turned/b whole/a whole/deep/b stays secret; do echo $name > $name; done";
    run("sh", &["-ec", &format!("cd {}; {made}", lower.display())]);
    let first = "rm secret kept/b; rm -r whole; mkdir whole new old; echo 1 > whole/x; echo 1 > whole/y; echo 1 > new/a; echo 1 > new/b; echo 1 > old/a; ln old/a old/b; echo 1 >> stays";
    changed(&world, &lower, &before, first);
    copy_tree(open(&before).as_fd(), open(&after).as_fd(), &Default::default(), &Cancel::default()).unwrap();
    let listed = || {
        let since = open(&before);
        let kind = Upper::Overlay {
            since: Some(since.as_fd()),
        };
        let shown = merged(&world, &lower, &before, "below");
        differences(
            Some(open(&shown).as_fd()),
            open(&after).as_fd(),
            kind,
            &Own::default(),
            &Cancel::default(),
        )
        .unwrap()
        .iter()
        .map(|Change { kind, path }| format!("{kind:?} {path}"))
        .collect::<Vec<_>>()
    };
    let layer = |name: &str| {
        let into = File::create_new(world.at(name)).unwrap();
        diff_overlay_since(
            open(&before).as_fd(),
            open(&after).as_fd(),
            &Own::default(),
            into,
            Compression::Plain,
            &Cancel::default(),
        )
        .unwrap();
        fs::read(world.at(name)).unwrap()
    };
    assert_eq!(layer("nothing"), [0; 1024]);

    let second = "rm whole/x new/a; rm -r gone turned old/b; mkdir turned; echo 2 > turned/c; echo 2 > kept/c; echo 2 > secret";
    changed(&world, &lower, &after, second);
    let expected = [
        "Deleted /gone",
        "Modified /kept",
        "Added /kept/c",
        "Modified /new",
        "Deleted /new/a",
        "Modified /old",
        "Deleted /old/b",
        "Added /secret",
        "Modified /turned",
        "Deleted /turned/a",
        "Deleted /turned/b",
        "Added /turned/c",
        "Modified /whole",
        "Deleted /whole/x",
    ];
    assert_eq!(listed(), expected);
    let bytes = layer("layer");
    let mut reader = Reader::new(bytes.as_slice());
    let mut names = Vec::new();
    while let Some(member) = reader.next_member().unwrap() {
        names.push(String::from_utf8(member.name).unwrap());
    }
    let expected = [
        ".wh.gone",
        "kept/",
        "kept/c",
        "new/",
        "new/.wh.a",
        "old/",
        "old/.wh.b",
        "secret",
        "turned/",
        "turned/.wh..wh..opq",
        "turned/c",
        "whole/",
        "whole/.wh.x",
    ];
    assert_eq!(names, expected);
    // Applied to a copy of the earlier directory, the layer makes the directory from which it was read.
    let copy = world.directory("copy");
    copy_tree(open(&before).as_fd(), open(&copy).as_fd(), &Default::default(), &Cancel::default()).unwrap();
    let options = Options {
        whiteouts: Whiteouts::Overlay,
        lowers: Some(vec![open(&lower)]),
    };
    apply(open(&copy).as_fd(), Cursor::new(bytes.clone()), options, &Cancel::default()).unwrap();
    assert_same(
        &describe(&merged(&world, &lower, &copy, "laid")),
        &describe(&merged(&world, &lower, &after, "meant")),
        "over a copy",
    );
    let again = merged(&world, &lower, &before, "again");
    apply_bytes(&again, bytes).unwrap();
    assert_same(&describe(&again), &describe(&merged(&world, &lower, &after, "wanted")), "since");
}

#[test]
fn a_comparison_writes_nothing_for_equal_trees_and_finds_content_behind_equal_times() {
    let world = World::new("compare");
    let (lower, upper) = (world.directory("lower"), world.directory("upper"));
    base(&lower);
    let handle = open(&lower);
    at::set_times(
        handle.as_fd(),
        c"plain",
        at::Time {
            seconds: 5,
            nanoseconds: 0,
        },
    )
    .unwrap();
    copy_tree(handle.as_fd(), open(&upper).as_fd(), &Default::default(), &Cancel::default()).unwrap();
    let (_, empty) = diff_bytes(Some(&lower), &upper, &world.at("empty"), Compression::Plain);
    assert_eq!(empty, [0; 1024]);
    fs::write(upper.join("plain"), "PLAIN").unwrap();
    at::set_times(
        open(&upper).as_fd(),
        c"plain",
        at::Time {
            seconds: 5,
            nanoseconds: 0,
        },
    )
    .unwrap();
    let (_, changed) = diff_bytes(Some(&lower), &upper, &world.at("changed"), Compression::Plain);
    let mut reader = Reader::new(changed.as_slice());
    assert_eq!(reader.next_member().unwrap().unwrap().name, b"plain");
    assert!(reader.next_member().unwrap().is_none());
}

#[test]
fn a_new_name_brings_its_old_ones_along() {
    let world = World::new("new-name");
    let (lower, upper, again) = (world.directory("lower"), world.directory("upper"), world.directory("again"));
    base(&lower);
    for copy in [&upper, &again] {
        copy_tree(open(&lower).as_fd(), open(copy).as_fd(), &Default::default(), &Cancel::default()).unwrap();
    }
    fs::hard_link(upper.join("linked"), upper.join("kept/also")).unwrap();
    let (_, bytes) = diff_bytes(Some(&lower), &upper, &world.at("layer"), Compression::Plain);
    apply_bytes(&again, bytes).unwrap();
    assert_same(&describe(&again), &describe(&upper), "again");
}

#[test]
fn a_whiteout_hides_the_longest_name() {
    let world = World::new("longest");
    let (lower, upper) = (world.directory("lower"), world.directory("upper"));
    let name = "n".repeat(255);
    fs::write(lower.join(&name), "1").unwrap();
    let (_, bytes) = diff_bytes(Some(&lower), &upper, &world.at("layer"), Compression::Plain);
    apply_bytes(&lower, bytes).unwrap();
    assert!(!lower.join(&name).exists());
}

/// Runs `pack` and returns its output.
fn packed(root: &Path, path: &str, name: Option<&str>) -> (Vec<u8>, crate::failure::Result<()>) {
    let mut bytes = Vec::new();
    let outcome = pack(
        open(root).as_fd(),
        path.as_bytes(),
        name.map(str::as_bytes),
        Pack::default(),
        &mut bytes,
        &Cancel::default(),
    );
    (bytes, outcome)
}

fn laid(root: &Path, into: &str, bytes: &[u8], options: Extract) -> crate::failure::Result<()> {
    extract(
        open(root).as_fd(),
        into.as_bytes(),
        Cursor::new(bytes.to_vec()),
        options,
        &Cancel::default(),
    )
}

#[test]
fn a_packed_tree_can_be_extracted_and_nothing_leaves_the_directory() {
    if !root() {
        return;
    }
    let world = World::new("pack");
    let (from, to) = (world.directory("from"), world.directory("to"));
    fs::create_dir_all(from.join("d/s")).unwrap();
    fs::write(from.join("d/s/f"), "content").unwrap();
    fs::hard_link(from.join("d/s/f"), from.join("d/again")).unwrap();
    fs::write(from.join("d/.wh.not"), "an ordinary name").unwrap();
    symlink("/d", from.join("link")).unwrap();
    symlink("../../../../etc", from.join("out")).unwrap();
    let (bytes, outcome) = packed(&from, "/link/.", Some("."));
    outcome.unwrap();
    laid(&to, "/", &bytes, Extract::default()).unwrap();
    assert_eq!(fs::read(to.join("s/f")).unwrap(), b"content");
    assert_eq!(fs::metadata(to.join("again")).unwrap().nlink(), 2);
    assert_eq!(fs::read(to.join(".wh.not")).unwrap(), b"an ordinary name");
    // A link is reported, not followed, unless the path ends with a slash; it is never followed out of the root.
    assert_eq!(find(open(&from).as_fd(), b"/out").unwrap().target.unwrap(), b"/etc");
    assert_eq!(find(open(&from).as_fd(), b"/out/").err().unwrap().code, Code::NotFound);
    assert_eq!(packed(&from, "/out/passwd", Some("x")).1.unwrap_err().code, Code::NotFound);
    // Kinds are kept on request, and mounts always.
    fs::create_dir(world.at("kinds")).unwrap();
    fs::create_dir(world.at("kinds/s")).unwrap();
    let (file, _) = packed(&from, "/d/s/f", Some("s"));
    let kept = Extract {
        keep_kinds: true,
        owner: None,
        maps: None,
    };
    assert_eq!(laid(&world.at("kinds"), "/", &file, kept).unwrap_err().code, Code::InvalidArgument);
    laid(&world.at("kinds"), "/", &file, Extract::default()).unwrap();
    assert!(world.at("kinds/s").is_file());
    let owned = Extract {
        keep_kinds: false,
        owner: Some((7, 300_000)),
        maps: None,
    };
    laid(&to, "/s", &file, owned).unwrap();
    let stat = fs::metadata(to.join("s/s")).unwrap();
    assert_eq!((stat.uid(), stat.gid()), (7, 300_000));
    let (climbing, _) = packed(&from, "/d/s/f", Some("../../escaped"));
    assert_eq!(
        laid(&to, "/s", &climbing, Extract::default()).unwrap_err().code,
        Code::InvalidArgument
    );
    let (inside, _) = packed(&from, "/d/s/f", Some("x/../inside"));
    laid(&to, "/s", &inside, Extract::default()).unwrap();
    assert!(to.join("s/inside").is_file());
}

/// Runs work on a thread with a small stack, as the addon does.
fn small_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new()
        .stack_size(256 << 10)
        .spawn(work)
        .unwrap()
        .join()
        .unwrap()
}

/// The path of `levels` nested directories.
fn nested(levels: usize) -> String {
    vec!["d"; levels].join("/")
}

#[test]
fn a_deep_layer_with_a_whiteout_needs_no_deep_stack() {
    let world = World::in_memory("deep-whiteout");
    let target = world.directory("target");
    let deepest = nested(1900);
    let bytes = archive(&[
        directory(&deepest),
        file("d/d/.wh.d", b""),
        file(".wh..wh..opq", b""),
        file(".wh.d", b""),
        file(&format!("{deepest}/f"), b"1"),
    ]);
    let root = target.clone();
    small_stack(move || apply_bytes(&root, bytes)).unwrap();
    assert!(target.join(&deepest).join("f").exists());
    // Through links a path may lead deeper than its length.
    let half = nested(1500);
    let deeper = archive(&[directory(&half), link("x", Kind::Symlink, &half), directory(&format!("x/{half}"))]);
    let root = world.directory("links");
    let failure = small_stack(move || apply_bytes(&root, deeper)).unwrap_err();
    assert_eq!(failure.code, Code::InvalidArgument, "{failure}");
    let longer = archive(&[directory(&nested(8000)), file(".wh.d", b"")]);
    let root = world.directory("long");
    let failure = small_stack(move || apply_bytes(&root, longer)).unwrap_err();
    assert_eq!(failure.code, Code::InvalidArgument);
    assert!(failure.message.len() < 400, "{failure}");
}

#[test]
fn a_deep_tree_is_packed_compared_and_replaced_without_a_deep_stack() {
    if !root() {
        return;
    }
    let world = World::in_memory("deep-tree");
    let (upper, lower, into) = (world.directory("upper"), world.directory("lower"), world.at("layer"));
    let deepest = nested(2040);
    apply_bytes(&upper, archive(&[directory(&deepest), file(&format!("{deepest}/f"), b"1")])).unwrap();
    apply_bytes(&lower, archive(&[directory(&deepest)])).unwrap();
    let whole = small_stack(move || {
        let own = Own::default();
        let changes = differences(
            Some(open(&lower).as_fd()),
            open(&upper).as_fd(),
            Upper::Whole,
            &own,
            &Cancel::default(),
        )
        .unwrap();
        assert_eq!(changes.len(), 2041);
        assert_eq!(changes.last().unwrap().kind, ChangeKind::Added);
        let found = differences(None, open(&upper).as_fd(), Upper::Overlay { since: None }, &own, &Cancel::default()).unwrap();
        assert_eq!(found.len(), 2041);
        for (at, before) in [Some(lower.as_path()), None].into_iter().enumerate() {
            let (_, bytes) = diff_bytes(before, &upper, &into.with_extension(at.to_string()), Compression::Plain);
            let mut reader = Reader::new(bytes.as_slice());
            let mut members = 0;
            while reader.next_member().unwrap().is_some() {
                members += 1;
            }
            assert_eq!(members, 2041);
        }
        let (bytes, outcome) = packed(&upper, "/.", None);
        outcome.unwrap();
        // A file replaces the directory: the entries below are checked for mounts, and removed.
        laid(&upper, "/", &archive(&[file("d", b"flat")]), Extract::default()).unwrap();
        assert!(upper.join("d").is_file());
        bytes
    });
    assert!(whole.len() > 2041 * 512);
}

#[test]
fn extended_headers_and_attributes_have_bounds() {
    fn extended(flag: u8, records: &[u8]) -> Vec<u8> {
        let mut draft = Draft::new(flag);
        draft.text(header::NAME, b"h");
        draft.number(header::SIZE, records.len() as u64);
        let mut bytes = draft.finish().to_vec();
        bytes.extend_from_slice(records);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
    let one = |key: &str, value: &[u8]| {
        let mut records = Vec::new();
        pax::append(&mut records, key.as_bytes(), value);
        records
    };
    let refused = |bytes: Vec<u8>, about: &str| {
        let failure = Reader::new(bytes.as_slice()).next_member().unwrap_err();
        assert_eq!(failure.code, Code::InvalidArgument, "{failure}");
        assert!(failure.message.contains(about), "{failure}");
    };
    refused(extended(b'x', &vec![b'1'; (1 << 20) + 1]), "1 MiB");
    refused(
        (0..100).flat_map(|_| extended(b'x', &one("comment", b"again"))).collect(),
        "extended headers",
    );
    let many: Vec<u8> = (0..100).flat_map(|at| one(&format!("key{at}"), b"1")).collect();
    refused(extended(b'g', &many), "global");
    let twice = [
        extended(b'g', &one("a", &vec![b'1'; 600_000])),
        extended(b'g', &one("b", &vec![b'1'; 600_000])),
    ]
    .concat();
    refused(twice, "global");
    let large = one("SCHILY.xattr.user.a", &vec![b'1'; 600_000]);
    let members = archive(&[file("f", b"")]);
    let both = [
        extended(b'g', &large),
        extended(b'x', &one("SCHILY.xattr.user.b", &vec![b'1'; 600_000])),
        members,
    ]
    .concat();
    refused(both, "attributes");
}

/// Truncated to the kernel's types, they would be another owner, and a whiteout.
#[test]
fn owners_and_device_numbers_that_linux_lacks_are_refused() {
    // GNU tar's encoding of numbers that do not fit into octal digits.
    let reads = |flag: u8, at: usize, number: u64| {
        let mut draft = Draft::new(flag);
        draft.text(header::NAME, b"odd");
        let mut field = number.to_be_bytes();
        field[0] = 0x80;
        draft.text(header::Field(at, field.len()), &field);
        Reader::new(draft.finish().as_slice()).next_member().map(|_| ())
    };
    let [uid, gid, major, minor] = [108, 116, 329, 337];
    let largest = u64::from(u32::MAX);
    for (flag, at, most) in [
        (b'0', uid, largest - 1),
        (b'0', gid, largest - 1),
        (b'3', major, 0xfff),
        (b'4', minor, 0xf_ffff),
    ] {
        reads(flag, at, most).unwrap();
        for number in [most + 1, largest + 1] {
            let failure = reads(flag, at, number).unwrap_err();
            assert_eq!(failure.code, Code::InvalidArgument, "{at} {number}: {failure}");
            assert!(failure.message.contains("that Linux has"), "{at} {number}: {failure}");
        }
    }
}

/// An endless stream of zeros that counts the bytes read, and cancels at a given count.
struct Zeros<'a> {
    read: &'a std::sync::atomic::AtomicU64,
    cancel_at: u64,
    cancel: Cancel,
}

impl std::io::Read for Zeros<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        buffer.fill(0);
        let read = self.read.fetch_add(buffer.len() as u64, std::sync::atomic::Ordering::Relaxed);
        if read >= self.cancel_at {
            self.cancel.cancel();
        }
        Ok(buffer.len())
    }
}

#[test]
fn zeros_without_end_behind_an_archive_are_given_up() {
    use std::io::Read;
    let world = World::new("zeros");
    let bytes = archive(&[file("f", b"1")]);
    let gzip = compress(&bytes);
    for (name, start) in [("plain", bytes), ("gzip", gzip)] {
        for cancel_at in [1 << 20, u64::MAX] {
            let read = std::sync::atomic::AtomicU64::new(0);
            let cancel = Cancel::default();
            let zeros = Zeros {
                read: &read,
                cancel_at,
                cancel: cancel.clone(),
            };
            let root = open(&world.directory(&format!("{name}-{cancel_at}")));
            let failure = extract(root.as_fd(), b"/", start.as_slice().chain(zeros), Extract::default(), &cancel).unwrap_err();
            let wanted = if cancel_at == u64::MAX { "64 MiB" } else { "cancel" };
            assert!(failure.message.contains(wanted), "{name}: {failure}");
            assert!(read.load(std::sync::atomic::Ordering::Relaxed) < 100 << 20);
        }
    }
}
