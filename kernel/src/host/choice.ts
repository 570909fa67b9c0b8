/**
 * Chooses the driver of a kind on this host: the one that the operator names, else the one that an earlier start recorded, else the first
 * usable one by the rank that the manifests state. A choice by rank is recorded, so that the default never changes silently: a container's
 * layers stay with the driver that made them.
 */
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import type { DriverChoice } from "../contract/engine.ts";
import { fail } from "../errors/index.ts";
import { record, text, values } from "./config.ts";
import type { Answer } from "./offer.ts";

export class Choices {
  readonly #path: string;
  readonly #named: Readonly<Record<string, string>>;
  readonly #made = new Map<string, DriverChoice>();
  #recorded: Record<string, string> = {};
  /** False while services are being opened. */
  #settled = false;
  #writing: Promise<void> = Promise.resolve();

  private constructor(path: string, named: Readonly<Record<string, string>>) {
    this.#path = path;
    this.#named = named;
  }

  static async read(path: string, named: Readonly<Record<string, string>>): Promise<Choices> {
    const choices = new Choices(path, named);
    const source = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return null;
      throw error;
    });
    if (source !== null) {
      try {
        choices.#recorded = { ...values(record(JSON.parse(source), path), path, text) };
      } catch (error) {
        throw fail("DataLoss", `${path} is torn; it says which drivers this host uses: write it anew, e.g. {"storage": "overlay"}`, {
          path,
          cause: error,
        });
      }
    }
    return choices;
  }

  get made(): readonly DriverChoice[] {
    return [...this.#made.values()];
  }

  /**
   * `installed`: the best first; empty: the kind has no default. Null: no driver is usable here. Throws if the probe of the preferred
   * driver could not tell whether it is usable: otherwise another driver would be chosen in place of one that may work once the host has
   * resources again. It waits only for the probes that decide: a driver that nobody uses may take long. A driver whose probe does not
   * answer is passed over, and what is chosen in its place is not recorded.
   */
  async choose(kind: string, installed: () => readonly string[], probe: (id: string) => Promise<Answer>): Promise<DriverChoice | null> {
    const before = this.#made.get(kind);
    if (before !== undefined) return before;
    const late: string[] = [];
    const choice = await this.#pick(kind, installed(), probe, late);
    if (choice === null) return null;
    this.#made.set(kind, choice);
    if (choice.why === "priority" && late.length === 0) await this.#record(kind, choice.id);
    return choice;
  }

  /** The choice that `choose` would make. It is neither kept nor recorded. */
  async foresee(kind: string, installed: () => readonly string[], probe: (id: string) => Promise<Answer>): Promise<DriverChoice | null> {
    return this.#made.get(kind) ?? (await this.#pick(kind, installed(), probe, []));
  }

  /** Records another choice, which holds from now on. `FailedPrecondition`: the operator names another driver. */
  async prefer(kind: string, id: string): Promise<void> {
    const named = this.#named[kind];
    if (named === id) return;
    if (named !== undefined)
      throw fail("FailedPrecondition", `the config file names the ${kind} driver ${named}: change "drivers" there, and restart the engine`);
    await this.#record(kind, id);
    this.#made.set(kind, { kind, id, why: "recorded" });
  }

  /**
   * From here on choices are written to disk, first those that were made before. An engine that is killed during its first start must look
   * new to the next start: the file says that the engine has records, so it must not exist before they do.
   */
  async settle(): Promise<void> {
    this.#settled = true;
    if ([...this.#made.values()].some(({ why }) => why === "priority")) await this.#write();
  }

  /** `late` gets the drivers of a higher rank whose probe does not answer. */
  async #pick(
    kind: string,
    installed: readonly string[],
    probe: (id: string) => Promise<Answer>,
    late: string[],
  ): Promise<DriverChoice | null> {
    const named = this.#named[kind];
    if (named !== undefined) return { kind, id: named, why: "named" };
    const recorded = this.#recorded[kind];
    if (recorded !== undefined) {
      const answer = installed.includes(recorded) ? await probe(recorded) : undefined;
      if (answer?.usable) return { kind, id: recorded, why: "recorded" };
      if (answer?.unsure) throw answer.unsure;
      const why = answer === undefined ? "no plugin for it is installed" : answer.reason;
      throw fail(
        "FailedPrecondition",
        `this host's ${kind} driver is ${recorded} (${this.#path} says so), but ${why}; name another in the config file's "drivers" to leave what it holds behind`,
      );
    }
    const asked = installed.map((id) => ({ id, asking: probe(id) }));
    // The first usable one ends the search. An error of a later one concerns only its users.
    for (const { asking } of asked) asking.catch(() => {});
    for (const { id, asking } of asked) {
      const { usable, unsure } = await asking;
      if (unsure?.code === "DeadlineExceeded") late.push(id);
      else if (unsure !== null) throw unsure;
      if (usable) return { kind, id, why: "priority" };
    }
    return null;
  }

  async #record(kind: string, id: string): Promise<void> {
    this.#recorded[kind] = id;
    if (this.#settled) await this.#write();
  }

  /** Kinds are chosen side by side, and all write one file: one write after another. */
  #write(): Promise<void> {
    const written = this.#writing.then(() => this.#writeOnce());
    this.#writing = written.catch(() => {});
    return written;
  }

  async #writeOnce(): Promise<void> {
    const fresh = `${this.#path}.new`;
    await mkdir(dirname(this.#path), { recursive: true });
    const file = await open(fresh, "w");
    try {
      await file.writeFile(`${JSON.stringify(this.#recorded, null, 2)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(fresh, this.#path);
  }
}
