//! The command line that engines expect of an OCI runtime (runc's): one file per group of commands; their state is kept below `--root`.

mod adopt;
mod create;
mod dispose;
mod events;
mod exec;
mod features;
mod foreground;
mod gate;
mod lifecycle;
mod state;
mod update;

use lexopt::prelude::*;
use std::io::Write;
use std::path::PathBuf;
use tsbox_core::failure::{Code, Failure, Result};

/// Options that come before the command.
pub struct Global {
    root: PathBuf,
    log: Option<PathBuf>,
    json: bool,
}

const USAGE: &str = "usage: tsbox-runtime [--root DIR] [--log FILE] [--log-format text|json] COMMAND …
commands: create run start state kill delete exec pause resume update events list ps features adopt";

/// `args` does not include the program's name. Returns the exit code.
pub fn main(args: Vec<String>) -> i32 {
    let mut global = Global {
        root: PathBuf::from("/run/tsbox-runtime"),
        log: None,
        json: false,
    };
    match dispatch(args, &mut global) {
        Ok(code) => code,
        Err(failure) => {
            report(&global, &failure);
            1
        }
    }
}

fn dispatch(args: Vec<String>, global: &mut Global) -> Result<i32> {
    let mut parser = lexopt::Parser::from_args(args);
    let command = loop {
        match next(&mut parser)? {
            Some(Long("root")) => global.root = PathBuf::from(value(&mut parser)?),
            Some(Long("log")) => global.log = Some(PathBuf::from(value(&mut parser)?)),
            Some(Long("log-format")) => global.json = value(&mut parser)? == "json",
            // Engines pass these flags. This runtime has no debug messages.
            Some(Long("debug")) => {}
            Some(Long("rootless" | "criu")) => drop(value(&mut parser)?),
            Some(Long("systemd-cgroup")) => {
                return Err(Failure::new(
                    Code::Unsupported,
                    "--systemd-cgroup is not supported: use the engine's cgroupfs cgroup manager",
                ));
            }
            Some(Long("version") | Short('v')) => {
                println!("tsbox-runtime version {}\nspec: 1.2.0", env!("CARGO_PKG_VERSION"));
                return Ok(0);
            }
            Some(Long("help") | Short('h')) => {
                println!("{USAGE}");
                return Ok(0);
            }
            Some(Value(word)) => break word.to_string_lossy().into_owned(),
            Some(other) => return Err(unexpected(other)),
            None => return Err(Failure::new(Code::InvalidArgument, USAGE)),
        }
    };
    if matches!(command.as_str(), "create" | "run" | "exec" | "adopt") {
        crate::sealed::ensure()?;
    }
    match command.as_str() {
        "adopt" => adopt::adopt(&mut parser),
        "create" => create::create(global, &mut parser),
        "run" => create::run(global, &mut parser),
        "exec" => exec::exec(global, &mut parser),
        "start" => lifecycle::start(global, &mut parser),
        "state" => lifecycle::state(global, &mut parser),
        "kill" => lifecycle::kill(global, &mut parser),
        "delete" => lifecycle::delete(global, &mut parser),
        "pause" => lifecycle::pause(global, &mut parser, true),
        "resume" => lifecycle::pause(global, &mut parser, false),
        "list" => lifecycle::list(global, &mut parser),
        "ps" => lifecycle::processes(global, &mut parser),
        "update" => update::update(global, &mut parser),
        "events" => events::events(global, &mut parser),
        "features" => features::features(),
        other => Err(Failure::new(Code::InvalidArgument, format!("no such command: {other}\n{USAGE}"))),
    }
}

/// Writes a failure to standard error, and to the log in the format that engines read (`msg` of the last line is shown to the user).
fn report(global: &Global, failure: &Failure) {
    eprintln!("tsbox-runtime: {failure}");
    log(global, "error", &failure.to_string(), Some(failure.code));
}

fn warn(global: &Global, warnings: &[String]) {
    for warning in warnings {
        eprintln!("tsbox-runtime: warning: {warning}");
        log(global, "warning", warning, None);
    }
}

/// `code` is an addition to the format of other runtimes, so that an engine that knows it need not parse the text.
fn log(global: &Global, level: &str, text: &str, code: Option<Code>) {
    let Some(path) = &global.log else { return };
    let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path) else {
        return;
    };
    let time = state::timestamp();
    let line = if global.json {
        serde_json::json!({ "level": level, "msg": text, "time": time, "code": code }).to_string()
    } else {
        format!("time=\"{time}\" level={level} msg={text:?}")
    };
    let _ = writeln!(file, "{line}");
}

fn next<'a>(parser: &'a mut lexopt::Parser) -> Result<Option<lexopt::Arg<'a>>> {
    parser.next().map_err(invalid)
}

fn value(parser: &mut lexopt::Parser) -> Result<String> {
    parser.value().map(|value| value.to_string_lossy().into_owned()).map_err(invalid)
}

fn invalid(error: lexopt::Error) -> Failure {
    Failure::new(Code::InvalidArgument, error.to_string())
}

fn unexpected(argument: lexopt::Arg) -> Failure {
    invalid(argument.unexpected())
}

/// Reads a container's id, which must be the only argument left.
fn only_id(parser: &mut lexopt::Parser) -> Result<String> {
    match next(parser)? {
        Some(Value(word)) => state::checked_id(&word.to_string_lossy()),
        Some(other) => Err(unexpected(other)),
        None => Err(Failure::new(Code::InvalidArgument, "a container id is missing")),
    }
}
