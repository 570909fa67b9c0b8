/**
 * Applies CDI's container edits to an OCI spec, as CDI's own library does (pkg/cdi/container-edits.go). Pure, except that it looks up the
 * host's device nodes where an edit leaves out type or numbers.
 */
import { type Stats, statSync } from "node:fs";
import { fail, type OciMount, type OciSpec } from "@tsbox/kernel";
import type { DeviceRule } from "../spec/defaults.ts";
import { numbersOf } from "../spec/devices.ts";
import type { CdiEdits, CdiHook, CdiMount, CdiNode } from "./format.ts";

type Loose = Readonly<Record<string, unknown>>;
interface Node extends Loose {
  readonly path: string;
}

export function edited(spec: OciSpec, all: readonly CdiEdits[]): OciSpec {
  return all.reduce(apply, spec);
}

function apply(spec: OciSpec, edits: CdiEdits): OciSpec {
  const user = (spec.process.user ?? {}) as { readonly uid?: number; readonly gid?: number; readonly additionalGids?: readonly number[] };
  const linux = (spec.linux ?? {}) as Loose;
  const resources = (linux.resources ?? {}) as Loose;
  const nodes = edits.deviceNodes.map((node) => deviceOf(node, user));
  return {
    ...spec,
    process: {
      ...spec.process,
      env: withPairs(spec.process.env ?? [], edits.env),
      user: { ...user, additionalGids: [...new Set([...(user.additionalGids ?? []), ...edits.additionalGids.filter((gid) => gid !== 0)])] },
    },
    mounts: withMounts(spec.mounts ?? [], edits.mounts),
    ...(edits.hooks.length > 0 ? { hooks: withHooks((spec.hooks ?? {}) as Hooks, edits.hooks) } : {}),
    linux: {
      ...linux,
      devices: withNodes(
        (linux.devices ?? []) as readonly Node[],
        nodes.map(({ node }) => node),
      ),
      resources: {
        ...resources,
        devices: [...((resources.devices ?? []) as readonly DeviceRule[]), ...nodes.flatMap(({ rules }) => rules)],
      },
    },
  } as OciSpec;
}

/** A variable that is set again replaces the earlier one. */
function withPairs(old: readonly string[], more: readonly string[]): readonly string[] {
  const name = (pair: string): string => pair.split("=", 1)[0] ?? "";
  const named = new Set(more.map(name));
  return [...old.filter((pair) => !named.has(name(pair))), ...more];
}

/** Type and numbers are those of the host's node if the edit gives none. The owner is the container's user if the edit gives none. */
function deviceOf(
  node: CdiNode,
  user: { readonly uid?: number; readonly gid?: number },
): { readonly node: Node; readonly rules: readonly DeviceRule[] } {
  const { path, permissions } = node;
  const known = node.type !== null && (node.type === "p" || (node.major ?? 0) !== 0 || (node.minor ?? 0) !== 0);
  const { type, major, minor } = known ? { type: node.type, major: node.major ?? 0, minor: node.minor ?? 0 } : hostNode(node);
  const shown = {
    path,
    type,
    ...(type === "p" ? {} : { major, minor }),
    fileMode: node.fileMode ?? 0o666,
    uid: node.uid ?? user.uid ?? 0,
    gid: node.gid ?? user.gid ?? 0,
    ...(node.hostPath === path ? {} : { hostPath: node.hostPath }),
  };
  const rules = type === "b" || type === "c" ? [{ allow: true, type, major, minor, access: permissions } satisfies DeviceRule] : [];
  return { node: shown, rules };
}

function hostNode({ path, hostPath, type: wanted }: CdiNode): {
  readonly type: CdiNode["type"];
  readonly major: number;
  readonly minor: number;
} {
  const stat: Stats | undefined = statSync(hostPath, { throwIfNoEntry: false });
  const type = stat?.isCharacterDevice() ? "c" : stat?.isBlockDevice() ? "b" : stat?.isFIFO() ? "p" : null;
  if (stat === undefined || type === null || (wanted !== null && wanted !== type && !(wanted === "u" && type === "c")))
    throw fail("InvalidArgument", `CDI device injection failed: ${hostPath} is no such device of this host (for ${path})`);
  return { type, ...numbersOf(stat) };
}

function withNodes(old: readonly Node[], more: readonly Node[]): readonly Node[] {
  const named = new Set(more.map(({ path }) => path));
  return [...old.filter(({ path }) => !named.has(path)), ...more];
}

/** A mount replaces an earlier one at the same destination. Mounts are sorted by depth, so that parents come first. */
function withMounts(old: readonly OciMount[], more: readonly CdiMount[]): readonly OciMount[] {
  if (more.length === 0) return old;
  const added = more.map(({ hostPath, containerPath, type, options }): OciMount => {
    const bind = options.some((option) => option === "bind" || option === "rbind");
    return {
      destination: containerPath,
      source: hostPath,
      type: type ?? "bind",
      options: type === null && !bind ? ["rbind", ...options] : options,
    };
  });
  const named = new Set(added.map(({ destination }) => destination));
  const depth = (mount: OciMount): number => mount.destination.split("/").filter(Boolean).length;
  return [...old.filter(({ destination }) => !named.has(destination)), ...added].sort((a, b) => depth(a) - depth(b));
}

type Hooks = Readonly<Record<string, readonly Loose[]>>;

function withHooks(old: Hooks, more: readonly CdiHook[]): Hooks {
  const hooks: Record<string, readonly Loose[]> = { ...old };
  for (const { hookName, path, args, env, timeout } of more)
    hooks[hookName] = [...(hooks[hookName] ?? []), { path, args, env, ...(timeout === null ? {} : { timeout }) }];
  return hooks;
}
