/** That one migration of storage runs at a time, and where it keeps its file. */
import { join } from "node:path";
import { fail } from "@tsbox/kernel";

/** The file for a container's changes on their way. One migration runs at a time. */
export const scratchFile = (engine: { readonly rootDirectory: string }): string => join(engine.rootDirectory, "migration.tar");

/** Two migrations would undo each other's work. */
export class Migrations {
  #running = false;

  async run(work: () => Promise<void>): Promise<void> {
    if (this.#running) throw fail("Conflict", "a migration of storage is running already: wait until it has ended");
    this.#running = true;
    try {
      await work();
    } finally {
      this.#running = false;
    }
  }
}
