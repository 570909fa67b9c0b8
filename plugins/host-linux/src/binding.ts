/**
 * The native addon with TypeScript's types. Only this file sees the addon: requests and answers are JSON text, and a failure becomes the
 * kernel's error.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import {
  type Call,
  type CgroupUsage,
  type Change,
  type ErrorCode,
  type ErrorFields,
  errorCodes,
  type FirewallElement,
  type FirewallSet,
  type FirewallStep,
  fail,
  type HostBridge,
  type HostLink,
  type HostMacvlan,
  type HostVeth,
  type HostVlan,
  type IdMaps,
  type Layer,
  type LoopDevice,
  type MappedDevice,
  type MapperRow,
  type Mount,
  type OciResources,
  type PathStat,
  type PortReservation,
  type Subvolume,
  type TsboxError,
  type Usage,
} from "@tsbox/kernel";

/** The exports of native/node/src/lib.rs. */
interface Addon {
  readonly Cancel: new () => NativeCancel;
  call(request: string, cancel: NativeCancel): Promise<string>;
  callNow(request: string): string;
  compileSeccomp(profile: string): Uint8Array | string;
  readFile(root: string, path: string, limit: number): Uint8Array | string;
  sendDatagrams(path: string, bytes: Uint8Array, lengths: readonly number[], asFile: boolean): number | string;
}
interface NativeCancel {
  cancel(): void;
}

/** Descriptors of an opened tree of mounts, and of the namespace that holds it. */
export interface HeldRoot {
  readonly root: number;
  readonly namespace: number | null;
}

