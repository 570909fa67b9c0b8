/** The contract `HostToolkit` over the native addon. */
import { relative } from "node:path";
import { type Call, type CommandResult, fail, type HostToolkit, type LauncherService } from "@tsbox/kernel";
import type { Binding } from "./binding.ts";
import { createNetwork } from "./network.ts";

/** Detached mounts that are open: path to descriptor. */
export type OpenRoots = Map<string, number>;

export function createToolkit(binding: Binding, roots: OpenRoots, launcher: () => Promise<LauncherService>): HostToolkit {
  return {
    async open(call, mounts) {
      const fd = await binding.call(call, "openMounts", { mounts });
      const root = `/proc/${process.pid}/fd/${fd}`;
      roots.set(root, fd);
      return root;
    },
    async close(_call, root) {
      const fd = roots.get(root);
      if (fd === undefined) throw fail("NotFound", `${root} is no mount that is open: it was closed before, or never opened`);
      roots.delete(root);
      binding.callNow("closeFd", { fd });
    },
    apply: (call, root, layer, options = {}) =>
      binding.call(call, "applyLayer", {
        root,
        layer: layer.path,
        overlay: options.whiteouts === "overlay",
        lowers: options.parents ?? null,
      }),
    diff: (call, lower, upper, into) => binding.call(call, "diffLayers", { lower, upper, into: into.path, mediaType: into.mediaType }),
    diffOverlay: (call, upper, into) => binding.call(call, "diffOverlay", { upper, into: into.path, mediaType: into.mediaType }),
    async copyTree(call, from, to, options = {}) {
      const exclude = (options.exclude ?? []).flatMap((path) => below(from, path) ?? []);
      await binding.call(call, "copyTree", { from, to, exclude });
    },
    copyInto: (call, root, path, to, options = {}) => binding.call(call, "copyInto", { root, path, to, check: options.check ?? false }),
    async emptyTree(call, path) {
      await binding.call(call, "emptyTree", { path });
    },
    async readFile(call, root, path, limit) {
      call.signal.throwIfAborted();
      return binding.readFile(root, path, limit);
    },
    async removeTree(call, path) {
      await binding.call(call, "removeTree", { path });
    },
    usage: (call, path) => binding.call(call, "usage", { path }),
    async sync(call, path) {
      await binding.call(call, "syncTree", { path });
    },
    async compileSeccomp(call, profile) {
      call.signal.throwIfAborted();
      return binding.compileSeccomp(profile);
    },
    run: async (call, command): Promise<CommandResult> => (await launcher()).run(call, command),
    ...createNetwork(binding),
    cgroups: { layout: binding.callNow("cgroupLayout", {}) },
    cgroupPids: async (_call, path) => binding.callNow("cgroupPids", { path }),
    cgroupUsage: async (_call, path) => binding.callNow("cgroupStats", { path }),
    // Lowering a memory limit makes the kernel take memory back, which may last.
    cgroupUpdate: (call, path, resources) => binding.call(call, "cgroupUpdate", { path, resources }),
  };
}

/** `path` as native code compares it: relative to `directory`; null when it lies elsewhere. */
function below(directory: string, path: string): string | null {
  const inside = relative(directory, path);
  return inside === "" || inside.startsWith("..") ? null : inside;
}

export function closeRoots(binding: Binding, roots: OpenRoots, call: Call): void {
  for (const [root, fd] of roots) {
    call.log.warn(`${root} was left open by a plugin`);
    binding.callNow("closeFd", { fd });
  }
  roots.clear();
}
