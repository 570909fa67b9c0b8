//! `tsbox daemon enable` and `disable`: the engine as a service of systemd, which starts it with the host and restarts it when it dies.

use crate::options::{Given, Options};
use crate::stop::stop;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tsbox_core::peer::unit::{self, systemctl};

/// Installs the service and returns when it runs. An engine that runs already is stopped first; its containers go on. A failure leaves no
/// service behind.
pub fn enable(options: &Options) -> Result<(), String> {
    require_systemd()?;
    match fs::read_to_string(unit::PATH) {
        Ok(text) if !unit::is_ours(&text) => {
            return Err(format!(
                "{} is there, and not by `tsbox daemon enable`: take it away, or start it with `systemctl start tsbox`",
                unit::PATH
            ));
        }
        _ => {}
    }
    let binary = std::env::current_exe().map_err(|error| format!("can't find my own binary: {error}"))?;
    let environment: Vec<(String, String)> = ["TSBOX_HOME", "TSBOX_NODE"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
        .collect();
    let text = unit::text(&unit::Engine {
        binary: &binary,
        flags: &flags(&options.given),
        root: &options.root,
        environment: &environment,
    });
    write(&text).map_err(|error| format!("can't write {}: {error}", unit::PATH))?;
    start(options).inspect_err(|_| {
        let _ = take_away();
    })?;
    println!(
        "tsbox: the engine runs as {}, and starts with this host (`tsbox daemon disable` undoes it)",
        unit::NAME
    );
    Ok(())
}

fn flags(given: &Given) -> Vec<(&'static str, OsString)> {
    let host = given.host.as_ref().map(|path| {
        let mut url = OsString::from("unix://");
        url.push(path);
        url
    });
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.clone().into_os_string());
    [
        ("root", path(&given.root)),
        ("state", path(&given.state)),
        ("host", host),
        ("config", path(&given.config)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

/// Removes the service and stops its engine. Containers go on until the next start of the engine, or of the host.
pub fn disable() -> Result<(), String> {
    require_systemd()?;
    match fs::read_to_string(unit::PATH) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(format!("{} is not enabled", unit::NAME)),
        Ok(text) if unit::is_ours(&text) => {}
        _ => return Err(format!("{} is not by `tsbox daemon enable`: `systemctl disable tsbox`", unit::PATH)),
    }
    take_away()
}

fn require_systemd() -> Result<(), String> {
    if unit::systemd_runs() {
        return Ok(());
    }
    Err("systemd does not run this host: have its own init start `tsbox daemon`".to_owned())
}

fn start(options: &Options) -> Result<(), String> {
    systemctl(&["daemon-reload"])?;
    systemctl(&["--quiet", "enable", unit::NAME])?;
    // systemd stops the service's own engine: it would restart an engine that ends by itself.
    systemctl(&["stop", unit::NAME])?;
    // An error means that no engine runs, which is the goal.
    let _ = stop(options);
    unit::start()
}

fn take_away() -> Result<(), String> {
    systemctl(&["--quiet", "disable", "--now", unit::NAME])?;
    fs::remove_file(unit::PATH).map_err(|error| format!("can't remove {}: {error}", unit::PATH))?;
    systemctl(&["daemon-reload"])
}

/// Writes a new file and renames it, so that readers see all of it or nothing.
fn write(text: &str) -> io::Result<()> {
    let fresh = Path::new(unit::PATH).with_extension("service.new");
    fs::write(&fresh, text)?;
    fs::rename(&fresh, unit::PATH)
}
