/** `-v`, `--mount`, `--tmpfs` and `--volumes-from` in docker's syntax, converted to the API's form. */
import { resolve } from "node:path";
import type { Json } from "@tsbox/kernel";
import { CommandError } from "./command-error.ts";
import type { FlagSpecs, Parsed } from "./flags.ts";
import { bytes } from "./units.ts";

export const mountFlags: FlagSpecs = {
  volume: { short: "v", kind: "list", help: "Bind mount a volume: [SOURCE:]TARGET[:OPTIONS]; a SOURCE that is no path is a volume's name" },
  mount: {
    kind: "list",
    value: "mount",
    help: "Attach a filesystem mount to the container: type=bind|volume|tmpfs|image,source=…,target=…",
  },
  tmpfs: { kind: "list", help: "Mount a tmpfs directory: TARGET[:OPTIONS]" },
  "volumes-from": { kind: "list", help: "Mount volumes from the specified container(s): CONTAINER[:ro]" },
  "volume-driver": { kind: "text", help: "Optional volume driver for the container" },
};

/** Parts of the create body; the caller merges `HostConfig`. */
export function mountBody(parsed: Parsed, workingDirectory: string): { readonly Volumes: Json; readonly HostConfig: Json } {
  const volumes = parsed.list("volume");
  return {
    Volumes: Object.fromEntries(volumes.filter((word) => !word.includes(":")).map((target) => [target, {}])),
    HostConfig: {
      Binds: volumes.filter((word) => word.includes(":")).map((word) => bindOf(word, workingDirectory)),
      Mounts: parsed.list("mount").map((text) => parseMount(text, workingDirectory)),
      Tmpfs: Object.fromEntries(
        parsed.list("tmpfs").map((entry) => {
          const at = entry.indexOf(":");
          return at < 0 ? [entry, ""] : [entry.slice(0, at), entry.slice(at + 1)];
        }),
      ),
      VolumesFrom: parsed.list("volumes-from"),
      ...(parsed.text("volume-driver") === null ? {} : { VolumeDriver: parsed.text("volume-driver") }),
    },
  };
}

/** As in docker: a source that begins with a dot is relative to the user's working directory. */
function bindOf(word: string, workingDirectory: string): string {
  const at = word.indexOf(":");
  const source = word.slice(0, at);
  return /^\.\.?(\/|$)/.test(source) ? `${resolve(workingDirectory, source)}${word.slice(at)}` : word;
}

/** The fields of one line of CSV: a field in double quotes may contain commas, and "" for a quote. */
function csv(text: string): readonly string[] {
  const fields: string[] = [];
  let field = "";
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const letter = text[at] ?? "";
    if (quoted && letter === '"' && text[at + 1] === '"') {
      field += '"';
      at += 1;
    } else if (letter === '"' && (quoted || field === "")) quoted = !quoted;
    else if (letter === "," && !quoted) {
      fields.push(field);
      field = "";
    } else field += letter;
  }
  return [...fields, field];
}

interface Draft {
  type: string;
  source: string;
  target: string;
  readOnly: boolean;
  readonly bind: Record<string, unknown>;
  readonly volume: Record<string, unknown>;
  readonly labels: Record<string, string>;
  readonly driverOptions: Record<string, string>;
  driver: string;
  readonly tmpfs: Record<string, unknown>;
  readonly image: Record<string, unknown>;
  /** `bind-recursive`, which also decides how deep read-only goes. */
  recursive: string;
}

export function parseMount(text: string, workingDirectory: string): Json {
  const wrong = (why: string): CommandError => new CommandError(125, `invalid argument ${JSON.stringify(text)} for "--mount" flag: ${why}`);
  if (text.trim() === "") throw wrong("value is empty");
  const draft: Draft = {
    type: "volume",
    source: "",
    target: "",
    readOnly: false,
    bind: {},
    volume: {},
    labels: {},
    driverOptions: {},
    driver: "",
    tmpfs: {},
    image: {},
    recursive: "",
  };
  for (const field of csv(text)) take(draft, field, wrong);
  if (draft.type === "") throw wrong("type is required");
  if (draft.target === "") throw wrong("target is required");
  return finish(draft, workingDirectory, wrong);
}

