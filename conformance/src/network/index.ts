/** The network suite: a driver that passes it connects containers, and leaves nothing behind. */
import { spawnSync } from "node:child_process";
import { type Kind, openTarget } from "../target.ts";
import { makeNetworkWorld } from "./real-world.ts";
import { networkRules } from "./rules.ts";
import type { NetworkWorld } from "./world.ts";

export { networkRules };

const programs = ["ip", "nsenter", "unshare", "ping"];

export const networkKind: Kind<NetworkWorld> = {
  rules: networkRules,
  whyNot: () => {
    const missing = programs.find((program) => spawnSync(program, ["-V"], { stdio: "ignore" }).error !== undefined);
    return missing === undefined ? null : `needs the program ${missing} (Debian: iproute2, util-linux, iputils-ping)`;
  },
  world: (target, host, directory) =>
    makeNetworkWorld({
      host,
      directory,
      options: target.networkOptions ?? {},
      open: async (_call, own) => {
        const { value, close } = await openTarget("network", target, host, own);
        return { driver: value, close };
      },
    }),
};
