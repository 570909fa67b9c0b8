/** The options of a container, checked. Their names and values are Docker's. */
import { isIP } from "node:net";
import { fail, type Strings } from "@tsbox/kernel";

export type Address =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp" | "tls"; readonly host: string; readonly port: number };

export interface FluentdOptions {
  readonly address: Address;
  /** For messages. */
  readonly text: string;
  readonly isSubSecond: boolean;
  readonly isAcknowledged: boolean;
  /** How often a batch is tried at once, and the milliseconds between two tries. */
  readonly tries: number;
  readonly pause: number;
  /** Milliseconds for one batch; null: the engine's. */
  readonly writeTimeout: number | null;
}

export const known = [
  "fluentd-address",
  "fluentd-async",
  "fluentd-async-connect",
  "fluentd-async-reconnect-interval",
  "fluentd-buffer-limit",
  "fluentd-max-retries",
  "fluentd-request-ack",
  "fluentd-retry-wait",
  "fluentd-sub-second-precision",
  "fluentd-write-timeout",
] as const;

const defaultAddress = "127.0.0.1:24224";
const defaultPort = 24_224;
const defaultPause = 1_000;

export function parseOptions(given: Strings): FluentdOptions {
  for (const key of Object.keys(given))
    if (!(known as readonly string[]).includes(key))
      throw fail("InvalidArgument", `unknown log opt '${key}' for fluentd log driver: there are ${known.join(", ")}`);
  for (const key of ["fluentd-async", "fluentd-async-connect"] as const) flag(given, key);
  duration(given, "fluentd-async-reconnect-interval");
  const limit = given["fluentd-buffer-limit"];
  if (limit !== undefined && !/^\d{1,12}(\.\d{1,3})?\s?[kmg]?(i?b)?$/i.test(limit))
    throw fail("InvalidArgument", `invalid log option fluentd-buffer-limit=${limit}: give a number, with k, m or g`);
  const retries = given["fluentd-max-retries"];
  if (retries !== undefined && !/^\d{1,10}$/.test(retries))
    throw fail("InvalidArgument", `invalid log option fluentd-max-retries=${retries}: give a number`);
  const pause = duration(given, "fluentd-retry-wait");
  const text = given["fluentd-address"] || defaultAddress;
  return {
    address: addressOf(text),
    text,
    isSubSecond: flag(given, "fluentd-sub-second-precision"),
    isAcknowledged: flag(given, "fluentd-request-ack"),
    // Without the option a batch is tried once: the engine tries again, for as long as the container exists.
    tries: 1 + Math.min(Number(retries ?? 0), mostRetries),
    pause: pause ?? defaultPause,
    writeTimeout: duration(given, "fluentd-write-timeout") || null,
  };
}

/** A call of the engine's ends after some seconds in any case. */
const mostRetries = 1_000;

function addressOf(text: string): Address {
  const wrong = (why: string): Error =>
    fail(
      "InvalidArgument",
      `invalid log option fluentd-address=${text}: ${why}; give HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT or unix://PATH`,
    );
  const [, prefix = "tcp", rest = ""] = /^(?:([a-z]+):\/\/)?(.*)$/s.exec(text) ?? [];
  if (prefix === "unix") {
    if (!rest.startsWith("/") || rest.includes("\0")) throw wrong("its path is not absolute");
    return { kind: "unix", path: rest };
  }
  if (prefix !== "tcp" && prefix !== "tls") throw wrong("there is no such scheme");
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9_.-]+))(?::(\d{1,5}))?\/?$/.exec(rest) ?? [];
  const host = bracketed ?? plain;
  const port = digits === undefined ? defaultPort : Number(digits);
  if (host === undefined || (bracketed !== undefined && isIP(bracketed) !== 6)) throw wrong("its host is none");
  if (port < 1 || port > 65_535) throw wrong("its port is none");
  return { kind: prefix, host, port };
}

function flag(given: Strings, key: (typeof known)[number]): boolean {
  const text = given[key] ?? "";
  if (!/^(|0|1|t|f|true|false)$/i.test(text)) throw fail("InvalidArgument", `invalid log option ${key}=${text}: give true or false`);
  return /^(1|t|true)$/i.test(text);
}

const units: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
const longestDuration = 24 * 3_600_000;

/** Go's durations (`1m30s`, `500ms`), in milliseconds. */
function duration(given: Strings, key: (typeof known)[number]): number | null {
  const text = given[key];
  if (text === undefined || text === "") return null;
  let total = 0;
  const parts = text.match(/\d{1,12}(\.\d{1,9})?(ns|us|µs|ms|s|m|h)/g) ?? [];
  for (const part of parts) total += Number.parseFloat(part) * (units[part.replace(/^[\d.]+/, "")] ?? 0);
  if (text !== "0" && (parts.join("") !== text || total > longestDuration))
    throw fail("InvalidArgument", `invalid log option ${key}=${text}: give a duration such as 500ms or 1m30s, of a day at most`);
  return total;
}
