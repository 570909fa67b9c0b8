/** Docker's `filters` parameter: key to values; several values of a key are alternatives, several keys must all hold. */
import { type Container, type Filters, fail, type Image } from "@tsbox/kernel";
import { publishedPorts } from "./show.ts";

type Match<T> = (subject: T, value: string) => boolean;

export function matches<T>(filters: Filters | undefined, rules: Readonly<Record<string, Match<T>>>): (subject: T) => boolean {
  const entries = Object.entries(filters ?? {});
  for (const [key] of entries) if (!Object.hasOwn(rules, key)) throw fail("InvalidArgument", `invalid filter '${key}'`);
  return (subject) =>
    entries.every(([key, values]) => {
      const rule = rules[key];
      if (rule === undefined) return false;
      // Labels must all be there; of everything else one is enough.
      return key.startsWith("label") ? values.every((value) => rule(subject, value)) : values.some((value) => rule(subject, value));
    });
}

export function hasLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const [key = "", value] = wanted.split(/=(.*)/s, 2);
  return Object.hasOwn(labels, key) && (value === undefined || labels[key] === value);
}

/** As Docker: a part of the name, or a regular expression of it. */
function namesMatch(name: string, pattern: string): boolean {
  try {
    return new RegExp(pattern.replace(/^\^\//, "^")).test(name) || name.includes(pattern);
  } catch {
    throw fail("InvalidArgument", `invalid filter 'name=${pattern}': not a regular expression`);
  }
}

export function containerRules(all: readonly Container[]): Readonly<Record<string, Match<Container>>> {
  const createdAt = (reference: string): number =>
    all.find((other) => other.id.startsWith(reference) || other.name === reference)?.createdAt ?? Number.NaN;
  return {
    id: (record, value) => record.id.startsWith(value),
    name: (record, value) => namesMatch(record.name, value),
    label: (record, value) => hasLabel(record.config.labels, value),
    status: (record, value) => record.status === value,
    exited: (record, value) => record.status === "exited" && record.exit?.code === Number(value),
    ancestor: (record, value) =>
      record.imageName === value ||
      `${record.imageName}:latest` === value ||
      record.imageId.replace("sha256:", "").startsWith(value.replace("sha256:", "")),
    network: (record, value) =>
      record.config.network === value ||
      record.endpoints.some((endpoint) => endpoint.networkName === value || endpoint.network.startsWith(value)),
    publish: (record, value) => publishedPorts(record).some((port) => String(port.hostPort) === value.split("/")[0]),
    expose: (record, value) => record.config.exposedPorts.some((port) => port.split("/")[0] === value.split("/")[0]),
    volume: (record, value) =>
      record.mounts.some(
        (point) =>
          point.target === value || (point.kind === "volume" && point.name === value) || (point.kind === "bind" && point.source === value),
      ),
    health: (_record, value) => value === "none",
    before: (record, value) => record.createdAt < createdAt(value),
    since: (record, value) => record.createdAt > createdAt(value),
    "is-task": (_record, value) => value === "false",
  };
}

export const imageRules = (all: readonly Image[]): Readonly<Record<string, Match<Image>>> => {
  const createdAt = (reference: string): number =>
    all.find((other) => other.tags.includes(reference) || other.id.includes(reference))?.createdAt ?? Number.NaN;
  return {
    dangling: (image, value) => (image.tags.length === 0) === (value === "true" || value === "1"),
    label: (image, value) => hasLabel(image.config.labels, value),
    reference: (image, value) => image.tags.some((tag) => globMatches(tag, value)),
    before: (image, value) => image.createdAt < createdAt(value),
    since: (image, value) => image.createdAt > createdAt(value),
    until: (image, value) => image.createdAt < Date.parse(value),
  };
};

/** `debian`, `debian:1*`, `host/*`: a pattern without a tag stands for all. */
function globMatches(tag: string, pattern: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|\\]/g, "\\$&")
    .replace(/\*/g, "[^/]*")
    .replace(/\?/g, "[^/]");
  const expression = new RegExp(`^${source}$`);
  return expression.test(tag) || expression.test(tag.slice(0, tag.lastIndexOf(":")));
}
