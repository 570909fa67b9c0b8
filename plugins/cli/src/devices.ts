/** Devices by name: `--device vendor.com/class=name` (CDI) and `--gpus`, in the syntax of docker's client. */
import type { Json } from "@tsbox/kernel";
import { CommandError } from "./command-error.ts";
import type { Parsed } from "./flags.ts";

/** Whether the text is CDI's full name of a device, which is never a path. */
export const isQualified = (entry: string): boolean =>
  /^[A-Za-z](?:[\w.-]*[A-Za-z0-9])?\/[A-Za-z](?:[\w-]*[A-Za-z0-9])?=[A-Za-z0-9](?:[\w.:-]*[A-Za-z0-9])?$/.test(entry);

/** `HostConfig.DeviceRequests` */
export function deviceRequests(parsed: Parsed): readonly Json[] {
  const cdi = parsed.list("device").filter(isQualified);
  const gpus = parsed.text("gpus");
  return [...(gpus === null ? [] : [gpuRequest(gpus)]), ...(cdi.length > 0 ? [{ Driver: "cdi", DeviceIDs: cdi }] : [])];
}

/** `all`, `2`, `device=0`, `"device=0,1",capabilities=utility`: fields of CSV; a quoted field may contain commas. */
export function gpuRequest(text: string): Json {
  const wrong = (why: string): CommandError => new CommandError(125, `invalid argument "${text}" for "--gpus" flag: ${why}`);
  const seen = new Map<string, string>();
  for (const field of fieldsOf(text)) {
    const at = field.indexOf("=");
    const [key, value] = at < 0 ? ["count", field] : [field.slice(0, at), field.slice(at + 1)];
    if (seen.has(key)) throw wrong(`gpu request key '${key}' can be specified only once`);
    if (!["driver", "count", "device", "capabilities", "options"].includes(key)) throw wrong(`unexpected key '${key}' in '${field}'`);
    seen.set(key, value);
  }
  const count = seen.get("count");
  if (count !== undefined && count !== "all" && !/^-?\d+$/.test(count))
    throw wrong(`invalid count (${count}): value must be either "all" or an integer`);
  const words = (key: string): readonly string[] => (seen.get(key) ?? "").split(",").filter((word) => word !== "");
  const ids = words("device");
  return {
    Driver: seen.get("driver") ?? "",
    Count: count === "all" ? -1 : count !== undefined ? Number(count) : ids.length > 0 ? 0 : 1,
    DeviceIDs: ids.length > 0 ? ids : null,
    Capabilities: [[...words("capabilities"), "gpu"]],
    Options: Object.fromEntries(words("options").map((pair) => [pair.split("=", 1)[0] ?? "", pair.slice(pair.indexOf("=") + 1)])),
  };
}

function fieldsOf(text: string): readonly string[] {
  return [...text.matchAll(/"((?:[^"]|"")*)"|[^,]+/g)].map(([whole, quoted]) =>
    quoted === undefined ? whole : quoted.replaceAll('""', '"'),
  );
}
