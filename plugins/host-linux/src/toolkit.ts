/** The contract `HostToolkit` over the native addon. */
import { relative } from "node:path";
import { type Call, type CommandResult, fail, type HostToolkit, type LauncherService, shortSocketPath } from "@tsbox/kernel";
import type { Binding, HeldRoot } from "./binding.ts";
import { createBlock } from "./block.ts";
import { createBtrfs } from "./btrfs.ts";
import { createNetwork } from "./network.ts";
import { streams } from "./streams.ts";

/** Open trees of mounts, by path. */
export type OpenRoots = Map<string, HeldRoot>;

export function createToolkit(binding: Binding, roots: OpenRoots, launcher: () => Promise<LauncherService>): HostToolkit {
  const keep = (held: HeldRoot): string => {
    const root = `/proc/${process.pid}/fd/${held.root}`;
    roots.set(root, held);
    return root;
  };
  return {
    open: async (call, mounts) => keep(await binding.call(call, "openMounts", { mounts })),
    openProcess: async (call, pid, cgroup) => keep(await binding.call(call, "processRoot", { pid, cgroup })),
    async close(_call, root) {
      const held = roots.get(root);
      if (held === undefined) throw fail("NotFound", `${root} is no mount that is open: it was closed before, or never opened`);
      roots.delete(root);
      release(binding, held);
    },
    ...streams(binding),
    apply: (call, root, layer, options = {}) =>
      binding.call(call, "applyLayer", {
        root,
        layer: layer.path,
        growingTo: layer.growingTo ?? null,
        overlay: options.whiteouts === "overlay",
        lowers: options.parents ?? null,
      }),
    diff: (call, lower, upper, into, options = {}) =>
      binding.call(call, "diffLayers", {
        lower,
        upper,
        snapshot: options.snapshot ?? false,
        own: options.own ?? [],
        into: into.path,
        mediaType: into.mediaType,
      }),
    diffOverlay: (call, upper, into, options = {}) =>
      binding.call(call, "diffOverlay", {
        upper,
        since: options.since ?? null,
        own: options.own ?? [],
        into: into.path,
        mediaType: into.mediaType,
      }),
    async copyTree(call, from, to, options = {}) {
      const exclude = (options.exclude ?? []).flatMap((path) => below(from, path) ?? []);
      await binding.call(call, "copyTree", { from, to, exclude });
    },
    copyAttributes: async (call, from, to) => void (await binding.call(call, "copyAttributes", { from, to })),
    copyInto: (call, root, path, to, options = {}) => binding.call(call, "copyInto", { root, path, to, check: options.check ?? false }),
    async emptyTree(call, path) {
      await binding.call(call, "emptyTree", { path });
    },
    async readFile(call, root, path, limit) {
      call.signal.throwIfAborted();
      return binding.readFile(root, path, limit);
    },
    async sendDatagrams(call, path, datagrams, { asFile = false } = {}) {
      call.signal.throwIfAborted();
      const short = shortSocketPath(path);
      try {
        return binding.sendDatagrams(short.path, datagrams, asFile);
      } finally {
        short.release();
      }
    },
    async removeTree(call, path) {
      await binding.call(call, "removeTree", { path });
    },
    usage: (call, path) => binding.call(call, "usage", { path }),
    async sync(call, path) {
      await binding.call(call, "syncTree", { path });
    },
    canLimit: (call, path) => binding.call(call, "quotaWorks", { path }),
    async limitTree(call, paths, bytes) {
      await binding.call(call, "limitTree", { paths, bytes });
    },
    async unlimitTree(call, path) {
      await binding.call(call, "unlimitTree", { path });
    },
    async relabel(call, path, label) {
      await binding.call(call, "relabel", { path, label });
    },
    async compileSeccomp(call, profile) {
      call.signal.throwIfAborted();
      return binding.compileSeccomp(profile);
    },
    run: async (call, command): Promise<CommandResult> => (await launcher()).run(call, command),
    ...createNetwork(binding),
    ...createBtrfs(binding),
    ...createBlock(binding),
    program: binding.program,
    cgroups: { layout: binding.callNow("cgroupLayout", {}) },
    cgroupPids: async (_call, path) => binding.callNow("cgroupPids", { path }),
    cgroupUsage: async (_call, path) => binding.callNow("cgroupStats", { path }),
    // Lowering a memory limit makes the host's kernel reclaim memory, which may take long.
    cgroupUpdate: (call, path, resources) => binding.call(call, "cgroupUpdate", { path, resources }),
  };
}

/** `path` relative to `directory`, the form that native code compares; null: it is not below the directory. */
function below(directory: string, path: string): string | null {
  const inside = relative(directory, path);
  return inside === "" || inside.startsWith("..") ? null : inside;
}

export function closeRoots(binding: Binding, roots: OpenRoots, call: Call): void {
  for (const [root, held] of roots) {
    call.log.warn(`${root} was left open by a plugin`);
    release(binding, held);
  }
  roots.clear();
}

function release(binding: Binding, { root, namespace }: HeldRoot): void {
  binding.callNow("closeFd", { fd: root });
  if (namespace !== null) binding.callNow("closeFd", { fd: namespace });
}
