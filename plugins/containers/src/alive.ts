/** Whether a process of the host is alive, according to /proc. */
import { readFileSync } from "node:fs";

/** PF_EXITING of the kernel's sched.h. */
const exiting = 0x4;

/**
 * True while the process is neither dead nor exiting. An exiting process has no files and no namespaces any more, long before it becomes a
 * zombie.
 */
export function isAlive(pid: number | null): boolean {
  if (pid === null) return false;
  try {
    // The second field is the program's name, which may contain any character.
    const [state = "", , , , , , flags = ""] = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return !/[ZX]/.test(state) && (Number(flags) & exiting) === 0;
  } catch {
    return false;
  }
}
