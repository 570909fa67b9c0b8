//! The engine as a service of systemd: the unit's text, the engine that it belongs to, and the notification that the engine is ready.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::{Command, Stdio};

pub const NAME: &str = "tsbox.service";
pub const PATH: &str = "/etc/systemd/system/tsbox.service";

const MARK: &str = "# By `tsbox daemon enable`; `tsbox daemon disable` takes it away.";

/// The program that the service runs.
pub struct Engine<'a> {
    pub binary: &'a Path,
    /// Names and values of `tsbox daemon`'s flags.
    pub flags: &'a [(&'a str, OsString)],
    /// The root directory, whose mounts must precede the service.
    pub root: &'a Path,
    /// Names and values.
    pub environment: &'a [(String, String)],
}

pub fn text(engine: &Engine) -> String {
    let flags: String = engine.flags.iter().map(|(name, value)| format!(" {}", flag(name, value))).collect();
    let command = format!("{} daemon{flags}", word(engine.binary));
    let environment: String = engine
        .environment
        .iter()
        .map(|(name, value)| format!("Environment={}\n", word(format!("{name}={value}"))))
        .collect();
    format!(
        "{MARK}
[Unit]
Description=tsbox, a container engine
Wants=network-online.target
After=network-online.target nss-lookup.target time-set.target firewalld.service nftables.service
RequiresMountsFor={root}
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={command}
{environment}Restart=on-failure
RestartSec=1
# It said what is wrong, and another start won't mend it.
RestartPreventExitStatus=1 125
# Containers go on while the engine is restarted.
KillMode=process
Delegate=yes
TasksMax=infinity
OOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
",
        root = word(engine.root),
    )
}

/// Whether `tsbox daemon enable` wrote the unit, not a package or an administrator.
pub fn is_ours(text: &str) -> bool {
    text.starts_with(MARK)
}

/// Whether systemd starts the engine of this state directory on this host. `default`: it is the default state directory.
pub fn starts(state: &Path, default: bool) -> bool {
    systemd_runs() && std::fs::read_to_string(PATH).is_ok_and(|text| is_for(&text, state, default))
}

fn is_for(text: &str, state: &Path, default: bool) -> bool {
    text.contains(&flag("state", state.as_os_str())) || (default && !text.contains("\"--state="))
}

/// The check of sd_booted(3).
pub fn systemd_runs() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Runs systemctl. An error contains the arguments and the first line of systemctl's message.
pub fn systemctl(words: &[&str]) -> Result<(), String> {
    let ran = Command::new("systemctl")
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("can't run systemctl: {error}"))?;
    if ran.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    let first = said
        .lines()
        .find(|line| !line.is_empty())
        .unwrap_or("it failed")
        .trim_end_matches('.');
    Err(format!("systemctl {}: {first}", words.join(" ")))
}

/// Starts the service. systemd answers when the engine is ready.
pub fn start() -> Result<(), String> {
    systemctl(&["start", NAME]).map_err(|why| format!("{why}; `journalctl -u tsbox` says more"))
}

/// Notifies the service manager like sd_notify(3), if there is one.
pub fn notify(message: &str) -> io::Result<()> {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
        return Ok(());
    };
    let address = match name.as_bytes().split_first() {
        Some((b'@', rest)) => SocketAddr::from_abstract_name(rest)?,
        _ => SocketAddr::from_pathname(&name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address).map(|_| ())
}

/// An argument of the command, in which systemd must not replace variables.
fn flag(name: &str, value: &OsStr) -> String {
    word(OsStr::from_bytes(&[b"--", name.as_bytes(), b"=", value.as_bytes()].concat())).replace('$', "$$")
}

/// Quotes a word of a unit's line, whatever characters it contains (systemd.syntax(7), systemd.service(5)).
fn word(text: impl AsRef<OsStr>) -> String {
    let mut quoted = String::from("\"");
    for byte in text.as_ref().as_bytes() {
        match byte {
            b'%' => quoted.push_str("%%"),
            b'"' | b'\\' => {
                quoted.push('\\');
                quoted.push(char::from(*byte));
            }
            b' '..=b'~' => quoted.push(char::from(*byte)),
            other => {
                let _ = write!(quoted, "\\x{other:02x}");
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_one_word_for_systemd() {
        assert_eq!(word("/a b"), "\"/a b\"");
        assert_eq!(word("50% of $HOME \"\\\n"), "\"50%% of $HOME \\\"\\\\\\x0a\"");
        assert_eq!(flag("root", OsStr::new("/$HOME")), "\"--root=/$$HOME\"");
    }

    #[test]
    fn its_engine_is_known_by_the_state_directory() {
        let unit = |flags: &[(&str, OsString)]| {
            text(&Engine {
                binary: Path::new("/opt/ts box/tsbox"),
                flags,
                root: Path::new("/var/lib/tsbox"),
                environment: &[("A".to_owned(), "b c".to_owned())],
            })
        };
        let (plain, given) = (unit(&[]), unit(&[("state", "/run/mine".into()), ("host", "unix:///x".into())]));
        assert!(is_ours(&plain));
        assert!(plain.contains("\nExecStart=\"/opt/ts box/tsbox\" daemon\nEnvironment=\"A=b c\"\n"));
        assert!(given.contains(" daemon \"--state=/run/mine\" \"--host=unix:///x\"\n"));
        assert!(is_for(&plain, Path::new("/run/tsbox"), true));
        assert!(!is_for(&given, Path::new("/run/tsbox"), true));
        assert!(is_for(&given, Path::new("/run/mine"), false));
        assert!(!is_for(&given, Path::new("/run/mine2"), false));
        assert!(!is_for(&given, Path::new("/run/min"), false));
    }
}
