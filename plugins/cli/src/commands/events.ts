/** `events`: past and live events. */
import type { Json } from "@tsbox/kernel";
import type { Command } from "../io.ts";
import { compileTemplate } from "../template.ts";
import { filtersOf } from "./containers.ts";

export const events: Command = {
  name: "events",
  usage: "events [OPTIONS]",
  about: "Get real time events from the server",
  aliases: ["system events"],
  flags: {
    filter: { short: "f", kind: "list", value: "filter", help: "Filter output based on conditions provided" },
    format: { kind: "text", help: "Format output using a custom template: 'json' or a Go template" },
    since: { kind: "text", help: "Show all events created since timestamp" },
    until: { kind: "text", help: "Stream events until this timestamp" },
  },
  words: [0, 0],
  async run(io, api, parsed) {
    const format = parsed.text("format");
    const show = format === null ? plain : format === "json" ? (event: Json) => JSON.stringify(event) : templated(format);
    const since = parsed.text("since");
    const until = parsed.text("until");
    const stream = await api.events(io.call, {
      ...(since === null ? {} : { since }),
      ...(until === null ? {} : { until }),
      filters: filtersOf(parsed),
    });
    for await (const event of stream) await io.out(`${show(event)}\n`);
    return 0;
  },
};

/** Docker's events have these fields for every type. */
function templated(format: string): (event: Json) => string {
  const template = compileTemplate(format);
  return (event) => template({ status: "", id: "", from: "", ...event });
}

/** `2026-01-02T03:04:05.000000000Z container start ID (image=…, name=…)` */
function plain(event: Json): string {
  const { ID, Attributes } = event.Actor as { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> };
  const milliseconds = Number(event.timeNano) / 1e6;
  const at = new Date(milliseconds).toISOString().replace(/Z$/, "000000Z");
  const pairs = Object.entries(Attributes)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`);
  return `${at} ${String(event.Type)} ${String(event.Action)} ${ID} (${pairs.join(", ")})`;
}
