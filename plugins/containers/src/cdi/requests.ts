/** Turns Docker's device requests into names of CDI devices: devices that the user names (driver `cdi`), and GPUs by number or id. */
import { type DeviceRequest, fail } from "@tsbox/kernel";
import type { CdiRegistry } from "./registry.ts";

/** The kind of device that `--gpus` means, as in Docker. */
const gpuKind = "nvidia.com/gpu";

/** `InvalidArgument`: no driver here serves the request, in Docker's words. */
export function devicesRequested(requests: readonly DeviceRequest[], registry: CdiRegistry): readonly string[] {
  return requests.flatMap((request) => {
    if (request.driver === "cdi") return request.ids;
    return servesGpus(request, registry) ? gpus(request, registry) : refuse(request);
  });
}

/** Capabilities are alternatives: one set must be met completely. */
function servesGpus({ driver, capabilities }: DeviceRequest, registry: CdiRegistry): boolean {
  if (driver !== "" && driver !== "nvidia") return false;
  const known = ["gpu", "nvidia", "compute", "compat32", "graphics", "utility", "video", "display"];
  return (
    registry.names().some((name) => name.startsWith(`${gpuKind}=`)) &&
    capabilities.some((set) => set.includes("gpu") && set.every((capability) => known.includes(capability)))
  );
}

function gpus({ count, ids }: DeviceRequest, registry: CdiRegistry): readonly string[] {
  const full = (id: string): string => `${gpuKind}=${id}`;
  if (ids.length > 0) return ids.map((id) => (id.includes("=") ? id : full(id)));
  if (count >= 0) return Array.from({ length: count }, (_, at) => full(String(at)));
  // A spec with many devices has one that stands for all of them. Without it, each numbered device is requested.
  return registry.has(full("all")) ? [full("all")] : registry.names().filter((name) => /=\d+$/.test(name) && name.startsWith(full("")));
}

function refuse({ driver, capabilities }: DeviceRequest): never {
  // Go's format of a list of lists.
  const shown = `[${capabilities.map((set) => `[${set.join(" ")}]`).join(" ")}]`;
  throw fail("InvalidArgument", `could not select device driver "${driver}" with capabilities: ${shown}`);
}
