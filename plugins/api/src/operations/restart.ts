/** Converts Docker's RestartPolicy to the engine's. */
import { fail, type RestartPolicy } from "@tsbox/kernel";

const names: readonly string[] = ["no", "on-failure", "always", "unless-stopped"];

/** `host`: HostConfig. Also refuses options that conflict with the policy. */
export function parseRestart(host: { readonly [key: string]: unknown }): RestartPolicy {
  const given = (host.RestartPolicy ?? {}) as { readonly Name?: unknown; readonly MaximumRetryCount?: unknown };
  const name = typeof given.Name === "string" && given.Name !== "" ? given.Name : "no";
  const count = typeof given.MaximumRetryCount === "number" ? given.MaximumRetryCount : 0;
  const wrong = (why: string): Error => fail("InvalidArgument", `invalid restart policy: ${why}`);
  if (!names.includes(name)) throw wrong(`unknown policy '${name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`);
  if (count < 0) throw wrong("maximum retry count cannot be negative");
  if (count > 0 && name !== "on-failure") throw wrong("maximum retry count can only be used with 'on-failure'");
  if (host.AutoRemove === true && name !== "no") throw fail("InvalidArgument", "can't create 'AutoRemove' container with restart policy");
  return { name: name as RestartPolicy["name"], maximumRetryCount: count };
}
