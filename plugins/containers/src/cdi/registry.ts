/** The CDI specs of this host. They are read anew for each request for a device, because they come and go with drivers and hardware. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fail } from "@tsbox/kernel";
import { type CdiEdits, type CdiSpec, parseSpec } from "./format.ts";

export const defaultDirectories: readonly string[] = ["/etc/cdi", "/var/run/cdi"];

interface Known {
  readonly spec: CdiSpec;
  readonly edits: CdiEdits;
  /** The directory's place in the list: a later directory takes precedence. */
  readonly priority: number;
  /** Two files of the same priority define the device: neither counts. */
  readonly doubtful: boolean;
}

export class CdiRegistry {
  readonly #devices: ReadonlyMap<string, Known>;
  /** Invalid files with the reason, and devices that two files define. */
  readonly warnings: readonly string[];

  private constructor(devices: ReadonlyMap<string, Known>, warnings: readonly string[]) {
    this.#devices = devices;
    this.warnings = warnings;
  }

  /** `directories`: in ascending precedence. A missing directory has no specs. */
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
   * The edits that a container needs for these devices, in their order. A spec's own edits come once, before its first device.
   * `InvalidArgument`: an unknown device, in Docker's words.
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

/** The YAML parser is loaded only when the first YAML file is read. */
async function contentOf(path: string): Promise<unknown> {
  const text = readFileSync(path, "utf8");
  return path.endsWith(".json") ? JSON.parse(text) : (await import("yaml")).parse(text);
}
