/** Commands whose archive is a file or stream of the user: export, import, save, load; also commit and diff, which have none. */
import { createWriteStream, rmSync } from "node:fs";
import { rename, stat } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { plainCell } from "@tsbox/kernel";
import { CommandError } from "../command-error.ts";
import { reason } from "../cp/paths.ts";
import type { Parsed } from "../flags.ts";
import type { Command, Io } from "../io.ts";

const output = { short: "o", kind: "text", help: "Write to a file, instead of STDOUT" } as const;
const platform = { kind: "text", value: "string", help: "Only for this platform: OS/ARCH[/VARIANT]" } as const;

/** Writes to the file, which then exists as a whole or not at all, or to standard output. */
async function writeOut(io: Io, path: string | null, bytes: () => Promise<AsyncIterable<Uint8Array>>): Promise<void> {
  if (path === null) {
    if (io.terminals[1]) throw new CommandError(1, "cowardly refusing to save to a terminal. Use the -o flag or redirect");
    for await (const part of await bytes()) await io.out(part);
    return;
  }
  const whole = isAbsolute(path) ? path : join(io.workingDirectory, path);
  const directory = await stat(dirname(whole)).catch(() => null);
  if (!directory?.isDirectory()) throw new CommandError(1, `invalid output path: directory "${dirname(whole)}" does not exist`);
  const existing = await stat(whole).catch(() => null);
  if (existing !== null && !existing.isFile() && !existing.isCharacterDevice())
    throw new CommandError(1, `invalid output path: "${path}" must be a regular file`);
  const source = Readable.from(await bytes(), { objectMode: false });
  // A device is written to, not replaced.
  if (existing?.isCharacterDevice()) return pipeline(source, createWriteStream(whole));
  const temporary = join(dirname(whole), `.tsbox-${process.pid}.tmp`);
  try {
    await pipeline(source, createWriteStream(temporary, { flags: "wx", mode: 0o600 }));
    await rename(temporary, whole);
  } catch (error) {
    rmSync(temporary, { force: true });
    if ((error as NodeJS.ErrnoException).syscall !== undefined) throw new CommandError(1, `${path}: ${reason(error)}`);
    throw error;
  }
}

export const exportCommand: Command = {
  name: "export",
  usage: "export [OPTIONS] CONTAINER",
  about: "Export a container's filesystem as a tar archive",
  aliases: ["container export"],
  flags: { output },
  words: [1, 1],
  local: true,
  async run(io, api, parsed) {
    await writeOut(io, parsed.text("output"), () => api.containerExport(io.call, parsed.words[0] ?? ""));
    return 0;
  },
};

export const save: Command = {
  name: "save",
  usage: "save [OPTIONS] IMAGE [IMAGE...]",
  about: "Save one or more images to a tar archive (streamed to STDOUT by default)",
  aliases: ["image save"],
  flags: {
    output,
    platform,
    materialize: { kind: "bool", help: "Write out the directory of this host that an image of host:/ stands on" },
  },
  words: [1, Number.POSITIVE_INFINITY],
  local: true,
  async run(io, api, parsed) {
    const options = { platform: parsed.text("platform") ?? undefined, materialize: parsed.bool("materialize") };
    await writeOut(io, parsed.text("output"), () => api.imageSave(io.call, parsed.words, options));
    return 0;
  },
};

/** The absolute path of a file; `-` for standard input, which must not be a terminal. */
async function inputOf(io: Io, path: string | null, empty: string): Promise<string> {
  if (path === null || path === "-") {
    if (io.terminals[0]) throw new CommandError(1, empty);
    return "-";
  }
  const whole = isAbsolute(path) ? path : join(io.workingDirectory, path);
  const found = await stat(whole).catch((error: unknown) => {
    throw new CommandError(1, `open ${path}: ${reason(error)}`);
  });
  if (found.isDirectory()) throw new CommandError(1, `open ${path}: is a directory`);
  return whole;
}

