/** `tsbox conformance`: runs a kind's suite over a driver, in a separate process and without an engine. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { LogSink, RegistrySource } from "@tsbox/conformance";
import { asError } from "@tsbox/kernel";
import { CommandError } from "../command-error.ts";
import { findDriver } from "../find-driver.ts";
import type { Command } from "../io.ts";
import { pairsOf } from "./pairs.ts";

export const conformance: Command = {
  name: "conformance",
  usage: "conformance [OPTIONS] KIND DRIVER",
  about: "Check a driver against the rules of its kind",
  flags: {
    format: { kind: "text", value: "string", help: "Format of the report: tap, junit or json" },
    output: { short: "o", kind: "text", value: "file", help: "Write the report to a file" },
    directory: { kind: "text", value: "path", help: "Where to try the driver: on the file system that it is meant for" },
    config: { kind: "text", value: "json", help: "The config of the driver's plugin: JSON, or a file that holds it" },
    opt: { kind: "list", value: "key=value", help: "An option of the networks that the suite makes" },
    performance: { kind: "bool", help: "Measure the driver's verbs as well" },
    package: { kind: "text", value: "name", help: "The package, or its directory, that provides the driver" },
  },
  words: [2, 2],
  local: true,
  async run(io, _api, parsed) {
    const [kind = "", word = ""] = parsed.words;
    // Imported only here: the daemon also loads this file, and does not need the suites.
    const suites = await import("@tsbox/conformance");
    const formats = { tap: suites.toTap, junit: suites.toJunit, json: suites.toJson };
    const format = parsed.text("format") ?? "tap";
    if (format !== "tap" && format !== "junit" && format !== "json")
      throw new CommandError(125, `no such format of a report: ${format}; there are tap, junit and json`);
    const given = parsed.text("config");
    const config = given === null ? undefined : readJson(given, io.workingDirectory);
    const networkOptions = pairsOf(parsed.list("opt"));
    const found = await findDriver(kind, word, parsed.text("package"), io);
    const logSink = typeof found.suites?.sink === "function" ? (found.suites.sink as () => Promise<LogSink>) : undefined;
    const registrySource =
      typeof found.suites?.registry === "function"
        ? (found.suites.registry as (id: string, directory: string) => Promise<RegistrySource>)
        : undefined;
    const leastDisk = typeof found.suites?.leastDisk === "number" ? found.suites.leastDisk : undefined;
    const directory = mkdtempSync(join(resolve(io.workingDirectory, parsed.text("directory") ?? tmpdir()), "tsbox-conformance-"));
    try {
      const suite = await suites.suite({
        kind,
        ...found,
        config: config ?? found.config,
        directory,
        leastDisk,
        networkOptions,
        logSink,
        registrySource,
      });
      const report = await suite.run({ performance: parsed.bool("performance") });
      const text = formats[format](report);
      const output = parsed.text("output");
      const { passed, failed, skipped } = suites.count(report.outcomes);
      if (output === null) await io.out(text);
      else writeFileSync(resolve(io.workingDirectory, output), text);
      await io.err(`${report.subject}: ${passed} passed, ${failed} failed, ${skipped} skipped\n`);
      return failed === 0 && passed > 0 ? 0 : 1;
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
};

/** `given`: JSON, if it begins as an object, else the path of a file. */
function readJson(given: string, workingDirectory: string): unknown {
  const inline = given.trimStart().startsWith("{");
  const path = resolve(workingDirectory, given);
  try {
    return JSON.parse(inline ? given : readFileSync(path, "utf8"));
  } catch (thrown) {
    const why = asError(thrown).message.replaceAll("\n", " ");
    throw new CommandError(125, `--config takes JSON or a file that holds it, and can't read ${inline ? "this" : path}: ${why}`);
  }
}
