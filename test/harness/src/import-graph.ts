/**
 * The import graph of the tree, in TypeScript and in Rust, read from the sources' text. For the test of the structure
 * (test/imports.test.ts).
 */
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

/** Each file's imports; paths from the root. */
export type Graph = ReadonlyMap<string, ReadonlySet<string>>;

export interface TypeScriptImports {
  /** Between files, by relative paths. Imports of types count. */
  readonly files: Graph;
  /** Names of packages and of Node's modules, by the file that imports them. */
  readonly packages: Graph;
}

/** `import … from "x"` and `export … from "x"`, `import "x"`, `import("x")`. */
const importing = /^(?:import|export)\b[^;]*?\bfrom "([^"\n]+)";$|^import "([^"\n]+)";$|\bimport\("([^"\n]+)"\)/gm;

/** `patterns`: globs from `root`. */
export function typescriptImports(root: string, patterns: readonly string[]): TypeScriptImports {
  const files = new Map<string, Set<string>>();
  const packages = new Map<string, Set<string>>();
  for (const path of globSync(patterns as string[], { cwd: root, exclude: (one) => one.includes("node_modules") })) {
    const [near, far] = [new Set<string>(), new Set<string>()];
    for (const [, statement, bare, call] of readFileSync(join(root, path), "utf8").matchAll(importing)) {
      const name = statement ?? bare ?? call;
      if (name === undefined) continue;
      if (!name.startsWith(".")) far.add(name);
      else if (existsSync(join(root, dirname(path), name))) near.add(relative(root, join(root, dirname(path), name)));
    }
    files.set(path, near);
    packages.set(path, far);
  }
  return { files, packages };
}

/** `crate::a::b`, `super::super::{a, b::c}`; and `tsbox_core::a::b`. */
const within = /\b(crate|super|self)::((?:super::)*)([\w:]*(?:\{[^;]*?\})?)/g;
const across = /\btsbox_(\w+)::([\w:]*(?:\{[^;]*?\})?)/g;

/** Modules of the crates in `native/`, within a crate and between crates. Imports that only tests use do not count. */
export function rustImports(root: string): Graph {
  const modules = new Map<string, string>();
  for (const path of globSync("native/*/src/**/*.rs", { cwd: root })) modules.set(moduleOf(path), path);
  const graph = new Map<string, Set<string>>();
  for (const [name, path] of modules) {
    const [crate = "", ...here] = name.split("::");
    const source =
      readFileSync(join(root, path), "utf8")
        .replace(/\/\/[^\n]*/g, "")
        .split("#[cfg(test)]")[0] ?? "";
    const found = new Set<string>();
    const add = (from: string, parent: readonly string[], text: string): void => {
      for (const words of paths(text)) {
        const target = owner(modules, from, [...parent, ...words]);
        if (target !== undefined && target !== path) found.add(target);
      }
    };
    for (const [, start, ups = "", rest = ""] of source.matchAll(within)) {
      const base = start === "crate" ? [] : start === "super" ? here.slice(0, -1) : here;
      add(crate, base.slice(0, Math.max(0, base.length - ups.split("super").length + 1)), rest);
    }
    for (const [, other = "", rest = ""] of source.matchAll(across)) add(other, [], rest);
    graph.set(path, found);
  }
  return graph;
}

/** `native/core/src/net/mod.rs` is `core::net`; a crate's root has only the crate's name. */
function moduleOf(path: string): string {
  const [, crate = "", , ...rest] = path.replace(/\.rs$/, "").split("/");
  const last = rest.at(-1);
  const words = last === "mod" || (rest.length === 1 && (last === "lib" || last === "main")) ? rest.slice(0, -1) : rest;
  return [crate, ...words].join("::");
}

/** `net::{self, firewall::{Set, Step}}` names three paths. */
function paths(text: string): readonly (readonly string[])[] {
  const open = text.indexOf("{");
  if (open < 0) return [text.split("::").filter(Boolean)];
  const head = text.slice(0, open).split("::").filter(Boolean);
  const inside = text.slice(open + 1, text.lastIndexOf("}"));
  const parts = inside.split(/,(?![^{]*\})/).map((part) => (part.trim().split(" as ")[0] ?? "").trim());
  return parts.filter(Boolean).flatMap((part) => paths(part === "self" ? "" : part).map((words) => [...head, ...words]));
}

/** The file of the module to which a path leads: the longest prefix that is a module. */
function owner(modules: ReadonlyMap<string, string>, crate: string, words: readonly string[]): string | undefined {
  for (let length = words.length; length >= 0; length -= 1) {
    const path = modules.get([crate, ...words.slice(0, length)].join("::"));
    if (path !== undefined) return path;
  }
  return undefined;
}

/**
 * Files by the layer that they belong to, the lowest first. A layer is one folder or file, or several next to each other. An entry that
 * ends in `/` is a folder, any other is a file's path.
 */
export type Layers = readonly (readonly string[])[];

/** Imports from a layer into a higher one or into a neighbour, and files without a layer. */
export function layerFaults(graph: Graph, layers: Layers): readonly string[] {
  const place = (file: string): readonly [number, string] | undefined => {
    for (const [height, parts] of layers.entries())
      for (const part of parts) if (part.endsWith("/") ? file.startsWith(part) : file === part) return [height, part];
    return undefined;
  };
  const faults: string[] = [];
  for (const [file, targets] of graph) {
    const from = place(file);
    if (from === undefined) {
      faults.push(`${file} belongs to no layer`);
      continue;
    }
    for (const target of targets) {
      const to = place(target);
      if (to === undefined || to[1] === from[1]) continue;
      if (to[0] > from[0]) faults.push(`${file} imports ${target}, which is above it`);
      if (to[0] === from[0]) faults.push(`${file} imports ${target}, which stands beside it`);
    }
  }
  return faults.sort();
}

/** Groups of files that import one another, each sorted (Tarjan's strongly connected components). */
export function circles(graph: Graph): readonly (readonly string[])[] {
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const found: string[][] = [];
  const visit = (file: string): void => {
    order.set(file, order.size);
    low.set(file, order.get(file) ?? 0);
    stack.push(file);
    for (const next of graph.get(file) ?? []) {
      if (!order.has(next)) visit(next);
      if (stack.includes(next)) low.set(file, Math.min(low.get(file) ?? 0, low.get(next) ?? 0));
    }
    if (low.get(file) !== order.get(file)) return;
    const group = stack.splice(stack.indexOf(file));
    if (group.length > 1) found.push(group.sort());
  };
  for (const file of graph.keys()) if (!order.has(file)) visit(file);
  return found;
}

/** Files that no other file imports. */
export function unimported(graph: Graph): readonly string[] {
  const imported = new Set([...graph.values()].flatMap((targets) => [...targets]));
  return [...graph.keys()].filter((file) => !imported.has(file)).sort();
}
