/** Entries in journald's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL), with the fields of Docker's driver. */
import type { LogRecord, LogSource } from "@tsbox/kernel";

/** Priorities of syslog, as Docker's driver gives them. */
const priority = { stdout: "6", stderr: "3" } as const;

/** The fields that all entries of a container have. */
export function fieldsOf({ container, name, tag, imageName, attributes }: LogSource): Buffer {
  const own: Readonly<Record<string, string>> = {
    CONTAINER_ID: container.slice(0, 12),
    CONTAINER_ID_FULL: container,
    CONTAINER_NAME: name,
    CONTAINER_TAG: tag,
    IMAGE_NAME: imageName,
    SYSLOG_IDENTIFIER: tag,
  };
  const more = Object.entries(attributes)
    .map(([key, value]): readonly [string, string] => [fieldName(key), value])
    .filter(([key]) => key !== "" && !Object.hasOwn(own, key) && !perEntry.test(key));
  return Buffer.concat([...more, ...Object.entries(own)].map(([key, value]) => field(key, Buffer.from(value))));
}

/** Fields that each entry has. A label of an image must not add another value to a field of the engine's. */
const perEntry = /^(MESSAGE|PRIORITY|SYSLOG_TIMESTAMP|CONTAINER_PARTIAL_\w+)$/;

export function entryOf(fields: Buffer, { stream, at, line, partial }: LogRecord): Buffer {
  const own: [string, string][] = [
    ["PRIORITY", priority[stream]],
    ["SYSLOG_TIMESTAMP", timestamp(at)],
  ];
  if (partial !== null) {
    own.push(
      ["CONTAINER_PARTIAL_ID", partial.id],
      ["CONTAINER_PARTIAL_ORDINAL", String(partial.ordinal)],
      ["CONTAINER_PARTIAL_LAST", String(partial.last)],
    );
    if (!partial.last) own.push(["CONTAINER_PARTIAL_MESSAGE", "true"]);
  }
  return Buffer.concat([field("MESSAGE", line), fields, ...own.map(([key, value]) => field(key, Buffer.from(value)))]);
}

/** `KEY=VALUE`, or with a length before the value if that has line ends. */
function field(key: string, value: Uint8Array): Buffer {
  if (!value.includes(10)) return Buffer.concat([Buffer.from(`${key}=`), value, Buffer.from("\n")]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(value.length));
  return Buffer.concat([Buffer.from(`${key}\n`), length, value, Buffer.from("\n")]);
}

const longestName = 64;

/** As Docker's driver makes names of fields: capitals, digits and `_`, no `_` at the beginning. "": nothing is left. */
function fieldName(key: string): string {
  const name = key
    .toUpperCase()
    .replaceAll(/[^A-Z0-9_]/g, "_")
    .replace(/^_+/, "");
  // journald drops a field whose name begins with a digit or is longer.
  return /^[0-9]/.test(name) ? "" : name.slice(0, longestName);
}

/** RFC 3339 with nanoseconds, in UTC. */
function timestamp(at: string): string {
  return `${new Date(Number(at.slice(0, -6))).toISOString().slice(0, 19)}.${at.slice(-9)}Z`;
}
