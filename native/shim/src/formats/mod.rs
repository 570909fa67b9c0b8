//! What a shim can start: the formats of a container's launch and of an exec. Each variant has its own file, which defines the format's
//! fields and calls the runtime. A new format is a new file and a new variant here.

mod beside;
mod command;
mod join;
mod oci;

use crate::process::Process;
use crate::starting::NewProcess;
use serde::Deserialize;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use tsbox_core::container::spec::OciMount;
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::mount::Mount;
use tsbox_runtime::{Cgroup, LaunchCommand, Owners, Process as OciProcess, Spec, Stdio, Step};

/// `Launch` of kernel/src/contract/exec.ts: how a container's first process is started.
#[derive(Deserialize)]
#[serde(from = "Fields")]
pub enum Format {
    /// Kind `oci`: an OCI runtime spec, with this program as the runtime.
    Oci(Box<oci::Oci>),
    /// Kind `command`: the command line of another runtime.
    Command(LaunchCommand),
    /// A kind that this shim does not know, or one whose fields are missing.
    Unknown(String),
}

/// The fields of all kinds. serde reads a tagged enum in two passes and keeps all values in a tree between them. A spec is the largest
/// message there is, so it is read in one pass.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    kind: String,
    spec: Option<Spec>,
    steps: Option<Vec<Step>>,
    rootfs: Option<PathBuf>,
    cgroup: Option<String>,
    pid_file: Option<PathBuf>,
    console_socket: Option<PathBuf>,
    #[serde(default)]
    own_files: bool,
    #[serde(default)]
    directories: Vec<String>,
    #[serde(default)]
    files: Vec<String>,
    owners: Option<Owners>,
    #[serde(default)]
    mounts: Vec<OciMount>,
    #[serde(default)]
    read_only_root: bool,
    #[serde(default)]
    stays: bool,
    #[serde(default)]
    enter: bool,
}

impl From<Fields> for Format {
    fn from(fields: Fields) -> Format {
        match (fields.kind.as_str(), fields.spec, fields.steps) {
            ("oci", Some(spec), _) => Format::Oci(Box::new(oci::Oci { spec })),
            ("command", _, Some(steps)) => Format::Command(LaunchCommand {
                steps,
                rootfs: fields.rootfs,
                cgroup: fields.cgroup,
                pid_file: fields.pid_file,
                console_socket: fields.console_socket,
                own_files: fields.own_files,
                directories: fields.directories,
                files: fields.files,
                owners: fields.owners,
                mounts: fields.mounts,
                read_only_root: fields.read_only_root,
                stays: fields.stays,
                enter: fields.enter,
            }),
            _ => Format::Unknown(fields.kind),
        }
    }
}

/// What a container's launch needs besides its format.
pub struct Surroundings<'a> {
    pub id: &'a str,
    pub rootfs: &'a [Mount],
    pub stdio: Stdio,
    /// See [`tsbox_runtime::Launch::hold`].
    pub hold: BorrowedFd<'a>,
}

impl Format {
    /// Sets the usual out-of-memory score for a process that names none. Otherwise the process would inherit the score of its shim, which
    /// is protected.
    pub fn expose(&mut self) {
        match self {
            Format::Oci(oci) => oci.expose(),
            Format::Command(_) | Format::Unknown(_) => {}
        }
    }

    /// Fails with `Unsupported` if shims of this version can't start such a launch.
    pub fn check(&self) -> Result<()> {
        match self {
            Format::Oci(_) | Format::Command(_) => Ok(()),
            Format::Unknown(kind) => Err(Failure::new(
                Code::Unsupported,
                format!("this shim starts launches of kind oci or command, not {kind}, and those with all their fields"),
            )),
        }
    }

    pub fn begin(&self, around: &Surroundings) -> Result<NewProcess> {
        self.check()?;
        match self {
            Format::Oci(oci) => oci.begin(around),
            Format::Command(launch) => command::begin(launch, around),
            Format::Unknown(_) => Err(Failure::new(Code::Internal, "an unknown launch was begun")),
        }
    }
}

