//! The command that a process executes: where it is searched for, and which failure follows when it can't be executed.

use std::ffi::CString;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use tsbox_core::container::spec::Process;
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::sys;

/// The search path for a name without a slash if the process has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Checks in advance whether there is a file to execute, so that `create` fails and not `start`.
pub fn find_command(process: &Process) -> Result<()> {
    let command = Command::of(process)?;
    // A relative path depends on the working directory, which the user may not even be allowed to enter.
    if command.paths.iter().any(|path| !path.as_bytes().starts_with(b"/")) {
        return Ok(());
    }
    let mut errno = libc::ENOENT;
    for path in &command.paths {
        let Ok(stat) = rustix::fs::stat(path) else { continue };
        if stat.st_mode & libc::S_IFMT == libc::S_IFREG && stat.st_mode & 0o111 != 0 {
            return Ok(());
        }
        errno = libc::EACCES;
    }
    Err(command.failure(errno))
}

/// The arguments of execve, prepared while the process may still allocate.
pub struct Command {
    name: String,
    paths: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Command {
    pub fn of(process: &Process) -> Result<Command> {
        let strings = |words: &[String]| words.iter().map(|word| sys::text(word)).collect::<Result<Vec<CString>>>();
        let name = process.args.first().cloned().unwrap_or_default();
        let mut environment = strings(&process.env)?;
        let variable = |key: &str| process.env.iter().find_map(|entry| entry.strip_prefix(key)?.strip_prefix('='));
        if variable("HOME").is_none_or(str::is_empty) {
            environment.push(sys::text(&format!(
                "HOME={}",
                home_of(&read_accounts().unwrap_or_default(), process.user.uid)
            ))?);
        }
        let paths = candidates(&name, variable("PATH"))
            .iter()
            .map(|path| sys::text(path))
            .collect::<Result<_>>()?;
        Ok(Command {
            name,
            paths,
            arguments: strings(&process.args)?,
            environment,
        })
    }

    /// Returns only if the command could not be executed.
    pub fn execute(&self, reaper: Option<BorrowedFd>) -> Failure {
        match reaper {
            Some(reaper) => self.run_below(reaper),
            None => self.run(),
        }
    }

    /// Returns only if none of the paths could be executed.
    fn run(&self) -> Failure {
        let pointers = |strings: &[CString]| strings.iter().map(|one| one.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>();
        let (arguments, environment) = (pointers(&self.arguments), pointers(&self.environment));
        let mut worst = Worst::default();
        for path in &self.paths {
            // SAFETY: both lists end with a null pointer and outlive the call, as do the strings. The call returns only after a failure.
            unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
            if worst.add(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)) == Search::Ends {
                break;
            }
        }
        self.failure(worst.errno)
    }

    /// Executes the reaper, which executes the command. [`find_command`] has already checked that the command exists.
    fn run_below(&self, reaper: BorrowedFd) -> Failure {
        let first = [crate::reaper::NAME_C.as_ptr()];
        let arguments: Vec<_> = first
            .into_iter()
            .chain(self.arguments.iter().map(|one| one.as_ptr()))
            .chain([std::ptr::null()])
            .collect();
        let environment: Vec<_> = self.environment.iter().map(|one| one.as_ptr()).chain([std::ptr::null()]).collect();
        // SAFETY: both lists end with a null pointer and outlive the call, as do the strings. rustix has no stable execveat.
        unsafe {
            libc::syscall(
                libc::SYS_execveat,
                reaper.as_raw_fd(),
                c"".as_ptr(),
                arguments.as_ptr(),
                environment.as_ptr(),
                libc::AT_EMPTY_PATH,
            )
        };
        Failure::last("execveat", None).at("exec")
    }

    fn failure(&self, errno: i32) -> Failure {
        failure_of(&self.name, errno)
    }
}

/// The paths that are tried for a command, in order, as execvp(3) does. An empty name has no candidates: it does not mean the directories
/// of PATH.
fn candidates(name: &str, path: Option<&str>) -> Vec<String> {
    if name.is_empty() {
        return Vec::new();
    }
    if name.contains('/') {
        return vec![name.to_owned()];
    }
    let places = path
        .unwrap_or(DEFAULT_PATH)
        .split(':')
        .map(|place| if place.is_empty() { "." } else { place });
    places.map(|place| format!("{place}/{name}")).collect()
}

/// Keeps the most informative error of all candidates.
struct Worst {
    errno: i32,
}

#[derive(Debug, PartialEq, Eq)]
enum Search {
    GoesOn,
    Ends,
}

impl Default for Worst {
    fn default() -> Worst {
        Worst { errno: libc::ENOENT }
    }
}

impl Worst {
    fn add(&mut self, errno: i32) -> Search {
        if matches!(errno, libc::ENOENT | libc::ENOTDIR) {
            return Search::GoesOn;
        }
        self.errno = errno;
        // Another directory of PATH may have a file that the user may execute.
        if errno == libc::EACCES { Search::GoesOn } else { Search::Ends }
    }
}

/// A failure of execve with runc's message.
fn failure_of(name: &str, errno: i32) -> Failure {
    let failure = Failure::os(errno, "execve", Some(name));
    let (code, message) = match errno {
        libc::ENOENT if name.contains('/') => (Code::CommandNotFound, format!("exec {name:?}: no such file or directory")),
        libc::ENOENT => (Code::CommandNotFound, format!("exec {name:?}: executable file not found in $PATH")),
        libc::ENOEXEC => (Code::NotExecutable, format!("exec {name:?}: exec format error")),
        libc::EACCES => (Code::NotExecutable, format!("exec {name:?}: permission denied")),
        libc::E2BIG => (
            Code::NotExecutable,
            format!("exec {name:?}: argument list too long: give shorter arguments and variables, or fewer of them"),
        ),
        _ => (Code::NotExecutable, format!("exec {name:?}: {}", words_of(errno))),
    };
    Failure { code, message, ..failure }.at("exec")
}

/// An error text as runc writes it: the C library's, with a small first letter.
pub(crate) fn words_of(errno: i32) -> String {
    if errno == libc::ELOOP {
        // musl has other words for it.
        return "too many levels of symbolic links".to_owned();
    }
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = words.chars();
    letters
        .next()
        .map(|first| first.to_lowercase().chain(letters).collect())
        .unwrap_or_default()
}

/// The home directory of a user in the container's /etc/passwd; `/` if it has no entry.
fn home_of(accounts: &[u8], uid: u32) -> String {
    let text = String::from_utf8_lossy(accounts);
    let uid = uid.to_string();
    let found = text
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&uid.as_str()));
    found
        .and_then(|fields| fields.get(5).filter(|home| !home.is_empty()).map(|home| home.to_string()))
        .unwrap_or_else(|| "/".to_owned())
}

