//! Which ids of the host stand for a container's own.

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
    /// The lines of /proc/PID/uid_map or gid_map (user_namespaces(7)).
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

    /// What an id of the container is on the host; none: nothing.
    pub fn to_host(maps: &[IdMap], id: u32) -> Option<u32> {
        let map = maps.iter().find(|map| id >= map.container_id && id - map.container_id < map.size)?;
        map.host_id.checked_add(id - map.container_id)
    }

    /// What an id of the host is in the container: nobody's where it is nothing there, as the kernel shows it.
    pub fn to_container(maps: &[IdMap], id: u32) -> u32 {
        const NOBODY: u32 = 65_534;
        maps.iter()
            .find(|map| id >= map.host_id && id - map.host_id < map.size)
            .map_or(NOBODY, |map| map.container_id + (id - map.host_id))
    }

    /// What the container's root is on the host.
    pub fn root(&self) -> Result<(u32, u32)> {
        let of = |maps: &[IdMap]| maps.iter().find(|map| map.container_id == 0).map(|map| map.host_id);
        of(&self.uids)
            .zip(of(&self.gids))
            .ok_or_else(|| Failure::new(Code::InvalidArgument, "the id maps say nothing of root"))
    }
}
