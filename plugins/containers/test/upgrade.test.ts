/** Records that an earlier version has written. */
import { suite } from "@tsbox/harness";
import type { Container } from "@tsbox/kernel";
import * as assert from "uvu/assert";
import { upgraded } from "../src/upgrade.ts";

const test = suite("containers: records of before");

test("a missing field gets its former meaning; existing fields stay", () => {
  const earlier = {
    id: "a".repeat(64),
    name: "old",
    status: "exited",
    config: {
      image: "x",
      network: "bridge",
      binds: [{ source: "/a", target: "/b", readOnly: true, propagation: null }],
      tmpfs: { "/scratch": "size=1m,mode=700" },
      resources: { memory: 7, pids: null },
    },
  } as unknown as Container;
  const now = upgraded(earlier);
  assert.equal(
    now.mounts.map(({ kind, target, readOnly }) => ({ kind, target, readOnly })),
    [
      { kind: "bind", target: "/b", readOnly: true },
      { kind: "tmpfs", target: "/scratch", readOnly: false },
    ],
  );
  assert.equal([now.config.resources.memory, now.config.resources.blockReadBytes, now.config.isolation.user], [7, [], "host"]);
  assert.equal([now.restart.stopped, now.idMaps, now.health, now.networks], [true, null, null, []]);
});

test("a record of today is left as it is", () => {
  const record = { mounts: [], selinux: null, config: { deviceRequests: [], formatOptions: [] } } as unknown as Container;
  assert.is(upgraded(record), record);
});

test("one from before devices could be asked for by name asks for none, and from before labels has none", () => {
  const record = { mounts: [], config: { image: "x" } } as unknown as Container;
  assert.equal(upgraded(record).config, { image: "x", deviceRequests: [], formatOptions: [] });
  assert.is(upgraded(record).selinux, null);
});