/** The verbs of native/node/src/request.rs: the arguments and the answer of each. */
export interface Verbs {
  openMounts: { takes: { readonly mounts: readonly Mount[] }; answers: HeldRoot };
  processRoot: { takes: { readonly pid: number; readonly cgroup: string }; answers: HeldRoot };
  pipe: { takes: Record<never, never>; answers: { readonly read: number; readonly write: number } };
  find: { takes: { readonly root: string; readonly path: string }; answers: PathStat };
  /** Owns `out` and closes it. */
  pack: {
    takes: {
      readonly root: string;
      readonly path: string;
      readonly name: string | null;
      readonly across: boolean;
      readonly maps: IdMaps | null;
      readonly out: number;
    };
    answers: null;
  };
  /** Owns `from` and closes it. */
  extract: {
    takes: {
      readonly root: string;
      readonly into: string;
      readonly keepKinds: boolean;
      readonly owner: readonly [number, number] | null;
      readonly maps: IdMaps | null;
      readonly from: number;
    };
    answers: null;
  };
  differences: {
    takes: {
      readonly lower: string | null;
      readonly upper: string;
      readonly overlay: boolean;
      readonly since: string | null;
      readonly snapshot: boolean;
      readonly own: readonly string[];
    };
    answers: readonly Change[];
  };
  closeFd: { takes: { readonly fd: number }; answers: null };
  applyLayer: {
    takes: {
      readonly root: string;
      readonly layer: string;
      readonly growingTo: number | null;
      readonly overlay: boolean;
      readonly lowers: readonly string[] | null;
    };
    answers: Layer;
  };
  diffLayers: {
    takes: {
      readonly lower: string | null;
      readonly upper: string;
      readonly snapshot: boolean;
      readonly own: readonly string[];
      readonly into: string;
      readonly mediaType: string;
    };
    answers: Layer;
  };
  diffOverlay: {
    takes: {
      readonly upper: string;
      readonly since: string | null;
      readonly own: readonly string[];
      readonly into: string;
      readonly mediaType: string;
    };
    answers: Layer;
  };
  copyTree: { takes: { readonly from: string; readonly to: string; readonly exclude: readonly string[] }; answers: null };
  copyAttributes: { takes: { readonly from: string; readonly to: string }; answers: null };
  copyInto: {
    takes: { readonly root: string; readonly path: string; readonly to: string; readonly check: boolean };
    answers: "nothing" | "owner" | "content";
  };
  emptyTree: { takes: { readonly path: string }; answers: null };
  removeTree: { takes: { readonly path: string }; answers: null };
  usage: { takes: { readonly path: string }; answers: Usage };
  syncTree: { takes: { readonly path: string }; answers: null };
  quotaWorks: { takes: { readonly path: string }; answers: boolean };
  limitTree: { takes: { readonly paths: readonly string[]; readonly bytes: number }; answers: null };
  unlimitTree: { takes: { readonly path: string }; answers: null };
  relabel: { takes: { readonly path: string; readonly label: string }; answers: null };
  createSubvolume: { takes: { readonly path: string }; answers: null };
  snapshotSubvolume: { takes: { readonly from: string; readonly to: string; readonly readOnly: boolean }; answers: null };
  describeSubvolume: { takes: { readonly path: string }; answers: Subvolume };
  setSubvolumeReadOnly: { takes: { readonly path: string; readonly readOnly: boolean }; answers: null };
  listSubvolumes: { takes: { readonly path: string; readonly most: number }; answers: readonly number[] };
  removeSubvolumes: { takes: { readonly path: string; readonly ids: readonly number[] }; answers: null };
  awaitSubvolumes: { takes: { readonly path: string; readonly ids: readonly number[]; readonly seconds: number }; answers: null };
  flattenSubvolume: { takes: { readonly path: string }; answers: null };
  subvolumeUsage: { takes: { readonly path: string }; answers: Usage };
  subvolumeQuotas: { takes: { readonly path: string }; answers: "off" | "simple" | "full" };
  enableSubvolumeQuotas: { takes: { readonly path: string }; answers: null };
  limitSubvolume: { takes: { readonly path: string; readonly bytes: number | null }; answers: null };
  removeQuotaGroups: { takes: { readonly path: string; readonly ids: readonly number[] }; answers: readonly number[] };
  mapperTargets: { takes: Record<never, never>; answers: readonly string[] };
  mapDevice: { takes: { readonly name: string; readonly row: MapperRow; readonly readOnly: boolean }; answers: string };
  reloadDevice: { takes: { readonly name: string; readonly row: MapperRow }; answers: null };
  resumeDevice: { takes: { readonly name: string }; answers: null };
  unmapDevice: { takes: { readonly name: string }; answers: "gone" | "later" };
  messageDevice: { takes: { readonly name: string; readonly message: string; readonly suspended: string | null }; answers: null };
  mappedDevice: { takes: { readonly name: string }; answers: MappedDevice | null };
  mappedDevices: { takes: { readonly prefix: string }; answers: readonly string[] };
  attachLoop: { takes: { readonly file: string }; answers: LoopDevice };
  discardDevice: { takes: { readonly path: string }; answers: null };
  growFileSystem: { takes: { readonly root: string; readonly bytes: number }; answers: null };
  limitGrowth: { takes: { readonly root: string; readonly bytes: number }; answers: number };
  projectUsage: { takes: { readonly root: string }; answers: Usage };
  probeNetwork: { takes: Record<never, never>; answers: null };
  ensureBridge: { takes: { readonly bridge: HostBridge }; answers: null };
  attachVeth: { takes: { readonly veth: HostVeth }; answers: { readonly mac: string } };
  attachMacvlan: { takes: { readonly macvlan: HostMacvlan }; answers: { readonly mac: string } };
  makeVlan: { takes: { readonly vlan: HostVlan }; answers: null };
  attachLoopback: { takes: { readonly netns: string }; answers: null };
  links: { takes: { readonly prefix: string }; answers: readonly HostLink[] };
  removeLink: { takes: { readonly name: string; readonly netns: string | null }; answers: null };
  routes: { takes: Record<never, never>; answers: readonly { readonly to: string; readonly interface: number | null }[] };
  firewall: { takes: { readonly steps: readonly FirewallStep[] }; answers: null };
  firewallElements: { takes: { readonly table: string; readonly set: FirewallSet }; answers: readonly FirewallElement[] };
  firewallTables: { takes: { readonly prefix: string }; answers: readonly string[] };
  reservePort: { takes: { readonly protocol: string; readonly address: string; readonly port: number }; answers: PortReservation };
  cgroupPids: { takes: { readonly path: string }; answers: readonly number[] };
  cgroupStats: { takes: { readonly path: string }; answers: CgroupUsage };
  cgroupUpdate: { takes: { readonly path: string; readonly resources: OciResources }; answers: readonly string[] };
  cgroupLayout: { takes: Record<never, never>; answers: "v1" | "hybrid" | "v2" };
}

