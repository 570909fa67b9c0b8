/** `cp`: copies between a container and the user's own files, which the user's own process reads and writes. */
import { statSync } from "node:fs";
import { posix } from "node:path";
import { type ApiService, isTsboxError, type Json } from "@tsbox/kernel";
import { CommandError } from "../command-error.ts";
import * as paths from "../cp/paths.ts";
import type { Parsed } from "../flags.ts";
import type { Command, Io } from "../io.ts";
import { humanSize } from "../table.ts";

interface Stat {
  readonly isDirectory: boolean;
  readonly isLink: boolean;
  readonly isRegular: boolean;
  readonly target: string;
}

/** Bits of Go's os.FileMode. */
const directoryBit = 2 ** 31;
const linkBit = 2 ** 27;
const otherKinds = 2 ** 26 + 2 ** 25 + 2 ** 24 + 2 ** 21;
const has = (mode: number, bit: number): boolean => Math.floor(mode / bit) % 2 === 1;

export const cp: Command = {
  name: "cp",
  usage: "cp [OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\ttsbox cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
  about: "Copy files/folders between a container and the local filesystem",
  aliases: ["container cp"],
  flags: {
    archive: { short: "a", kind: "bool", help: "Archive mode (copy all uid/gid information)" },
    "follow-link": { short: "L", kind: "bool", help: "Always follow symbol link in SRC_PATH" },
    quiet: {
      short: "q",
      kind: "bool",
      help: "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached",
    },
  },
  words: [2, 2],
  local: true,
  async run(io, api, parsed) {
    const [source, destination] = parsed.words.map(paths.sideOf);
    if (source === undefined || destination === undefined || (source.path === "" && source.container !== null))
      throw new CommandError(1, "source can not be empty");
    if (destination.path === "" && destination.container !== null) throw new CommandError(1, "destination can not be empty");
    if (source.container !== null && destination.container !== null)
      throw new CommandError(1, "copying between containers is not supported");
    if (source.container !== null) await fromContainer(io, api, parsed, source.container, source.path, destination.path);
    else if (destination.container !== null) await toContainer(io, api, parsed, destination.container, source.path, destination.path);
    else throw new CommandError(1, "must specify at least one container source");
    return 0;
  },
};

async function look(io: Io, api: ApiService, container: string, path: string): Promise<Stat> {
  const { mode, linkTarget } = (await api.containerPathStat(io.call, container, path)) as Json & { mode: number; linkTarget: string };
  const isDirectory = has(mode, directoryBit);
  const isLink = has(mode, linkBit);
  return { isDirectory, isLink, isRegular: !isDirectory && !isLink && (mode & otherKinds) === 0, target: linkTarget };
}

/** Counts the bytes of a stream. */
class Counter {
  bytes = 0;
  async *count(parts: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const part of parts) {
      this.bytes += part.length;
      yield part;
    }
  }
}

async function fromContainer(
  io: Io,
  api: ApiService,
  parsed: Parsed,
  container: string,
  asked: string,
  destination: string,
): Promise<void> {
  const toStream = destination === "-";
  const to = toStream ? "-" : paths.localPath(destination, io.workingDirectory);
  if (!toStream) validOutput(to);
  else if (io.terminals[1]) throw new CommandError(1, "refusing to copy to a terminal; redirect the output");
  let path = asked;
  let rename: string | null = null;
  if (parsed.bool("follow-link")) {
    const stat = await look(io, api, container, path).catch(notThere);
    if (stat?.isLink) ({ path, rename } = paths.renamed(path, linkTarget(path, stat.target)));
  }
  const { stat, tar } = await api.containerArchive(io.call, container, path);
  if (toStream) {
    for await (const part of tar) await io.out(part);
    return;
  }
  const counter = new Counter();
  const source: paths.Side = { path, exists: true, isDirectory: has(Number(stat.mode), directoryBit), rename };
  const plan = planWith(source, paths.localDestination(to));
  const { extractFiles } = await import("../cp/extract.ts");
  const owners = parsed.bool("archive") && process.geteuid?.() === 0;
  await extractFiles({ tar: counter.count(tar), plan, owners });
  if (!parsed.bool("quiet")) await io.err(`Successfully copied ${humanSize(counter.bytes)} to ${to}\n`);
}

/** The archive's first member has the path's own last name, whatever the copy is called. */
function planWith(source: paths.Side, destination: paths.Side): paths.Plan {
  const plan = paths.plan(source, destination);
  const own = paths.splitPath(source.path).name;
  if (plan.rename !== null) return { ...plan, rename: { from: own, to: plan.rename.to } };
  return source.rename === null ? plan : { ...plan, rename: { from: own, to: source.rename } };
}

function linkTarget(path: string, target: string): string {
  return target.startsWith("/") ? target : posix.join(paths.splitPath(path).directory, target);
}

function validOutput(path: string): void {
  const directory = posix.dirname(posix.normalize(path));
  if (statSync(directory, { throwIfNoEntry: false }) === undefined)
    throw new CommandError(1, `invalid output path: directory "${directory}" does not exist`);
  const stat = statSync(path.replace(/(.)\/$/, "$1"), { throwIfNoEntry: false });
  if (stat !== undefined && !stat.isDirectory() && !stat.isFile())
    throw new CommandError(1, `invalid output path: "${path}" must be a directory or a regular file`);
}

async function toContainer(io: Io, api: ApiService, parsed: Parsed, container: string, asked: string, path: string): Promise<void> {
  const fromStream = asked === "-";
  let shown = path;
  let stat = await look(io, api, container, path).catch(notThere);
  if (stat?.isLink) {
    shown = linkTarget(path, stat.target);
    stat = await look(io, api, container, shown).catch(notThere);
  }
  if (stat && !stat.isDirectory && !stat.isRegular)
    throw new CommandError(1, `destination "${container}:${path}" must be a directory or a regular file`);
  const destination: paths.Side = { path: shown, exists: stat !== null, isDirectory: stat?.isDirectory ?? false, rename: null };
  const options = { noOverwriteDirNonDir: true, copyUIDGID: parsed.bool("archive") };
  if (fromStream) {
    if (!destination.isDirectory) throw new CommandError(1, `destination "${container}:${path}" must be a directory`);
    await api.containerExtract(io.call, container, shown, process.stdin as AsyncIterable<Uint8Array>, options);
    return;
  }
  const source = paths.localSource(paths.localPath(asked, io.workingDirectory), parsed.bool("follow-link"));
  const plan = paths.plan(source, destination);
  const { packFiles, firstName } = await import("../cp/pack.ts");
  const counter = new Counter();
  const name = plan.rename?.to ?? source.rename ?? firstName(source.path);
  await api.containerExtract(io.call, container, plan.directory, counter.count(packFiles(source.path, name)), options);
  if (!parsed.bool("quiet")) await io.err(`Successfully copied ${humanSize(counter.bytes)} to ${container}:${shown}\n`);
}

/** A missing path may be created by the copy. */
function notThere(error: unknown): null {
  if (isTsboxError(error) && (error.code === "NotFound" || error.code === "InvalidArgument") && !/^No such container/.test(error.message))
    return null;
  throw error;
}
