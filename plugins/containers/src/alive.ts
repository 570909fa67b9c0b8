/** Whether a process of the host is alive, by /proc. */
import { readFileSync } from "node:fs";

/** PF_EXITING of the kernel's sched.h. */
const exiting = 0x4;

/**
 * Neither dead nor on its way out: from the moment that it exits, a process has no files and no namespaces, which is long before it is a
 * zombie.
 */
export function isAlive(pid: number | null): boolean {
  if (pid === null) return false;
  try {
    // The second field is the program's name, which may have anything in it.
    const [state = "", , , , , , flags = ""] = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return !/[ZX]/.test(state) && (Number(flags) & exiting) === 0;
  } catch {
    return false;
  }
}
