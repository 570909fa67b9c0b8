//! The limit of processes (RLIMIT_NPROC), which counts the process that sets it, too.

use rustix::process::{Resource, getrlimit};
use tsbox_core::container::spec::{Process, Rlimit};

fn is_of_processes(limit: &Rlimit) -> bool {
    limit.type_.trim_start_matches("RLIMIT_") == "NPROC"
}

pub fn process_limits(process: &Process) -> Vec<Rlimit> {
    process.rlimits.iter().filter(|limit| is_of_processes(limit)).cloned().collect()
}

/// All limits for a process that forks the last one. The limit of processes must leave room for both.
pub fn roomy_limits(process: &Process) -> Vec<Rlimit> {
    let most = getrlimit(Resource::Nproc).maximum.unwrap_or(u64::MAX);
    process.rlimits.iter().map(|limit| roomy(limit, most)).collect()
}

/// Raises the limit of processes as far as it can be lowered again later; other limits stay the same. `most`: the caller's own hard limit.
fn roomy(limit: &Rlimit, most: u64) -> Rlimit {
    if !is_of_processes(limit) {
        return limit.clone();
    }
    let most = limit.hard.max(most);
    Rlimit {
        soft: most,
        hard: most,
        ..limit.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(type_: &str, soft: u64, hard: u64) -> Rlimit {
        serde_json::from_value(serde_json::json!({ "type": type_, "soft": soft, "hard": hard })).unwrap()
    }

    #[test]
    fn only_the_limit_of_processes_is_raised() {
        let raised = roomy(&limit("RLIMIT_NPROC", 1, 2), 100);
        assert_eq!((raised.soft, raised.hard), (100, 100));
        let higher = roomy(&limit("NPROC", 1, 200), 100);
        assert_eq!((higher.soft, higher.hard), (200, 200));
        let files = roomy(&limit("RLIMIT_NOFILE", 1, 2), 100);
        assert_eq!((files.soft, files.hard), (1, 2));
    }
}