function take(draft: Draft, field: string, wrong: (why: string) => CommandError): void {
  const at = field.indexOf("=");
  const key = (at < 0 ? field : field.slice(0, at)).toLowerCase();
  const value = at < 0 ? null : field.slice(at + 1);
  const bare = ["readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-mountpoint"].includes(key);
  if (value === null && !bare) throw wrong(`invalid field '${field}' must be a key=value pair`);
  const word = value ?? "";
  const truth = (): boolean => {
    if (value === null || ["1", "true", "t", "T", "TRUE", "True"].includes(value)) return true;
    if (["0", "false", "f", "F", "FALSE", "False"].includes(value)) return false;
    throw wrong(`invalid value for ${key}: ${value}`);
  };
  const pair = (into: Record<string, string>): void => {
    const middle = word.indexOf("=");
    into[middle < 0 ? word : word.slice(0, middle)] = middle < 0 ? "" : word.slice(middle + 1);
  };
  switch (key) {
    case "type":
      draft.type = word.toLowerCase();
      break;
    case "source":
    case "src":
      draft.source = word;
      break;
    case "target":
    case "dst":
    case "destination":
      draft.target = word;
      break;
    case "readonly":
    case "ro":
      draft.readOnly = truth();
      break;
    case "consistency":
      break;
    case "bind-propagation":
      draft.bind.Propagation = word.toLowerCase();
      break;
    case "bind-nonrecursive":
      draft.bind.NonRecursive = truth();
      break;
    case "bind-create-mountpoint":
      draft.bind.CreateMountpoint = truth();
      break;
    case "bind-recursive":
      draft.recursive = word;
      takeRecursive(draft, word, wrong);
      break;
    case "volume-nocopy":
      draft.volume.NoCopy = truth();
      break;
    case "volume-subpath":
      draft.volume.Subpath = word;
      break;
    case "volume-label":
      pair(draft.labels);
      break;
    case "volume-driver":
      draft.driver = word;
      break;
    case "volume-opt":
      pair(draft.driverOptions);
      break;
    case "image-subpath":
      draft.image.Subpath = word;
      break;
    case "tmpfs-size":
      draft.tmpfs.SizeBytes = bytes("mount", word);
      break;
    case "tmpfs-mode":
      if (!/^0?[0-7]{1,4}$/.test(word)) throw wrong(`invalid value for ${key}: ${word}`);
      draft.tmpfs.Mode = Number.parseInt(word, 8);
      break;
    case "tmpfs-options":
      draft.tmpfs.Options = word.split(";").map((option) => [option]);
      break;
    default:
      throw wrong(`unexpected key '${key}' in '${field}'`);
  }
}

function takeRecursive(draft: Draft, word: string, wrong: (why: string) => CommandError): void {
  if (word === "disabled") draft.bind.NonRecursive = true;
  else if (word === "writable") draft.bind.ReadOnlyNonRecursive = true;
  else if (word === "readonly") draft.bind.ReadOnlyForceRecursive = true;
  else if (word !== "enabled")
    throw wrong(`invalid value for bind-recursive: ${word} (must be "enabled", "disabled", "writable", or "readonly")`);
}

const families = [
  ["bind", "bind"],
  ["volume", "volume"],
  ["tmpfs", "tmpfs"],
  ["image", "image"],
] as const;

function finish(draft: Draft, workingDirectory: string, wrong: (why: string) => CommandError): Json {
  const { type, target, readOnly } = draft;
  const driverConfig = draft.driver !== "" || Object.keys(draft.driverOptions).length > 0;
  const volume = {
    ...draft.volume,
    ...(Object.keys(draft.labels).length > 0 ? { Labels: draft.labels } : {}),
    ...(driverConfig ? { DriverConfig: { Name: draft.driver, Options: draft.driverOptions } } : {}),
  };
  const options = { bind: draft.bind, volume, tmpfs: draft.tmpfs, image: draft.image };
  for (const [family, owner] of families)
    if (type !== owner && Object.keys(options[family]).length > 0)
      throw wrong(`cannot mix '${family}-*' options with mount type '${type}'`);
  if (draft.recursive === "writable" && !readOnly)
    throw wrong("option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction");
  if (draft.recursive === "readonly") {
    if (!readOnly) throw wrong("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction");
    if (draft.bind.Propagation !== "rprivate")
      throw wrong("option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction");
  }
  const source = type === "bind" && /^\.\.?(\/|$)/.test(draft.source) ? resolve(workingDirectory, draft.source) : draft.source;
  const own = families.find(([, owner]) => owner === type);
  const given = own === undefined ? {} : options[own[0]];
  const heads = { bind: "BindOptions", volume: "VolumeOptions", tmpfs: "TmpfsOptions", image: "ImageOptions" };
  return {
    Type: type,
    ...(source === "" ? {} : { Source: source }),
    Target: target,
    ...(readOnly ? { ReadOnly: true } : {}),
    ...(own !== undefined && Object.keys(given).length > 0 ? { [heads[own[0]]]: given } : {}),
  };
}
