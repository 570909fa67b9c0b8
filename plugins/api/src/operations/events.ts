/** Events in Docker's JSON, and Docker's filters for events. */
import type { EngineEvent, Filters, Json } from "@tsbox/kernel";
import { hasLabel, matches } from "./filters.ts";

/** As in Docker, a name or id may be a prefix; an image may be named with or without its tag. */
function rules(): Parameters<typeof matches<EngineEvent>>[1] {
  const of =
    (type: EngineEvent["type"]) =>
    (event: EngineEvent, value: string): boolean =>
      event.type === type && (event.id.startsWith(value) || (event.attributes.name ?? "").startsWith(value));
  return {
    type: (event, value) => event.type === value,
    // `exec_start` and `health_status` match all actions that begin with them.
    event: (event, value) => event.action === value || event.action.startsWith(`${value}:`),
    container: of("container"),
    network: of("network"),
    volume: of("volume"),
    plugin: of("plugin"),
    daemon: of("daemon"),
    image: (event, value) => {
      const name = (event.type === "image" ? event.attributes.name : event.attributes.image) ?? "";
      return [event.type === "image" ? event.id : name, name].some((word) => word === value || withoutTag(word) === value);
    },
    label: (event, value) => hasLabel(event.attributes, value),
    scope: (_event, value) => value === "local",
    // Filters for a swarm, which this engine does not have.
    node: () => false,
    service: () => false,
    secret: () => false,
    config: () => false,
  };
}

const withoutTag = (name: string): string => name.replace(/[:@][^/]*$/, "");

/** An unknown filter is refused before the subscription. */
export async function shownEvents(
  subscribe: () => Promise<AsyncIterable<EngineEvent>>,
  filters: Filters | undefined,
): Promise<AsyncIterable<Json>> {
  const wanted = matches(filters, rules());
  return each(await subscribe(), wanted);
}

async function* each(stream: AsyncIterable<EngineEvent>, wanted: (event: EngineEvent) => boolean): AsyncGenerator<Json> {
  for await (const event of stream) if (wanted(event)) yield showEvent(event);
}

function showEvent({ type, action, id, attributes, at }: EngineEvent): Json {
  return {
    ...(type === "container" || type === "image"
      ? { status: action, id, ...(type === "container" ? { from: attributes.image ?? "" } : {}) }
      : {}),
    Type: type,
    Action: action,
    Actor: { ID: id, Attributes: attributes },
    scope: "local",
    time: Math.floor(at / 1000),
    // JSON has no 64-bit integers: a double holds milliseconds exactly, and nanoseconds nearly.
    timeNano: Math.round(at * 1000) * 1000,
  };
}
