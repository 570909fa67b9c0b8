//! A local client that is joined to a process from its start.

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Client {
    pub client: u32,
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// None: Docker's detach keys.
    #[serde(default)]
    pub detach_keys: Option<Vec<u8>>,
    /// The client gets the process's exit code with the end of the output.
    #[serde(default)]
    pub answer: bool,
}

impl Client {
    /// The descriptors that the client lends.
    pub fn lent(&self) -> impl Iterator<Item = usize> {
        let wanted = [self.stdin, self.stdout, self.stderr];
        (0..3).filter(move |which| wanted[*which])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_come_in_order_and_only_those_that_are_lent() {
        let client = |stdin, stdout, stderr| Client {
            client: 1,
            stdin,
            stdout,
            stderr,
            detach_keys: None,
            answer: false,
        };
        assert_eq!(client(true, true, true).lent().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(client(false, true, true).lent().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(client(true, false, true).lent().collect::<Vec<_>>(), [0, 2]);
    }
}
