/** `tsbox conformance`: runs a kind's suite over a driver, in a separate process and without an engine. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fail, isTsboxError, type Plugin } from "@tsbox/kernel";
import { importPlugin, type LoadedManifest, type PluginEntry, readConfig, readEngineList, readManifest } from "@tsbox/kernel/host";
import { CommandError } from "../command-error.ts";
import type { Command } from "../io.ts";

/** The operator's plugins are found as well as the engine's. */
const operatorConfig = "/etc/tsbox/config.json";

export const conformance: Command = {
  name: "conformance",
  usage: "conformance [OPTIONS] KIND DRIVER",
  about: "Check a driver against the rules of its kind",
  flags: {
    format: { kind: "text", value: "string", help: "Format of the report: tap, junit or json" },
    output: { short: "o", kind: "text", value: "file", help: "Write the report to a file" },
    directory: { kind: "text", value: "path", help: "Where to try the driver: on the file system that it is meant for" },
  },
  words: [2, 2],
  local: true,
  async run(io, _api, parsed) {
    const [kind = "", driver = ""] = parsed.words;
    // Imported only here: the daemon also loads this file, and does not need the suites.
    const suites = await import("@tsbox/conformance");
    const formats = { tap: suites.toTap, junit: suites.toJunit, json: suites.toJson };
    const format = parsed.text("format") ?? "tap";
    if (format !== "tap" && format !== "junit" && format !== "json")
      throw new CommandError(125, `no such format of a report: ${format}; there are tap, junit and json`);
    const found = await findDriver(kind, driver, io.workingDirectory);
    const toolkit = await suites.openToolkit();
    if ("skip" in toolkit) throw new CommandError(1, `nothing can be checked here: ${toolkit.skip}`);
    const directory = mkdtempSync(join(resolve(io.workingDirectory, parsed.text("directory") ?? tmpdir()), "tsbox-conformance-"));
    try {
      const subject = { plugin: found.plugin, config: found.config, toolkit: toolkit.host, directory };
      const report = await suites.runConformance(kind, found.id, subject);
      const text = formats[format](report);
      const output = parsed.text("output");
      const { passed, failed, skipped } = suites.count(report.outcomes);
      if (output === null) await io.out(text);
      else writeFileSync(resolve(io.workingDirectory, output), text);
      await io.err(`${report.subject}: ${passed} passed, ${failed} failed, ${skipped} skipped\n`);
      return failed === 0 && passed > 0 ? 0 : 1;
    } finally {
      await toolkit.close();
      rmSync(directory, { recursive: true, force: true });
    }
  },
};

interface FoundDriver {
  readonly plugin: Plugin;
  readonly id: string;
  readonly config: unknown;
}

/**
 * `word`: the id of a driver in the engine's or the operator's list, the id of a package `tsbox-KIND-ID`, a package's name, or a directory.
 */
async function findDriver(kind: string, word: string, workingDirectory: string): Promise<FoundDriver> {
  const from = [installation(), workingDirectory];
  if (word.includes("/") || word.startsWith(".")) {
    const name = word.startsWith("@") ? word : resolve(workingDirectory, word);
    return opened(kind, await readManifest({ name, package: name, config: undefined }, from));
  }
  for (const entry of await listed()) {
    const manifest = await readManifest(entry, from);
    if (Object.hasOwn(manifest.provides, `${kind}/${word}`))
      return { plugin: await importPlugin(manifest), id: word, config: entry.config };
  }
  const name = word.startsWith(`tsbox-${kind}-`) ? word : `tsbox-${kind}-${word}`;
  return opened(kind, await readManifest({ name, package: name, config: undefined }, from));
}

async function opened(kind: string, manifest: LoadedManifest): Promise<FoundDriver> {
  const [id, ...others] = Object.keys(manifest.provides).flatMap((offer) =>
    offer.startsWith(`${kind}/`) ? [offer.slice(kind.length + 1)] : [],
  );
  const { name, config } = manifest.entry;
  if (id === undefined)
    throw fail("NotFound", `${name} provides no ${kind} driver; it provides ${Object.keys(manifest.provides).join(", ")}`);
  if (others.length > 0)
    throw fail("InvalidArgument", `${name} provides several ${kind} drivers: name one of ${[id, ...others].join(", ")}`);
  return { plugin: await importPlugin(manifest), id, config };
}

/** The operator's entries come first: they may replace the engine's. */
async function listed(): Promise<readonly PluginEntry[]> {
  const engine = await readEngineList(join(installation(), "engine.json"));
  try {
    return [...(await readConfig(operatorConfig)).plugins, ...engine];
  } catch (error) {
    if (isTsboxError(error) && error.code === "NotFound") return engine;
    throw error;
  }
}

/** The directory of engine.json: TSBOX_HOME, or a directory above this file. */
function installation(): string {
  if (process.env.TSBOX_HOME !== undefined) return process.env.TSBOX_HOME;
  let directory = import.meta.dirname;
  while (!existsSync(join(directory, "engine.json"))) {
    if (directory === dirname(directory)) throw fail("NotFound", "no engine.json above the command line's own files; set TSBOX_HOME");
    directory = dirname(directory);
  }
  return directory;
}
