/** The options of Docker's `local` driver: the file system that is mounted instead of a plain directory. */
import { fail, type Strings } from "@tsbox/kernel";

/** Null: a plain directory. */
export type Source = BoundSource | MountedSource | null;
/** A directory of the host. */
export interface BoundSource {
  readonly kind: "bound";
  readonly directory: string;
  /** Mount options in the contract's form. */
  readonly options: readonly string[];
}
/** A file system that is mounted while the volume is attached. */
export interface MountedSource {
  readonly kind: "mounted";
  readonly type: string;
  readonly device: string;
  /** mount(8)'s options, one by one. */
  readonly options: readonly string[];
}

const known: readonly string[] = ["type", "device", "o", "size"];

/** `InvalidArgument` with Docker's message. */
export function parseOptions(name: string, options: Strings): Source {
  const wrong = (why: string): Error => fail("InvalidArgument", `create ${name}: ${why}`);
  for (const key of Object.keys(options)) if (!known.includes(key)) throw wrong(`invalid option: "${key}"`);
  if (options.size !== undefined) throw wrong("quota size requested but no quota support; leave size out, or use type=tmpfs with o=size=…");
  const { type = "", device = "", o = "" } = options;
  if (type === "" && device === "" && o === "") return null;
  if (device !== "" && type === "") throw wrong('missing required option: "type"');
  if (type !== "" && device === "") throw wrong('missing required option: "device"');
  if (device === "") throw wrong('missing required option: "device"');
  for (const [key, value] of Object.entries({ type, device, o }))
    if (/[\0\n]/.test(value) || value.startsWith("-")) throw wrong(`invalid value for option "${key}"`);
  const words = o.split(",").filter((word) => word !== "");
  const bound = words.find((word) => word === "bind" || word === "rbind");
  if (bound === undefined && type !== "none" && type !== "bind") return { kind: "mounted", type, device, options: words };
  if (!device.startsWith("/")) throw wrong(`a bind needs an absolute path as device, not "${device}"`);
  return { kind: "bound", directory: device, options: [bound ?? "bind", ...words.filter((word) => word !== "bind" && word !== "rbind")] };
}
