//! Hooks of the OCI spec: programs that read the container's state from their standard input.

use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;
use tsbox_core::container::spec::{Hook, Spec};
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::sys::process;

/// The state of the OCI runtime spec.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State<'a> {
    pub oci_version: &'a str,
    pub id: &'a str,
    pub status: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    pub pid: i32,
    pub bundle: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: &'a BTreeMap<String, String>,
}

fn is_zero(pid: &i32) -> bool {
    *pid == 0
}

impl<'a> State<'a> {
    pub fn new(spec: &'a Spec, id: &'a str, status: &'a str, pid: i32, bundle: &'a str) -> State<'a> {
        State {
            oci_version: "1.2.0",
            id,
            status,
            pid,
            bundle,
            annotations: &spec.annotations,
        }
    }
}

/// Runs the hooks in order, up to the first that fails or exceeds its timeout.
pub fn run(kind: &str, hooks: &[Hook], state: &State) -> Result<()> {
    let json = serde_json::to_vec(state).map_err(|error| Failure::new(Code::Internal, format!("state: {error}")))?;
    hooks.iter().try_for_each(|hook| {
        one(hook, &json).map_err(|failure| {
            Failure {
                message: format!("{kind} hook {}: {}", hook.path, failure.message),
                ..failure
            }
            .at("hooks")
        })
    })
}

fn one(hook: &Hook, state: &[u8]) -> Result<()> {
    let mut command = Command::new(&hook.path);
    if let Some((name, rest)) = hook.args.split_first() {
        command.arg0(name).args(rest);
    }
    command.env_clear().envs(hook.env.iter().filter_map(|entry| entry.split_once('=')));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| Failure::io(&error, "exec", Some(&hook.path)))?;
    // A hook may ignore its input. The pipe holds a state of any reasonable size.
    if let Some(mut input) = child.stdin.take() {
        let _ = input.write_all(state);
    }
    if let Some(timeout) = hook.timeout {
        let seconds = Duration::from_secs(timeout);
        let ended = process::await_end(process::open(child.id() as i32)?.as_fd(), seconds);
        if !ended {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Failure::new(Code::Canceled, format!("took longer than its {timeout} seconds")));
        }
    }
    let mut said = String::new();
    if let Some(output) = child.stderr.take() {
        let _ = output.take(4096).read_to_string(&mut said);
    }
    let status = child.wait().map_err(|error| Failure::io(&error, "wait", Some(&hook.path)))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(Code::FailedPrecondition, format!("{status}: {}", said.trim())))
    }
}
