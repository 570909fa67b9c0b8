/** A world with the driver of a plugin, and the sink that its package brings. */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createCall, type HostToolkit, type LogDriver, type LogSender, newContainerId, silentLog } from "@tsbox/kernel";
import type { OpenedPart } from "../plugin-subject.ts";
import type { LogSink, LogWorld } from "./world.ts";

export interface LogSubject {
  /** Opens the driver with its own directory; after a crash again with the same one. */
  open(directory: string, sink: LogSink | null): Promise<OpenedPart<LogDriver>>;
  readonly host: HostToolkit;
  readonly directory: string;
  /** Makes the sink. Left out: rules that need one are skipped. */
  readonly sink?: (() => Promise<LogSink>) | undefined;
}

export async function makeLogWorld({ open, directory, sink: makeSink }: LogSubject): Promise<LogWorld> {
  const base = mkdtempSync(join(directory, "conformance-"));
  const sink = (await makeSink?.()) ?? null;
  const opened = [await open(base, sink)];
  const current = (): LogDriver & LogSender => opened.at(-1)?.value as LogDriver & LogSender;
  let sources = 0;
  return {
    get driver() {
      return current();
    },
    get powers() {
      return current().powers;
    },
    call: createCall(silentLog),
    sink,
    source: (more = {}) => {
      const container = newContainerId();
      sources += 1;
      return {
        container,
        name: `source-${sources}`,
        imageName: "app:1",
        imageId: `sha256:${container}`,
        tag: `tag-${container.slice(0, 12)}`,
        attributes: { "my.label": "a value" },
        options: sink?.options ?? {},
        ...more,
      };
    },
    crash: async () => void opened.push(await open(base, sink)),
    close: async () => {
      for (const each of opened.reverse()) await each.close();
      await sink?.close();
      rmSync(base, { recursive: true, force: true });
    },
  };
}
