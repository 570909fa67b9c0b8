/**
 * Host ids for user namespaces. Each container with a user namespace gets 65,536 ids of its own, so that a process that breaks out has no
 * rights on the host or in another container. Operators may set ranges aside (`tsbox:START:COUNT` in /etc/subuid and /etc/subgid). Without
 * such ranges, ids are taken from above 2^30, around all ranges that those files give to other users.
 */
import { readFileSync } from "node:fs";
import { type ContainerId, fail, type IdMaps } from "@tsbox/kernel";

interface Range {
  readonly first: number;
  readonly count: number;
}
export interface Subordinate {
  readonly user: string;
  readonly range: Range;
}

/** The user name whose entries belong to the engine. */
const owner = "tsbox";
const size = 65_536;
const fallback: Range = { first: 1 << 30, count: 1 << 30 };

export class IdRanges {
  readonly #held: Map<ContainerId, number> = new Map();
  readonly #read: () => readonly Subordinate[];

  constructor(read: () => readonly Subordinate[] = readSubordinates) {
    this.#read = read;
  }

  /** The container's range, the same until `free`. `ResourceExhausted`: all ranges are taken. */
  of(id: ContainerId): IdMaps {
    const held = this.#held.get(id);
    if (held !== undefined) return mapsFrom(held);
    const all = this.#read();
    const ours = all.filter(({ user }) => user === owner).map(({ range }) => range);
    const others = ours.length > 0 ? [] : all.map(({ range }) => range);
    const taken = new Set(this.#held.values());
    for (const { first, count } of ours.length > 0 ? ours : [fallback])
      for (let at = first; at + size <= first + count; at += size)
        if (!taken.has(at) && !others.some((other) => at < other.first + other.count && other.first < at + size)) {
          this.#held.set(id, at);
          return mapsFrom(at);
        }
    throw fail(
      "ResourceExhausted",
      `no ids are left for another user namespace: give "${owner}" more of them in /etc/subuid and /etc/subgid`,
    );
  }

  /** Marks the range of a container that runs since an earlier daemon. */
  hold(id: ContainerId, maps: IdMaps): void {
    const [first] = maps.uids;
    if (first) this.#held.set(id, first.hostId);
  }

  free(id: ContainerId): void {
    this.#held.delete(id);
  }
}

function mapsFrom(first: number): IdMaps {
  const map = [{ containerId: 0, hostId: first, size }];
  return { uids: map, gids: map };
}

/** The entries of both files. An entry of the engine counts only if it is in both. */
function readSubordinates(): readonly Subordinate[] {
  const [uids, gids] = ["/etc/subuid", "/etc/subgid"].map(subordinates) as [readonly Subordinate[], readonly Subordinate[]];
  const same = (a: Subordinate, b: Subordinate): boolean =>
    a.user === b.user && a.range.first === b.range.first && a.range.count === b.range.count;
  return [...uids, ...gids.filter((entry) => !uids.some((other) => same(entry, other)))].filter(
    (entry) => entry.user !== owner || (uids.some((other) => same(entry, other)) && gids.some((other) => same(entry, other))),
  );
}

function subordinates(path: string): readonly Subordinate[] {
  let text = "";
  try {
    text = readFileSync(path, "utf8");
  } catch {
    // Without this file, no user has subordinate ids.
  }
  return text.split("\n").flatMap((line) => {
    const [user = "", first = "", count = ""] = line.split(":");
    return /^\d+$/.test(first) && /^\d+$/.test(count) ? [{ user, range: { first: Number(first), count: Number(count) } }] : [];
  });
}