/// Reads a regular file up to a maximum size. The container controls this file, and a fifo would block.
fn read_accounts() -> Result<Vec<u8>> {
    const LARGEST: u64 = 1 << 20;
    let file = sys::open("/etc/passwd", libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY)?;
    if sys::stat(file.as_fd())?.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err(Failure::new(Code::InvalidArgument, "/etc/passwd is no regular file"));
    }
    let mut text = Vec::new();
    let read = std::fs::File::from(file).take(LARGEST).read_to_end(&mut text);
    read.map_err(|error| Failure::io(&error, "read", Some("/etc/passwd")))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_in_path_and_a_path_is_not() {
        assert_eq!(candidates("/bin/sh", Some("/x")), ["/bin/sh"]);
        assert_eq!(candidates("./run", None), ["./run"]);
        assert!(candidates("", Some("/a:/b")).is_empty());
        assert_eq!(candidates("sh", Some("/a::/b")), ["/a/sh", "./sh", "/b/sh"]);
        assert_eq!(candidates("sh", None).first().map(String::as_str), Some("/usr/local/sbin/sh"));
    }

    #[test]
    fn the_most_informative_error_is_reported() {
        let of = |errors: &[i32]| {
            let mut worst = Worst::default();
            let tried = errors.iter().take_while(|errno| worst.add(**errno) == Search::GoesOn).count();
            (worst.errno, tried)
        };
        assert_eq!(of(&[libc::ENOENT, libc::ENOTDIR]), (libc::ENOENT, 2));
        assert_eq!(of(&[libc::EACCES, libc::ENOENT]), (libc::EACCES, 2));
        assert_eq!(of(&[libc::ENOENT, libc::ENOEXEC, libc::EACCES]), (libc::ENOEXEC, 1));
    }

    #[test]
    fn failures_have_dockers_codes() {
        let of = |name, errno| {
            let failure = failure_of(name, errno);
            (failure.code, failure.message)
        };
        assert_eq!(
            of("sh", libc::ENOENT),
            (Code::CommandNotFound, "exec \"sh\": executable file not found in $PATH".to_owned())
        );
        assert_eq!(
            of("/sh", libc::ENOENT),
            (Code::CommandNotFound, "exec \"/sh\": no such file or directory".to_owned())
        );
        assert_eq!(of("/sh", libc::EACCES).0, Code::NotExecutable);
        assert_eq!(of("/sh", libc::E2BIG).0, Code::NotExecutable);
        assert_eq!(of("/sh", libc::ELOOP).1, "exec \"/sh\": too many levels of symbolic links");
    }

    #[test]
    fn error_texts_are_those_of_runc() {
        assert_eq!(words_of(libc::ENOENT), "no such file or directory");
        assert_eq!(words_of(libc::EACCES), "permission denied");
    }

    #[test]
    fn a_home_is_the_first_line_of_the_user() {
        let accounts =
            b"root:x:0:0:root:/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\nagain:x:1000:1000::/x:/y\nnone:x:7:7::::\nshort:x";
        assert_eq!(home_of(accounts, 0), "/root");
        assert_eq!(home_of(accounts, 1000), "/home/me");
        assert_eq!(home_of(accounts, 7), "/");
        assert_eq!(home_of(accounts, 8), "/");
        assert_eq!(home_of(b"\xff:x:0:0::/r\xff:", 0), "/r\u{fffd}");
    }
}