export const load: Command = {
  name: "load",
  usage: "load [OPTIONS]",
  about: "Load an image from a tar archive or STDIN",
  aliases: ["image load"],
  flags: {
    input: { short: "i", kind: "text", help: "Read from tar archive file, instead of STDIN" },
    platform,
    quiet: { short: "q", kind: "bool", help: "Suppress the load output" },
  },
  words: [0, 0],
  local: true,
  async run(io, api, parsed) {
    const path = await inputOf(io, parsed.text("input"), "requested load from stdin, but stdin is empty");
    const options = { platform: parsed.text("platform") ?? undefined, quiet: parsed.bool("quiet") };
    for await (const line of await api.imageLoad(io.call, path, options)) {
      if (typeof line.error === "string") throw new CommandError(1, line.error);
      if (typeof line.stream === "string") await io.out(line.stream);
    }
    return 0;
  },
};

const change = { short: "c", kind: "list", help: "Apply Dockerfile instruction to the created image" } as const;

/** Splits `a/b:1` into Docker's two parameters; the engine refuses a digest. */
function named(reference: string | undefined): { readonly repo: string; readonly tag: string } {
  const [, repo = reference ?? "", tag = ""] = /^(.*):([^:/@]+)$/s.exec(reference ?? "") ?? [];
  return { repo, tag };
}

export const importCommand: Command = {
  name: "import",
  usage: "import [OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
  about: "Import the contents from a tarball to create a filesystem image",
  aliases: ["image import"],
  flags: { change, message: { short: "m", kind: "text", help: "Set commit message for imported image" }, platform },
  words: [1, 2],
  local: true,
  async run(io, api, parsed) {
    const [word = "-", reference] = parsed.words;
    const isUrl = /^https?:\/\//.test(word);
    const source = isUrl ? word : await inputOf(io, word, "requested import from stdin, but stdin is empty");
    const options = {
      ...named(reference),
      message: parsed.text("message") ?? undefined,
      platform: parsed.text("platform") ?? undefined,
      changes: parsed.list("change"),
    };
    for await (const line of await api.imageImport(io.call, source, options)) {
      if (typeof line.error === "string") throw new CommandError(1, line.error);
      if (typeof line.status === "string") await io.out(`${line.status}${typeof line.id === "string" ? ` ${line.id}` : ""}\n`);
    }
    return 0;
  },
};

export const commit: Command = {
  name: "commit",
  usage: "commit [OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
  about: "Create a new image from a container's changes",
  aliases: ["container commit"],
  flags: {
    author: { short: "a", kind: "text", help: 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")' },
    change,
    message: { short: "m", kind: "text", help: "Commit message" },
    pause: { short: "p", kind: "bool", help: "Pause container during commit (default true)" },
  },
  words: [1, 2],
  async run(io, api, parsed: Parsed) {
    const { Id } = await api.containerCommit(io.call, parsed.words[0] ?? "", null, {
      ...named(parsed.words[1]),
      author: parsed.text("author") ?? undefined,
      comment: parsed.text("message") ?? undefined,
      pause: !parsed.given("pause") || parsed.bool("pause"),
      changes: parsed.list("change"),
    });
    await io.out(`${Id}\n`);
    return 0;
  },
};

const kinds = ["C", "A", "D"];

export const diff: Command = {
  name: "diff",
  usage: "diff CONTAINER",
  about: "Inspect changes to files or directories on a container's filesystem",
  aliases: ["container diff"],
  flags: { format: { kind: "text", help: "Format output using a custom template: 'json' or a Go template" } },
  words: [1, 1],
  async run(io, api, parsed) {
    const rows = (await api.containerChanges(io.call, parsed.words[0] ?? "")).map(({ Kind, Path }) => ({
      Type: kinds[Number(Kind)] ?? "?",
      Path: String(Path),
    }));
    const format = parsed.text("format");
    if (format === null) await io.out(rows.map(({ Type, Path }) => `${Type} ${plainCell(Path)}\n`).join(""));
    else if (format === "json") await io.out(rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    else {
      const { compileTemplate } = await import("../template.ts");
      const template = compileTemplate(format);
      await io.out(Buffer.from(rows.map((row) => `${template(row)}\n`).join("")));
    }
    return 0;
  },
};
