//! The bounds of all input from layers, archives, containers' trees and clients. kernel/src/limits.ts has a copy for TypeScript; a test
//! compares the two.

/// Bytes of a path below a tree's root: PATH_MAX without its NUL. A path of one-letter names has 2,048 levels, so no walk goes deeper. A
/// container can nest directories deeper than any path. Removing them works at any depth; all other operations refuse them.
pub const LONGEST_PATH: usize = 4095;
/// Bytes of a file's name (NAME_MAX).
pub const LONGEST_NAME: usize = 255;
/// Directories that a walk holds open at once in each tree. It opens the others again on its way back.
pub const HELD_DIRECTORIES: usize = 32;
/// Bytes of one extended tar header (PAX or GNU), and of all global PAX records together.
pub const LARGEST_HEADER: u64 = 1 << 20;
/// Extended headers before one member.
pub const MOST_HEADERS: usize = 32;
/// Global PAX records of an archive. `git archive` writes one.
pub const MOST_GLOBAL: usize = 64;
/// Bytes of all extended attributes of one file, names and values.
pub const LARGEST_ATTRIBUTES: usize = 1 << 20;
/// Data segments of one sparse file in an archive.
pub const MOST_SEGMENTS: usize = 1 << 20;
/// Bytes after an archive's end, plain and compressed alike. tar(1) pads to its record size, at most 32 MiB.
pub const LARGEST_TRAILER: u64 = 64 << 20;
/// Bytes that the engine holds in memory for one archive until its end: paths, times and default ACLs of directories.
pub const LARGEST_MEMORY: usize = 128 << 20;
/// Bytes of all paths in one list of changes.
pub const LARGEST_CHANGES: usize = 128 << 20;
