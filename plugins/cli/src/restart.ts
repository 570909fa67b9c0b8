/** `--restart` in docker's syntax. */
import type { Json } from "@tsbox/kernel";
import { CommandError } from "./command-error.ts";
import type { FlagSpecs, Parsed } from "./flags.ts";

export const restartFlags: FlagSpecs = {
  restart: { kind: "text", help: "Restart policy to apply when a container exits: no, on-failure[:max-retries], always, unless-stopped" },
};

/** The part of HostConfig. */
export function restartBody(parsed: Parsed): Json {
  const policy = parseRestart(parsed.text("restart") ?? "");
  if (parsed.bool("rm") && policy.Name !== "no" && policy.Name !== "")
    throw new CommandError(125, "conflicting options: cannot specify both --restart and --rm");
  return { RestartPolicy: policy };
}

/** Also used by `update`. The engine checks the policy's name. */
export function parseRestart(text: string): { readonly Name: string; readonly MaximumRetryCount: number } {
  if (text === "") return { Name: "no", MaximumRetryCount: 0 };
  const [name = "", count, ...more] = text.split(":");
  const wrong = (why: string): CommandError => new CommandError(125, `invalid restart policy format: ${why}`);
  if (name === "") throw wrong("no policy provided before colon");
  if (more.length > 0 || (count !== undefined && !/^-?\d+$/.test(count))) throw wrong("maximum retry count must be an integer");
  return { Name: name, MaximumRetryCount: count === undefined ? 0 : Number(count) };
}
