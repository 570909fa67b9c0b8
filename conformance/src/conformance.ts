/** `tsbox conformance KIND ID`: runs a kind's suite over the driver with that id of one plugin. */
import { fail, type HostToolkit, type Plugin } from "@tsbox/kernel";
import { execRules, execSubject } from "./exec/index.ts";
import { makeExecWorld } from "./exec/real-world.ts";
import { type Outcome, type Report, runRules } from "./run.ts";
import { storageRules, storageSubject } from "./storage/index.ts";
import { makeRealWorld } from "./storage/real-world.ts";
import { volumeRules, volumeSubject } from "./volume/index.ts";
import { makeVolumeWorld } from "./volume/real-world.ts";

export interface ConformanceSubject {
  /** The plugin that provides the driver; the suite opens new instances, which are separate from the engine's. */
  readonly plugin: Plugin;
  /** The config as in the engine's list. */
  readonly config: unknown;
  readonly toolkit: HostToolkit;
  /** An empty directory for this run, on the file system to test the driver on. */
  readonly directory: string;
}

/** By kind. A new suite is one line here, its rules and its world. */
const suites: Readonly<Record<string, (id: string, subject: ConformanceSubject) => Promise<readonly Outcome[]>>> = {
  storage: (id, { plugin, config, toolkit, directory }) =>
    runRules(storageRules, () => makeRealWorld(storageSubject(plugin, id, toolkit, directory, config))),
  exec: (id, { plugin, config, toolkit, directory }) =>
    runRules(execRules, () => makeExecWorld(execSubject(plugin, id, toolkit, directory, config))),
  volume: (id, { plugin, config, toolkit, directory }) =>
    runRules(volumeRules, () => makeVolumeWorld(volumeSubject(plugin, id, toolkit, directory, config))),
};

/** `Unsupported`: there is no suite for that kind. */
export async function runConformance(kind: string, id: string, subject: ConformanceSubject): Promise<Report> {
  const run = Object.hasOwn(suites, kind) ? suites[kind] : undefined;
  if (run === undefined)
    throw fail("Unsupported", `there is no conformance suite for ${kind}; there is one for ${Object.keys(suites).join(", ")}`);
  return { subject: `${kind}/${id}`, outcomes: await run(id, subject) };
}
