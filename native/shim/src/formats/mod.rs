//! What a shim can start: the formats of a container's launch and of an exec. Each variant has its own file, which defines the format's
//! fields and calls the runtime. A new format is a new file and a new variant here.

mod beside;
mod join;
mod oci;

use crate::process::Process;
use crate::starting::Talk;
use serde::Deserialize;
use std::os::fd::BorrowedFd;
use tsbox_core::failure::{Code, Failure, Result};
use tsbox_core::mount::Mount;
use tsbox_runtime::{Cgroup, Process as OciProcess, Spec, Stdio};

/// `Launch` of kernel/src/contract/exec.ts: how a container's first process is started.
#[derive(Deserialize)]
#[serde(from = "Fields")]
pub enum Format {
    /// Kind `oci`: an OCI runtime spec, with this program as the runtime.
    Oci(oci::Oci),
    /// A kind that this shim does not know, or one whose fields are missing.
    Unknown(String),
}

/// The fields of all kinds. serde reads a tagged enum in two passes and keeps all values in a tree between them. A spec is the largest
/// message there is, so it is read in one pass.
#[derive(Deserialize)]
struct Fields {
    kind: String,
    spec: Option<Spec>,
}

impl From<Fields> for Format {
    fn from(fields: Fields) -> Format {
        match (fields.kind.as_str(), fields.spec) {
            ("oci", Some(spec)) => Format::Oci(oci::Oci { spec }),
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
            Format::Unknown(_) => {}
        }
    }

    /// Fails with `Unsupported` if shims of this version can't start such a launch.
    pub fn check(&self) -> Result<()> {
        match self {
            Format::Oci(_) => Ok(()),
            Format::Unknown(kind) => Err(Failure::new(
                Code::Unsupported,
                format!("this shim starts launches of kind oci, not {kind}"),
            )),
        }
    }

    pub fn begin(&self, around: &Surroundings) -> Result<Talk> {
        self.check()?;
        match self {
            Format::Oci(oci) => oci.begin(around),
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
    Join(join::Join),
    /// Has its own root file system, and joins the namespaces that the spec names.
    Beside(Box<beside::Beside>),
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
            ExecFormat::Unknown => {}
        }
    }

    pub fn begin(&self, around: &ExecSurroundings) -> Result<Talk> {
        match self {
            ExecFormat::Join(join) => join.begin(around),
            ExecFormat::Beside(beside) => beside.begin(around),
            ExecFormat::Unknown => Err(Failure::new(
                Code::Unsupported,
                "this shim joins processes to its own containers, and starts no other runtime's command",
            )),
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
        assert!(matches!(of(r#"{"kind": "command", "argv": []}"#), ExecFormat::Unknown));
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
