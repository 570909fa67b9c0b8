//! The host's ids that represent a container's ids.

use crate::failure::{Code, Failure, Result};
use serde::{Deserialize, Serialize};

/// `IdMaps` of kernel/src/contract/storage.ts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMaps {
    pub uids: Vec<IdMap>,
    pub gids: Vec<IdMap>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdMap {
    pub container_id: u32,
    pub host_id: u32,
    pub size: u32,
}

impl IdMaps {
    /// Parses the lines of /proc/PID/uid_map or gid_map (user_namespaces(7)).
    pub fn parse(text: &str) -> Vec<IdMap> {
        let line = |line: &str| {
            let mut numbers = line.split_ascii_whitespace().map(|number| number.parse().ok());
            Some(IdMap {
                container_id: numbers.next()??,
                host_id: numbers.next()??,
                size: numbers.next()??,
            })
        };
        text.lines().filter_map(line).collect()
    }

    /// The host's id of a container's id; None: the id is not mapped.
    pub fn to_host(maps: &[IdMap], id: u32) -> Option<u32> {
        let map = maps.iter().find(|map| id >= map.container_id && id - map.container_id < map.size)?;
        map.host_id.checked_add(id - map.container_id)
    }

    /// The container's id of a host's id; 65534 (nobody) if the id is not mapped, as the kernel shows it.
    pub fn to_container(maps: &[IdMap], id: u32) -> u32 {
        const NOBODY: u32 = 65_534;
        maps.iter()
            .find(|map| id >= map.host_id && id - map.host_id < map.size)
            .map_or(NOBODY, |map| map.container_id + (id - map.host_id))
    }

    /// The host's uid and gid of the container's root.
    pub fn root(&self) -> Result<(u32, u32)> {
        let of = |maps: &[IdMap]| maps.iter().find(|map| map.container_id == 0).map(|map| map.host_id);
        of(&self.uids)
            .zip(of(&self.gids))
            .ok_or_else(|| Failure::new(Code::InvalidArgument, "the id maps say nothing of root"))
    }
}
