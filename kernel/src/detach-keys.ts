/** Detach keys as docker's users write them: `ctrl-p,ctrl-q`, `ctrl-@`, `DEL`, `a,b`. */
import { fail } from "./errors/index.ts";

const controls = ["@", ..."abcdefghijklmnopqrstuvwxyz", "[", "\\", "]", "^", "_"];
const deleteKey = 127;

/** The bytes of Docker's default detach keys: ctrl-P ctrl-Q. */
export const defaultDetachKeys: readonly number[] = [16, 17];

/** The bytes that a terminal sends for these keys. Null: the text is empty, and Docker's default keys apply. */
export function detachKeys(text: string): readonly number[] | null {
  if (text === "") return null;
  return text.split(",").map((key) => {
    if (key.length === 1 && key.charCodeAt(0) < 128) return key.charCodeAt(0);
    if (key === "DEL") return deleteKey;
    const code = key.startsWith("ctrl-") ? controls.indexOf(key.slice("ctrl-".length)) : -1;
    if (code >= 0) return code;
    throw fail("InvalidArgument", `invalid detach keys (${text}) provided: Unknown character: '${key}'`);
  });
}
