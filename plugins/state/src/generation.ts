/**
 * Identifies the records of this root directory. Each start gives the database the next number, and writes the number to a file beside it.
 * So a database of another engine, an empty one, and an older copy that was put back can be told apart from the database that belongs to
 * this root's layers, blobs and volumes.
 */
import { chmodSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fail } from "@tsbox/kernel";

export interface Generation {
  readonly engine: string;
  readonly number: number;
  /**
   * The digest of the newest copy's content. A start without changes makes no copy, so that three starts don't replace all older copies.
   */
  readonly copied: string;
  /** An older copy was put back, and the user has not yet agreed to remove what it does not know. */
  readonly restored: boolean;
}

const pathOf = (directory: string): string => join(directory, "generation.json");

/** Null: the file does not exist, so no engine of this format has run here. */
export function readGeneration(directory: string): Generation | null {
  let text: string;
  try {
    text = readFileSync(pathOf(directory), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
  try {
    const { engine, number, copied, restored } = JSON.parse(text) as Generation;
    if (typeof engine === "string" && Number.isSafeInteger(number))
      return { engine, number, copied: String(copied), restored: restored === true };
  } catch {
    // Reported below.
  }
  throw fail("DataLoss", `${pathOf(directory)} is damaged: remove it, then the engine starts with the records as they are`);
}

export async function writeGeneration(directory: string, generation: Generation): Promise<void> {
  const path = pathOf(directory);
  writeFileSync(`${path}.new`, JSON.stringify(generation), { mode: 0o600, flush: true });
  chmodSync(`${path}.new`, 0o600);
  renameSync(`${path}.new`, path);
  const folder = await open(dirname(path), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
