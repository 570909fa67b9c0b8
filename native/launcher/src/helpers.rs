//! Helper programs that the daemon needs. The daemon must not fork, since a fork of Node blocks its loop for a time that grows with its
//! heap.

use crate::epoll::Epoll;
use rustix::fs::{MemfdFlags, OFlags, fcntl_setfl, memfd_create};
use rustix::process::setpgid;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use tsbox_core::peer::protocol::{Ran, Run};
use tsbox_core::sys::process::kill;
use tsbox_core::sys::signals;

/// The maximum number of bytes of each output of a helper; the rest is dropped. Both outputs fit one frame.
const MOST: usize = 7 << 20;

struct Helper {
    child: Child,
    pid: i32,
    output: Vec<u8>,
    errors: Vec<u8>,
    open: [bool; 2],
    code: Option<i32>,
}

#[derive(Default)]
pub struct Helpers {
    all: HashMap<u32, Helper>,
}

impl Helpers {
    /// `tokens`: for its standard output and for its standard error.
    pub fn start(&mut self, channel: u32, run: &Run, epoll: &Epoll, tokens: [u64; 2]) -> io::Result<()> {
        let (program, arguments) = run.argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(run.env.iter().filter_map(|pair| pair.split_once('=')))
            .current_dir(&run.cwd);
        command
            .stdin(input(run.stdin.as_deref())?)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // SAFETY: async-signal-safe calls: a group of its own, so that its children are killed with it, and no blocked signals.
        unsafe {
            command.pre_exec(|| {
                let _ = setpgid(None, None);
                crate::daemon::set_oom_score(c"0");
                signals::unblock_all();
                Ok(())
            });
        }
        let child = command.spawn()?;
        for (fd, token) in [
            child.stdout.as_ref().map(AsRawFd::as_raw_fd),
            child.stderr.as_ref().map(AsRawFd::as_raw_fd),
        ]
        .into_iter()
        .flatten()
        .zip(tokens)
        {
            // SAFETY: the child owns the pipe, and is not dropped here.
            fcntl_setfl(unsafe { BorrowedFd::borrow_raw(fd) }, OFlags::NONBLOCK)?;
            epoll.add(fd, token)?;
        }
        let pid = child.id() as i32;
        self.all.insert(
            channel,
            Helper {
                child,
                pid,
                output: Vec::new(),
                errors: Vec::new(),
                open: [true, true],
                code: None,
            },
        );
        Ok(())
    }

    pub fn cancel(&mut self, channel: u32) {
        if let Some(helper) = self.all.get(&channel).filter(|helper| helper.code.is_none()) {
            // Kill its process group. The helper is not reaped yet, so its pid is valid.
            let _ = kill(-helper.pid, libc::SIGKILL);
        }
    }

    pub fn ready(&mut self, channel: u32, which: usize, epoll: &Epoll) {
        let Some(helper) = self.all.get_mut(&channel) else { return };
        let mut buffer = [0; 16 << 10];
        let (count, fd) = match which {
            0 => helper
                .child
                .stdout
                .as_mut()
                .map_or((Ok(0), -1), |pipe| (pipe.read(&mut buffer), pipe.as_raw_fd())),
            _ => helper
                .child
                .stderr
                .as_mut()
                .map_or((Ok(0), -1), |pipe| (pipe.read(&mut buffer), pipe.as_raw_fd())),
        };
        let into = if which == 0 { &mut helper.output } else { &mut helper.errors };
        match count {
            Ok(count) if count > 0 => into.extend_from_slice(&buffer[..count.min(MOST - into.len().min(MOST))]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            _ => {
                epoll.remove(fd);
                helper.open[which] = false;
            }
        }
    }

    pub fn reaped(&mut self, pid: i32, status: i32) {
        if let Some(helper) = self.all.values_mut().find(|helper| helper.pid == pid) {
            helper.code = Some(if libc::WIFSIGNALED(status) {
                128 + libc::WTERMSIG(status)
            } else {
                libc::WEXITSTATUS(status)
            });
        }
    }

    /// The helpers that have ended and whose output is complete: channel and answer.
    pub fn ended(&mut self) -> Vec<(u32, Vec<u8>)> {
        let done: Vec<u32> = self
            .all
            .iter()
            .filter(|(_, helper)| helper.code.is_some() && helper.open == [false, false])
            .map(|(channel, _)| *channel)
            .collect();
        done.into_iter()
            .filter_map(|channel| {
                let helper = self.all.remove(&channel)?;
                Some((
                    channel,
                    answer(
                        &Ran {
                            code: helper.code?,
                            stdout: helper.output.len(),
                            failure: None,
                        },
                        &helper.output,
                        &helper.errors,
                    ),
                ))
            })
            .collect()
    }
}

/// A file in memory: a helper that does not read its input can't hold up the launcher, as it could with a pipe.
fn input(text: Option<&str>) -> io::Result<Stdio> {
    let Some(text) = text else { return Ok(Stdio::null()) };
    let mut file = File::from(memfd_create("tsbox-input", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file.into())
}

pub fn answer(ran: &Ran, output: &[u8], errors: &[u8]) -> Vec<u8> {
    let mut payload = serde_json::to_vec(ran).unwrap_or_default();
    payload.push(0);
    payload.extend_from_slice(output);
    payload.extend_from_slice(errors);
    payload
}