export interface Binding {
  /** Runs on its own thread. When the call is canceled, it stops between two files and then answers. */
  call<V extends keyof Verbs>(call: Call, verb: V, request: Verbs[V]["takes"]): Promise<Verbs[V]["answers"]>;
  /** Runs at once, on this thread. */
  callNow<V extends keyof Verbs>(verb: V, request: Verbs[V]["takes"]): Verbs[V]["answers"];
  compileSeccomp(profile: string): Uint8Array;
  readFile(root: string, path: string, limit: number): Uint8Array;
  sendDatagrams(path: string, datagrams: readonly Uint8Array[], asFile: boolean): number;
  /** The path of the native program. */
  readonly program: string;
}

/** `Unavailable`: the addon has not been built. */
export function loadBinding(): Binding {
  const addon = loadAddon();
  return {
    async call(call, verb, request) {
      call.signal.throwIfAborted();
      const cancel = new addon.Cancel();
      const abort = (): void => cancel.cancel();
      call.signal.addEventListener("abort", abort, { once: true });
      try {
        return unwrap(await addon.call(JSON.stringify({ call: verb, ...request }), cancel));
      } catch (error) {
        // The reason of the cancel says more than the error of the canceled work.
        call.signal.throwIfAborted();
        throw error;
      } finally {
        call.signal.removeEventListener("abort", abort);
      }
    },
    callNow: (verb, request) => unwrap(addon.callNow(JSON.stringify({ call: verb, ...request }))),
    compileSeccomp: (profile) => bytes(addon.compileSeccomp(profile)),
    readFile: (root, path, limit) => bytes(addon.readFile(root, path, limit)),
    sendDatagrams(path, datagrams, asFile) {
      const lengths = datagrams.map(({ length }) => length);
      const sent = addon.sendDatagrams(path, Buffer.concat(datagrams), lengths, asFile);
      return typeof sent === "number" ? sent : unwrap(sent);
    },
    program: nativeProgram(),
  };
}

/** Beside the addon: `build/bin/tsbox`, or `bin/tsbox` of the package with the prebuilt ones. */
function nativeProgram(): string {
  const addon = builtAddon() ?? createRequire(import.meta.url).resolve("@tsbox/native");
  return join(dirname(addon), "bin", "tsbox");
}

/** The addon that was built in the source tree, or the package with the prebuilt ones. */
function loadAddon(): Addon {
  const require = createRequire(import.meta.url);
  const built = builtAddon();
  try {
    return require(built ?? "@tsbox/native");
  } catch (error) {
    const cure = built === null ? "build it with scripts/build-addon, or install @tsbox/native" : "build it again with scripts/build-addon";
    throw fail(
      "Unavailable",
      `the native addon can't be loaded: ${error instanceof Error ? error.message.split("\n")[0] : error}; ${cure}`,
      {
        cause: error,
      },
    );
  }
}

/** The path of `build/tsbox.node` in the repository of this file, whether it runs as source or from dist. */
function builtAddon(): string | null {
  for (let directory = import.meta.dirname; directory !== dirname(directory); directory = dirname(directory)) {
    const path = join(directory, "build", "tsbox.node");
    if (existsSync(path)) return path;
  }
  return null;
}

type Answer<T> = { readonly ok: T } | { readonly failure: Failure };
interface Failure extends Pick<ErrorFields, "syscall" | "errno" | "path" | "stage"> {
  readonly code: ErrorCode;
  readonly message: string;
}

function unwrap<T>(text: string): T {
  const answer: Answer<T> = JSON.parse(text);
  if ("ok" in answer) return answer.ok;
  throw failed(answer.failure);
}

function bytes(answer: Uint8Array | string): Uint8Array {
  return typeof answer === "string" ? unwrap(answer) : answer;
}

function failed({ code, message, ...fields }: Failure): TsboxError {
  return fail(errorCodes.includes(code) ? code : "Internal", message, fields);
}
