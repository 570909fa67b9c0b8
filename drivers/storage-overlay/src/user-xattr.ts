import { readFileSync } from "node:fs";

/**
 * In a user namespace, where nobody may set `trusted.` attributes, an overlay keeps its marks in `user.` ones (Linux 5.11). What the
 * toolkit writes into layers follows the same rule (native/core/src/layer/mod.rs).
 */
export function userXattr(): readonly string[] {
  const map = readFileSync("/proc/self/uid_map", "utf8").trim().split(/\s+/).join(" ");
  return map === "0 0 4294967295" ? [] : ["userxattr"];
}
