//! A local client that is joined to a process from its start.

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Client {
    pub client: u32,
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// None: Docker's.
    #[serde(default)]
    pub detach_keys: Option<Vec<u8>>,
    /// It gets the process's exit code with the end of the output.
    #[serde(default)]
    pub answer: bool,
}
