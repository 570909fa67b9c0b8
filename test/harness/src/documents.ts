/**
 * Documents that are generated from the sources: docs/protocol.md from the table of messages, docs/configuration.md from the doc comments
 * of the settings, docs/drivers.md from manifests and reports (driver-document.ts). `node test/harness/src/documents.ts --write` writes
 * them; a test compares them.
 */
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { driversDocument } from "./driver-document.ts";

const root = join(import.meta.dirname, "..", "..", "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");

/** Every generated document and its text. */
export function documents(): ReadonlyMap<string, string> {
  return new Map([
    ["docs/protocol.md", protocol()],
    ["docs/configuration.md", configuration()],
    ["docs/drivers.md", driversDocument()],
  ]);
}

/** Joins the lines of a comment to one paragraph, and replaces rustdoc links by names. */
const paragraph = (lines: readonly string[]): string =>
  lines
    .map((line) => line.trim().replace(/^(\/\/\/?|\/\*\*|\*\/|\*)\s?/, ""))
    .map((line) => line.replace(/\s*\*\/$/, ""))
    .join(" ")
    .trim()
    .replaceAll(/\[`(?:\w+::)*(\w+)`\]/g, "`$1`");

/** Wraps a text to the documents' line length. */
function wrapped(text: string): string {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= 140) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.join("\n");
}

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`).join("\n");

/** The lines of a block of Rust or TypeScript: from the line that matches to the brace that closes it in the same column. */
function block(text: string, start: RegExp): readonly string[] {
  const lines = text.split("\n");
  const first = lines.findIndex((line) => start.test(line));
  if (first < 0) throw new Error(`${start} is not in the source any more`);
  const indent = /^\s*/.exec(lines[first] ?? "")?.[0] ?? "";
  const last = lines.findIndex((line, at) => at > first && line.startsWith(`${indent}}`));
  return lines.slice(first + 1, last);
}

/** The doc comment above a line. */
function docAbove(text: string, start: RegExp): string {
  const lines = text.split("\n");
  let at = lines.findIndex((line) => start.test(line));
  const found: string[] = [];
  while (/^\s*(\/\/\/|#\[)/.test(lines[at - 1] ?? "")) {
    at -= 1;
    if (!/^\s*#\[/.test(lines[at] ?? "")) found.unshift(lines[at] ?? "");
  }
  return paragraph(found);
}

function protocol(): string {
  const [path = ""] = globSync("native/core/src/**/protocol.rs", { cwd: root });
  const source = read(path);
  const number = (name: string): string => new RegExp(`pub const ${name}: u32 = (\\d+)`).exec(source)?.[1] ?? "";
  return `# The protocol

The frames that client, launcher, daemon and shim exchange over unix sockets. This file is generated from \`protocol.rs\` (\`node
test/harness/src/documents.ts --write\`); \`plugins/launcher/src/protocol.ts\` is the same table in TypeScript, and a test compares the two.
\`wire.rs\` implements the format:

    length u32 · channel u32 · kind u8 · descriptors u8 · zero u16 · payload

Numbers are little endian. The length counts only the payload, and is at most 16 MiB. Descriptors travel with the first byte of a frame
(SCM_RIGHTS). The daemon, which is Node, neither sends nor receives descriptors.

Client, launcher and daemon must have the same version (${number("VERSION")}). A process of another version is refused with a message that
says what to do. Shims outlive engines, so an old shim meets a new daemon: the shim reports its version (${number("SHIM")} today) in
\`state\`, and the daemon sends it no message that it does not know. [architecture.md](architecture.md) lists the bounds and deadlines.

## Client and launcher

${constants(source, "client")}

## Launcher and daemon

${constants(source, "daemon")}

## Launcher and shim

${constants(source, "shim")}

### Messages to a shim

\`op\` is the message's name.

${variants(source, "ToShim")}

### Messages of a shim

\`event\` is the message's name.

${variants(source, "FromShim")}
`;
}

/** A module of constants: its doc comment, and a table for each direction, which a plain comment names. */
function constants(source: string, module: string): string {
  const start = new RegExp(`^pub mod ${module} \\{`);
  const parts: string[] = [wrapped(docAbove(source, start))];
  let rows: string[][] = [];
  let doc: string[] = [];
  const end = (): void => {
    if (rows.length > 0) parts.push(table(["kind", "message", "meaning"], rows));
    rows = [];
  };
  for (const line of block(source, start)) {
    const [, name, kind] = /pub const (\w+): u8 = (\d+);/.exec(line) ?? [];
    if (/^\s*\/\/\/ /.test(line)) doc.push(line);
    else if (/^\s*\/\/ /.test(line)) {
      end();
      parts.push(`${paragraph([line]).replace(/\.$/, "")}:`);
    } else if (name !== undefined && kind !== undefined) {
      rows.push([kind, `\`${name}\``, paragraph(doc)]);
      doc = [];
    }
  }
  end();
  return parts.join("\n\n");
}

