/** Syslog messages, byte for byte as Docker's library makes them (github.com/RackSec/srslog), but with the time of the record. */
import { hostname } from "node:os";
import type { LogRecord } from "@tsbox/kernel";
import type { FormatName } from "./options.ts";

const severity = { stdout: 6, stderr: 3 } as const;
const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const two = (value: number): string => String(value).padStart(2, "0");

export interface Frame {
  readonly format: FormatName;
  readonly facility: number;
  readonly tag: string;
  /** RFC 5425's frames: the length of a message before it. */
  readonly isCounted: boolean;
}

export function messageOf({ format, facility, tag, isCounted }: Frame, { stream, at, line }: LogRecord): Buffer {
  const priority = facility * 8 + severity[stream];
  const head = Buffer.from(headOf(format, priority, tag, at));
  const message = Buffer.concat([head, line, Buffer.from("\n")]);
  return isCounted ? Buffer.concat([Buffer.from(`${message.length} `), message]) : message;
}

function headOf(format: FormatName, priority: number, tag: string, at: string): string {
  const microseconds = at.slice(0, -3);
  const time = new Date(Number(microseconds.slice(0, -3)));
  const pid = process.pid;
  if (format === "unix") return `<${priority}>${stamp(time)} ${tag}[${pid}]: `;
  if (format === "rfc3164") return `<${priority}>${stamp(time)} ${hostname()} ${tag}[${pid}]: `;
  const fraction = format === "rfc5424micro" ? `.${microseconds.slice(-6).padStart(6, "0")}` : "";
  return `<${priority}>1 ${rfc3339(time, fraction)} ${hostname()} ${tag} ${pid} ${tag} - `;
}

/** Go's time.Stamp: `Jan _2 15:04:05`, in local time. */
function stamp(time: Date): string {
  const day = String(time.getDate()).padStart(2);
  return `${months[time.getMonth()]} ${day} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

function rfc3339(time: Date, fraction: string): string {
  const offset = -time.getTimezoneOffset();
  const local = new Date(time.getTime() + offset * 60_000).toISOString().slice(0, 19);
  const size = Math.abs(offset);
  const zone = offset === 0 ? "Z" : `${offset < 0 ? "-" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
  return `${local}${fraction}${zone}`;
}
