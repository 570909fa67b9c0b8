/** Copies into a container that does not run, and the start that waits for them. */
import { suite } from "@tsbox/harness";
import { type Container, type ContainerId, createCall, silentLog } from "@tsbox/kernel";
import * as assert from "uvu/assert";
import { type RootServices, Roots } from "../src/roots.ts";

const test = suite("files of containers from outside");
const call = createCall(silentLog);
const id = "2".repeat(64) as ContainerId;
const record = {
  id,
  pid: null,
  status: "created",
  config: { readOnlyRoot: false },
  mounts: [],
  drivers: { storage: "none" },
  layer: "layer",
} as unknown as Container;
const services = {
  host: { open: async () => "/root-of-the-copy", close: async () => {} },
  storage: async () => ({ mounts: async () => [] }),
} as unknown as RootServices;

test("a start waits for a copy, and fails if the copy does not end", async () => {
  const roots = new Roots();
  await roots.settled(id);
  const path = await roots.open(services, call, record, "write");
  const [late] = await Promise.allSettled([roots.settled(id, 20)]);
  assert.match(String(late.status === "rejected" ? late.reason : late.status), /files are still being copied into container 222222222222/);
  const settled = roots.settled(id);
  await roots.close(services, call, path);
  await settled;
});
