/** A launch as a command line, and its outcome. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Bundle,
  type Call,
  type ErrorCode,
  type ExecDriver,
  errorCodes,
  fail,
  type Launch,
  type Mount,
  supports,
} from "@tsbox/kernel";
import type { Ended } from "./world.ts";

/** The paths of one container's files. */
export interface Place {
  /** The engine's own runtime, and its state directory. */
  readonly runtime: string;
  readonly state: string;
  readonly directory: string;
  /** The directory where its root is mounted, in the launch's own mount namespace. */
  readonly root: string;
}

/** The compiled filter of a spec without a profile. The engine's shim passes it to the runtime, so this code does too. */
const filterAnnotation = "io.tsbox.seccomp-filter";

export function launchWords(launch: Launch, bundle: Bundle, place: Place): readonly string[] {
  if (launch.kind === "oci") {
    const config = join(place.directory, "oci");
    mkdirSync(config);
    const root = { readonly: false, ...(typeof launch.spec.root === "object" ? launch.spec.root : {}), path: place.root };
    writeFileSync(join(config, "config.json"), JSON.stringify({ ...launch.spec, root }));
    const filter = launch.spec.annotations?.[filterAnnotation];
    return inNamespace(
      bundle.rootfs,
      place.root,
      [
        [place.runtime, "--root", place.state, "--log", logOf(place), "--log-format", "json", "run", "--bundle", config],
        filter === undefined ? [] : ["--seccomp-filter", filter],
        [bundle.id],
      ]
        .flat()
        .map(quoted)
        .join(" "),
    );
  }
  // A process that adopts others must be a subreaper, which neither Node nor a shell can be.
  const file = join(place.directory, "launch.json");
  const root = launch.rootfs === null ? [] : bundle.rootfs;
  writeFileSync(file, JSON.stringify({ ...launch, root, terminal: bundle.spec.process.terminal === true }));
  return [place.runtime, "--log", logOf(place), "--log-format", "json", "adopt", file];
}

/** The outcome of the process, or the format's error if it never ran. */
export async function outcomeOf(call: Call, driver: ExecDriver, launch: Launch, place: Place, ended: Ended): Promise<Ended> {
  const failure = runtimeFailure(logOf(place));
  if (failure === null) return ended;
  // The format explains its own commands' failures alone.
  if (
    failure.code !== "Internal" ||
    launch.kind === "oci" ||
    launch.report === null ||
    !existsSync(launch.report) ||
    !supports(driver, "explain")
  )
    throw fail(failure.code, failure.message);
  const explained = await driver.explain(call, launch.report);
  if ("exitCode" in explained) return { ...ended, code: explained.exitCode };
  throw fail(explained.code, explained.message);
}

const logOf = ({ directory }: Place): string => join(directory, "log.json");

/** The runtime writes one JSON object a line. If one of them is an error, it has started nothing. */
function runtimeFailure(log: string): { readonly code: ErrorCode; readonly message: string } | null {
  if (!existsSync(log)) return null;
  for (const line of readFileSync(log, "utf8").split("\n").filter(Boolean)) {
    const entry: { readonly level: string; readonly msg: string; readonly code: unknown } = JSON.parse(line);
    if (entry.level === "error") return { code: errorCodes.find((code) => code === entry.code) ?? "Internal", message: entry.msg };
  }
  return null;
}

/** Like a child of the shim: the host's mount table never changes. */
function inNamespace(mounts: readonly Mount[], root: string, program: string): readonly string[] {
  const lines = mounts.map((mount) => mountWords(mount, root).map(quoted).join(" "));
  return ["unshare", "--mount", "--propagation", "slave", "sh", "-ec", [...lines, program].join("\n")];
}

/** mount(8) of Debian 12 does not support `lowerdir+`, so the lower directories are joined, the topmost first. */
function mountWords({ type, source, target, options }: Mount, root: string): readonly string[] {
  const appended = "lowerdir+=";
  const lowers = options.filter((option) => option.startsWith(appended)).map((option) => option.slice(appended.length));
  const others = options.filter((option) => !option.startsWith(appended));
  const all = lowers.length === 0 ? others : [`lowerdir=${lowers.join(":")}`, ...others];
  const how = type === "bind" ? ["--bind"] : ["-t", type];
  return ["mount", ...how, ...(all.length === 0 ? [] : ["-o", all.join(",")]), source, target === null ? root : join(root, target)];
}

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;
