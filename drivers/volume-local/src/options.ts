/** The options of Docker's `local` driver: what is mounted in the place of a plain directory. */
import { fail, type Strings } from "@tsbox/kernel";

/** Null: a plain directory. */
export type Source = BoundSource | MountedSource | null;
/** A directory of the host. */
export interface BoundSource {
  readonly kind: "bound";
  readonly directory: string;
  /** Options of a mount as the contract has them. */
  readonly options: readonly string[];
}
/** A file system that is mounted while somebody uses it. */
export interface MountedSource {
  readonly kind: "mounted";
  readonly type: string;
  readonly device: string;
  /** As mount(8) takes them, one by one. */
  readonly options: readonly string[];
}

const known: readonly string[] = ["type", "device", "o", "size"];

/** `InvalidArgument` in Docker's words. */
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
