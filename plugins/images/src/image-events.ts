/** Events of images, with Docker's attributes: a name, and the image's labels while the image exists. */
import type { Call, EventsService } from "@tsbox/kernel";
import type { ImageRecord } from "./records.ts";

/** Characters of all labels in one event: events are kept in memory, and labels are untrusted. */
const longestLabels = 64 << 10;

/** `name`: the image's id, unless the event is about a name. */
export function imageEvent(
  events: EventsService,
  call: Call,
  action: string,
  record: ImageRecord,
  { id = record.id, name = record.id }: { readonly id?: string; readonly name?: string } = {},
): Promise<void> {
  const { labels } = record.config;
  const length = Object.entries(labels).reduce((sum, [key, value]) => sum + key.length + value.length, 0);
  return events.publish(call, { type: "image", action, id, attributes: { ...(length > longestLabels ? {} : labels), name } });
}