/// `ExecLaunch` of kernel/src/contract/exec.ts: how a further process is started in, or beside, a running container.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ExecFormat {
    /// Joins the container.
    #[serde(rename = "oci")]
    Join(Box<join::Join>),
    /// Has its own root file system, and joins the namespaces that the spec names.
    Beside(Box<beside::Beside>),
    /// The command line of another runtime.
    Command(LaunchCommand),
    #[serde(other)]
    Unknown,
}

/// The container that an exec is for, and what the exec needs besides its format.
pub struct ExecSurroundings<'a> {
    pub exec: &'a str,
    pub container: &'a Process,
    pub cgroup: &'a Cgroup,
    pub stdio: Stdio,
}

impl ExecFormat {
    /// The same as [`Format::expose`].
    pub fn expose(&mut self) {
        match self {
            ExecFormat::Join(join) => join.expose(),
            ExecFormat::Beside(beside) => beside.expose(),
            ExecFormat::Command(_) | ExecFormat::Unknown => {}
        }
    }

    pub fn begin(&self, around: &ExecSurroundings) -> Result<NewProcess> {
        match self {
            ExecFormat::Join(join) => join.begin(around),
            ExecFormat::Beside(beside) => beside.begin(around),
            ExecFormat::Command(launch) => command::begin_exec(launch, around),
            ExecFormat::Unknown => Err(Failure::new(Code::Unsupported, "this shim does not know this kind of exec")),
        }
    }
}

fn expose(process: &mut OciProcess) {
    process.oom_score_adj.get_or_insert(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_is_recognized_by_its_kind_and_its_fields() {
        let of = |text: &str| serde_json::from_str::<Format>(text).unwrap();
        assert!(matches!(of(r#"{"kind": "oci", "spec": {}}"#), Format::Oci(_)));
        let steps = r#"{"kind": "command", "steps": [{"argv": ["runc"], "environment": {}, "workingDirectory": "/", "stdio": true}]}"#;
        assert!(matches!(of(steps), Format::Command(_)));
        for text in [r#"{"kind": "oci"}"#, r#"{"kind": "command", "argv": ["lxc-start"]}"#] {
            let failure = of(text).check().unwrap_err();
            assert_eq!(failure.code, Code::Unsupported, "{text}");
        }
    }

    #[test]
    fn an_exec_joins_the_container_or_stands_beside_it() {
        let of = |text: &str| serde_json::from_str::<ExecFormat>(text).unwrap();
        assert!(matches!(of(r#"{"kind": "oci", "process": {}}"#), ExecFormat::Join(_)));
        assert!(matches!(
            of(r#"{"kind": "beside", "spec": {}, "rootfs": []}"#),
            ExecFormat::Beside(_)
        ));
        assert!(matches!(of(r#"{"kind": "command", "steps": []}"#), ExecFormat::Command(_)));
        assert!(serde_json::from_str::<ExecFormat>(r#"{"kind": "command", "argv": []}"#).is_err());
        assert!(matches!(of(r#"{"kind": "newer"}"#), ExecFormat::Unknown));
    }

    #[test]
    fn a_process_is_not_protected_as_its_shim_is() {
        let mut format: Format = serde_json::from_str(r#"{"kind": "oci", "spec": {"process": {}}}"#).unwrap();
        format.expose();
        let Format::Oci(oci) = &format else { panic!("not oci") };
        assert_eq!(oci.spec.process.as_ref().unwrap().oom_score_adj, Some(0));
        let mut exec: ExecFormat = serde_json::from_str(r#"{"kind": "oci", "process": {"oomScoreAdj": 300}}"#).unwrap();
        exec.expose();
        let ExecFormat::Join(join) = &exec else { panic!("not oci") };
        assert_eq!(join.process.oom_score_adj, Some(300));
    }
}
