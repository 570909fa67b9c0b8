/** The CDI specs of this host, read anew whenever somebody asks for a device: they come and go with drivers and hardware. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fail } from "@tsbox/kernel";
import { type CdiEdits, type CdiSpec, parseSpec } from "./format.ts";

export const defaultDirectories: readonly string[] = ["/etc/cdi", "/var/run/cdi"];

interface Known {
  readonly spec: CdiSpec;
  readonly edits: CdiEdits;
  /** Of the directory: later ones count more. */
  readonly priority: number;
  /** Two of the same priority: neither counts. */
  readonly doubtful: boolean;
}

export class CdiRegistry {
  readonly #devices: ReadonlyMap<string, Known>;
  /** Files that are no specs, and why; devices that two files have. */
  readonly warnings: readonly string[];

  private constructor(devices: ReadonlyMap<string, Known>, warnings: readonly string[]) {
    this.#devices = devices;
    this.warnings = warnings;
  }

  /** `directories`: those that count most last. One that is not there has no specs. */
  static async read(directories: readonly string[]): Promise<CdiRegistry> {
    const devices = new Map<string, Known>();
    const warnings: string[] = [];
    for (const [priority, directory] of directories.entries()) {
      for (const name of namesIn(directory)) {
        const path = join(directory, name);
        try {
          const spec = parseSpec(await contentOf(path));
          for (const [device, edits] of spec.devices) {
            const full = `${spec.kind}=${device}`;
            const doubtful = devices.get(full)?.priority === priority;
            if (doubtful) warnings.push(`CDI device ${full} is in two files of ${directory}: neither counts`);
            devices.set(full, { spec, edits, priority, doubtful });
          }
        } catch (error) {
          warnings.push(`${path} is no CDI spec: ${error instanceof Error ? error.message : String(error)}`);
        }
      }
    }
    return new CdiRegistry(devices, warnings);
  }

  /** Full names, sorted. */
  names(): readonly string[] {
    return [...this.#devices].flatMap(([name, { doubtful }]) => (doubtful ? [] : [name])).sort();
  }

  has(name: string): boolean {
    return this.#devices.get(name)?.doubtful === false;
  }

  /**
   * What a container gets for these devices, in their order; a spec's own edits once, before its first device. `InvalidArgument`: an
   * unknown one, in Docker's words.
   */
  editsFor(names: readonly string[]): readonly CdiEdits[] {
    const unknown = names.filter((name) => !this.has(name));
    if (unknown.length > 0) throw fail("InvalidArgument", `CDI device injection failed: unresolvable CDI devices ${unknown.join(", ")}`);
    const seen = new Set<CdiSpec>();
    return [...new Set(names)].flatMap((name) => {
      const known = this.#devices.get(name);
      if (known === undefined) return [];
      const first = !seen.has(known.spec);
      seen.add(known.spec);
      return first ? [known.spec.edits, known.edits] : [known.edits];
    });
  }
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
      .filter((name) => /\.(json|yaml)$/.test(name))
      .sort();
  } catch {
    return [];
  }
}

/** The YAML reader is loaded by the first file that needs it. */
async function contentOf(path: string): Promise<unknown> {
  const text = readFileSync(path, "utf8");
  return path.endsWith(".json") ? JSON.parse(text) : (await import("yaml")).parse(text);
}
