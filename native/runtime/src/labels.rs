//! The labels of Linux security modules that a process gets when it executes its command.

use tsbox_core::container::procfs::Procfs;
use tsbox_core::container::spec::Process;
use tsbox_core::failure::{Code, Failure, Result};

/// `procfs`: a /proc in which the calling process is visible; None: a /proc of its pid namespace is opened.
pub fn set(process: &Process, procfs: Option<&Procfs>) -> Result<()> {
    for (file, value) in wanted(process) {
        let own;
        let proc = match procfs {
            Some(proc) => proc,
            None => {
                own = Procfs::detached()?;
                &own
            }
        };
        // AppArmor's own directory exists since Linux 5.8. If AppArmor is the only module, it also has the other file.
        let written = match proc.write(&format!("self/attr/{file}"), &value) {
            Err(failure) if failure.code == Code::NotFound => proc.write("self/attr/exec", &value),
            answer => answer,
        };
        written.map_err(|failure| {
            Failure {
                message: format!("label {}: {}", value.trim_start_matches("exec "), failure.message),
                ..failure
            }
            .at("labels")
        })?;
    }
    Ok(())
}

/// The files below /proc/self/attr, and the values for them.
fn wanted(process: &Process) -> Vec<(&'static str, String)> {
    let labels = [
        ("apparmor/exec", process.apparmor_profile.as_deref(), "exec "),
        ("exec", process.selinux_label.as_deref(), ""),
    ];
    let given = labels.into_iter().filter_map(|(file, label, prefix)| {
        let label = label.filter(|label| !label.is_empty())?;
        Some((file, format!("{prefix}{label}")))
    });
    given.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_module_has_its_own_file_and_words() {
        let of = |text: &str| {
            let process: Process = serde_json::from_str(text).unwrap();
            wanted(&process)
        };
        assert_eq!(of("{}"), []);
        assert_eq!(of(r#"{"apparmorProfile": "", "selinuxLabel": ""}"#), []);
        assert_eq!(
            of(r#"{"apparmorProfile": "tsbox", "selinuxLabel": "a:b:c:s0"}"#),
            [("apparmor/exec", "exec tsbox".to_owned()), ("exec", "a:b:c:s0".to_owned())]
        );
    }
}
