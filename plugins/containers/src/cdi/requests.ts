/** Docker's device requests → names of CDI devices: those that a user names (driver `cdi`), and GPUs by number or id. */
import { type DeviceRequest, fail } from "@tsbox/kernel";
import type { CdiRegistry } from "./registry.ts";

/** The kind whose devices `--gpus` means, as Docker has it. */
const gpuKind = "nvidia.com/gpu";

/** `InvalidArgument`: nobody here serves the request, in Docker's words. */
export function devicesRequested(requests: readonly DeviceRequest[], registry: CdiRegistry): readonly string[] {
  return requests.flatMap((request) => {
    if (request.driver === "cdi") return request.ids;
    return servesGpus(request, registry) ? gpus(request, registry) : refuse(request);
  });
}

/** One set of the capabilities has to be met whole. */
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
  // A spec of many devices has one that stands for all of them; else it is each by its number.
  return registry.has(full("all")) ? [full("all")] : registry.names().filter((name) => /=\d+$/.test(name) && name.startsWith(full("")));
}

function refuse({ driver, capabilities }: DeviceRequest): never {
  // As Go prints a list of lists.
  const shown = `[${capabilities.map((set) => `[${set.join(" ")}]`).join(" ")}]`;
  throw fail("InvalidArgument", `could not select device driver "${driver}" with capabilities: ${shown}`);
}