const kebab = (name: string): string => name.replaceAll(/(?<=[a-z])[A-Z]/g, (letter) => `-${letter}`).toLowerCase();

/** An enum of messages: name, fields, meaning. */
function variants(source: string, name: string): string {
  const rows: string[][] = [];
  let doc: string[] = [];
  for (const line of block(source, new RegExp(`^pub enum ${name} \\{`))) {
    const [, variant] = /^ {4}([A-Z]\w+)/.exec(line) ?? [];
    const [, field] = /^ {8}(\w+): /.exec(line) ?? [];
    if (/^ {4}\/\/\/ /.test(line)) doc.push(line);
    else if (variant !== undefined) {
      const inline = [...line.matchAll(/(\w+): /g)].map(([, one = ""]) => `\`${camel(one)}\``).join(", ");
      rows.push([`\`${kebab(variant)}\``, /\(/.test(line) ? `of \`${variant}\`` : inline, paragraph(doc)]);
      doc = [];
    } else if (field !== undefined) {
      const row = rows.at(-1);
      if (row) row[1] = [row[1], `\`${camel(field)}\``].filter(Boolean).join(", ");
    }
  }
  return table(["message", "fields", "meaning"], rows);
}

const camel = (name: string): string => name.replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase());

/** A TypeScript interface of settings: name, type, doc comment. */
function settings(path: string, name: string): readonly (readonly string[])[] {
  const rows: string[][] = [];
  let doc: string[] = [];
  for (const line of block(read(path), new RegExp(`^(?:export )?interface ${name} \\{`))) {
    const [, key, type] = /^ {2}readonly (\w+)\??: (.*);$/.exec(line) ?? [];
    if (key !== undefined && type !== undefined) {
      if (doc.length === 0) throw new Error(`${path}: ${key} of ${name} has no doc comment`);
      rows.push([
        `\`${key}\``,
        `\`${type.replaceAll("readonly ", "").replaceAll("Readonly<Record<string, ", "{ [key]: ").replaceAll(">>", " }")}\``,
        paragraph(doc),
      ]);
      doc = [];
    } else doc.push(line);
  }
  return rows;
}

