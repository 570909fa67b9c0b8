/** What `tsbox conformance KIND ID` runs: the suite of a kind over the driver that this engine's host knows by that id. */
import { fail, type HostToolkit } from "@tsbox/kernel";
import { type Report, runRules } from "./run.ts";
import { storageRules } from "./storage/index.ts";
import { makeRealWorld, type StorageSubject } from "./storage/real-world.ts";

export interface ConformanceHost {
  readonly toolkit: HostToolkit;
  /** A directory of the run's own, on the file system that the driver is to be tried on. */
  readonly directory: string;
  /** Opens a fresh driver of that kind and id with `directory` as its root directory. */
  openStorage(id: string): StorageSubject["open"];
}

/** `Unsupported`: there is no suite for that kind. */
export async function runConformance(kind: string, id: string, host: ConformanceHost): Promise<Report> {
  if (kind !== "storage") throw fail("Unsupported", `there is no conformance suite for ${kind}; there is one for: storage`);
  const subject: StorageSubject = { open: host.openStorage(id), host: host.toolkit, directory: host.directory };
  return { subject: `${kind}/${id}`, outcomes: await runRules(storageRules, () => makeRealWorld(subject)) };
}
