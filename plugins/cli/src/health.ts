/** `--health-*`, `--no-healthcheck` and tsbox's own `--on-unhealthy`. */
import type { Json } from "@tsbox/kernel";
import { CommandError } from "./command-error.ts";
import type { FlagSpecs, Parsed } from "./flags.ts";
import { count, duration } from "./units.ts";

export const healthFlags: FlagSpecs = {
  "health-cmd": { kind: "text", help: "Command to run to check health" },
  "health-interval": { kind: "text", value: "duration", help: "Time between running the check (ms|s|m|h) (default 0s)" },
  "health-timeout": { kind: "text", value: "duration", help: "Maximum time to allow one check to run (ms|s|m|h) (default 0s)" },
  "health-retries": { kind: "text", value: "int", help: "Consecutive failures needed to report unhealthy" },
  "health-start-period": {
    kind: "text",
    value: "duration",
    help: "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)",
  },
  "health-start-interval": {
    kind: "text",
    value: "duration",
    help: "Time between running the check during the start period (ms|s|m|h) (default 0s)",
  },
  "no-healthcheck": { kind: "bool", help: "Disable any container-specified HEALTHCHECK" },
  "on-unhealthy": {
    kind: "text",
    help: "What to do with the container when it turns unhealthy: none, restart, stop or kill (default none)",
  },
};

const spans = [
  ["health-interval", "Interval"],
  ["health-timeout", "Timeout"],
  ["health-start-period", "StartPeriod"],
  ["health-start-interval", "StartInterval"],
] as const;

/** Parts of the create body; the caller merges `HostConfig`. */
export function healthBody(parsed: Parsed): { readonly Healthcheck?: Json; readonly HostConfig: Json } {
  const action = parsed.text("on-unhealthy");
  const HostConfig = action === null ? {} : { TsboxOnUnhealthy: action };
  const command = parsed.text("health-cmd");
  const given = [...spans.map(([name]) => name), "health-cmd", "health-retries"].some((name) => parsed.given(name));
  if (parsed.bool("no-healthcheck")) {
    if (given) throw new CommandError(125, "--no-healthcheck conflicts with --health-* options");
    return { Healthcheck: { Test: ["NONE"] }, HostConfig };
  }
  if (!given) return { HostConfig };
  const retries = count("health-retries", parsed.text("health-retries") ?? "0");
  if (retries < 0) throw new CommandError(125, "--health-retries cannot be negative");
  return {
    Healthcheck: {
      ...(command === null || command === "" ? {} : { Test: ["CMD-SHELL", command] }),
      ...Object.fromEntries(
        spans.flatMap(([name, key]) => {
          const text = parsed.text(name);
          if (text === null) return [];
          const span = duration(name, text);
          if (span < 0) throw new CommandError(125, `--${name} cannot be negative`);
          return [[key, span] as const];
        }),
      ),
      ...(retries > 0 ? { Retries: retries } : {}),
    },
    HostConfig,
  };
}
