/** The volume suite: a driver that passes it keeps its volumes' contents. */
import { type Kind, openTarget } from "../target.ts";
import { makeVolumeWorld } from "./real-world.ts";
import { volumeRules } from "./rules.ts";
import type { VolumeWorld } from "./world.ts";

export { volumeRules };

export const volumeKind: Kind<VolumeWorld> = {
  rules: volumeRules,
  whyNot: () => null,
  world: (target, host, directory) =>
    makeVolumeWorld({
      host,
      directory,
      open: async (_call, own) => {
        const { value, close } = await openTarget("volume", target, host, own);
        return { driver: value, close };
      },
    }),
};
