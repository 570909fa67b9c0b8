/** Environment variables and labels, from arguments and from files of the user, which only the user's own process reads. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { CommandError } from "./command-error.ts";
import type { Io } from "./io.ts";

type Place = Pick<Io, "environment" | "workingDirectory">;

/** `NAME` alone takes the caller's value; a variable that the caller lacks is left out. */
export function environmentOf({ environment }: Place, pairs: readonly string[]): readonly string[] {
  return pairs.flatMap((pair) => {
    if (pair.includes("=")) return [pair];
    const value = environment[pair];
    return value === undefined ? [] : [`${pair}=${value}`];
  });
}

/** `--env-file`: one variable a line, in the form of an argument; a line that begins with `#` is a comment. */
export function environmentFile(place: Place, path: string): readonly string[] {
  const lines = linesOf(place, path);
  for (const line of lines) {
    const name = line.split("=", 1)[0] ?? "";
    if (name === "") throw new CommandError(125, `invalid environment variable: ${line}`);
    if (/\s/.test(name)) throw new CommandError(125, `poorly formatted environment: variable '${name}' contains whitespaces`);
  }
  return environmentOf(place, lines);
}

/** `--label-file`: one label a line. */
export const labelFile = (place: Place, path: string): readonly string[] => linesOf(place, path);

function linesOf(place: Place, path: string): readonly string[] {
  return userFile(place, path)
    .replace(/^\uFEFF/, "")
    .split("\n")
    .map((line) => line.replace(/\r$/, "").trimStart())
    .filter((line) => line !== "" && !line.startsWith("#"));
}

/** Reads a file of the user, relative to the working directory of the command. */
export function userFile({ workingDirectory }: Place, path: string): string {
  try {
    return readFileSync(resolve(workingDirectory, path), "utf8");
  } catch (error) {
    const absent = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw new CommandError(125, `open ${path}: ${absent ? "no such file or directory" : String(error)}`);
  }
}