/** Packages whose plugin has settings: those with an interface `Config` in their index.ts. */
export const configuredPlugins = (): readonly string[] =>
  globSync(["plugins/*/src/index.ts", "drivers/*/src/index.ts"], { cwd: root })
    .filter((path) => /^interface Config \{/m.test(read(path)))
    .sort();

function configuration(): string {
  const head = ["key", "type", "meaning"];
  const packages = configuredPlugins().map((path) => {
    const { name } = JSON.parse(read(join(path, "..", "..", "package.json"))) as { readonly name: string };
    return `### \`${name}\`\n\n${table(head, settings(path, "Config"))}`;
  });
  return `# Configuration

The settings of an engine. This file is generated from the doc comments of the sources (\`node test/harness/src/documents.ts --write\`).

## The file

\`/etc/tsbox/config.json\`, or the file that \`tsbox daemon --config\` or \`TSBOX_CONFIG\` names. The engine reads it when it starts. Every key is
optional. An unknown key, or a value of the wrong type, prevents the start, with a one-line message that names the key.

    {
      "drivers": { "storage": "overlay", "exec": "native", "network": "bridge" },
      "volume": { "scratch": { "driver": "local" } },
      "plugins": [{ "package": "@tsbox/containers", "config": { "cgroupDriver": "systemd" } }]
    }

${table(head, settings("kernel/src/host/config.ts", "EngineConfig"))}

An entry of \`plugins\` is a package's name, or:

${table(head, settings("kernel/src/host/config.ts", "PluginEntry"))}

A plugin keeps its data in a directory below the root directory, and one below the state directory. A plugin that provides one driver or
service has its name there: \`storage-overlay\`, \`images\`. So its data stays when its package moves or is named in another way. A plugin that
provides several, or none, has the \`name\` of its entry, if that is not the package, or else the name in its package.json, with \`+\` for
\`/\`. Older versions used the entry's name for all; the engine renames such a directory at its start. If both directories have
content, the start fails, and names them.

## Several drivers of one package

The keys \`storage\`, \`exec\`, \`network\`, \`registry\`, \`volume\` and \`log\` add drivers. Each has an id of its own, names an installed driver,
and has its settings beside that:

    { "exec": { "gvisor": { "driver": "oci", "path": "runsc" }, "crun": { "driver": "oci", "path": "crun" } } }

The engine sets up the plugin of \`oci\` once more for each. The new driver is used by its id, as any other: \`run --exec gvisor\`, or
\`"drivers": {"exec": "gvisor"}\`. It shares nothing with the first one: its directories are \`exec-gvisor\`, and what it makes on the host has
names of its own. It is the host's default only if \`drivers\` names it, or if no driver with a rank works. If it is removed from the file,
what belongs to it stays, as with a plugin that is removed. An id has 1 to 63 of \`a-z 0-9 _ . -\`, and begins with a letter or digit.

## Settings of plugins

They belong into \`config\` of the plugin's entry. A plugin that is not listed here has no settings, and refuses them.

${packages.join("\n\n")}

## Environment

${table(
  ["variable", "meaning"],
  [
    [
      "`TSBOX_HOST`",
      "the address to which clients connect, and on which the engine listens: `unix:///PATH`, `tcp://HOST:PORT`, `ssh://HOST`; `-H` and `--host` take precedence",
    ],
    ["`TSBOX_ROOT`", "the root directory, for durable data; default: `/var/lib/tsbox`; `--root` takes precedence"],
    ["`TSBOX_STATE`", "the state directory, for data that a boot clears; default: `/run/tsbox`; `--state` takes precedence"],
    ["`TSBOX_CONFIG`", "the configuration file; `--config` takes precedence"],
    ["`TSBOX_HOME`", "the directory of the engine's own files; default: found from the binary's path"],
    ["`TSBOX_NODE`", "the Node that runs the daemon and the portable CLI"],
    ["`TSBOX_DEBUG`", "any value: the portable CLI prints the stack of an internal error"],
    ["`DOCKER_CONFIG`", "the directory of docker's `config.json`, from which clients read `detachKeys` and the logins"],
  ],
)}

## Options of the daemon

\`tsbox daemon [--root DIR] [--state DIR] [--host unix:///PATH] [--config FILE]\` runs the engine in the foreground; a client starts it in
the background if none listens. \`tsbox daemon stop\` ends it, and containers go on; \`tsbox daemon enable\` makes it a service of systemd,
and \`disable\` removes the service.

A second engine on the same host needs its own root and state directory and its own socket: \`tsbox daemon --root DIR --state DIR --host
unix:///PATH\`, and \`TSBOX_HOST=unix:///PATH\` for its clients.

## Log drivers

The default log driver and its options, Docker's \`log-driver\` and \`log-opts\`:

    {
      "drivers": { "log": "syslog" },
      "plugins": [{ "name": "@tsbox/containers", "config": { "logOptions": { "syslog-address": "udp://logs:514", "tag": "{{.Name}}" } } }]
    }

\`--log-driver\` and \`--log-opt\` choose others for one container. All drivers know \`tag\` (a template of \`{{.ID}}\`, \`{{.FullID}}\`,
\`{{.Name}}\`, \`{{.ImageName}}\`, \`{{.ImageID}}\`, \`{{.ImageFullID}}\`, \`{{.Command}}\`, \`{{.Hostname}}\`, \`{{.DaemonName}}\` and
\`{{index .ContainerLabels "NAME"}}\`), \`labels\`, \`labels-regex\`, \`env\`, \`env-regex\`, \`mode\` and \`max-buffer-size\`. The last two have no
effect: the file that \`logs\` reads is the buffer, and a container never waits for a driver. Drivers that send have \`cache-max-size\`
(default: 20m) and \`cache-max-file\` (5) for that file, and \`cache-disabled\`, with which \`logs\` refuses.

## SELinux

With \`"selinux": true\` containers have the labels of container-selinux's policy, and \`-v …:z\` and \`:Z\` relabel the mounted files. The
engine's own files need \`semanage fcontext -a -e /var/lib/containers /var/lib/tsbox && restorecon -R /var/lib/tsbox\`.
`;
}

if (process.argv.includes("--write")) for (const [path, text] of documents()) writeFileSync(join(root, path), text);
