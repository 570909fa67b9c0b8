/**
 * Logins in headers: `X-Registry-Auth` for one registry, `X-Registry-Config` for several by name. They are JSON in base64, in either
 * alphabet; `e30=` is `{}`.
 */
import { fail, parseJson, type Strings } from "@tsbox/kernel";

type Header = string | readonly string[] | undefined;

export const registryAuth = (header: Header): Strings => textsOf(decode("X-Registry-Auth", header));

export const registryConfig = (header: Header): Readonly<Record<string, Strings>> =>
  Object.fromEntries(Object.entries(decode("X-Registry-Config", header)).map(([registry, auth]) => [registry, textsOf(auth)]));

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;

/** Names are case-insensitive, as in Go. */
function textsOf(value: unknown): Strings {
  if (!isObject(value)) return {};
  const texts = Object.entries(value).filter((pair): pair is [string, string] => typeof pair[1] === "string");
  return Object.fromEntries(texts.map(([name, text]) => [name.toLowerCase(), text]));
}

function decode(name: string, header: Header): object {
  const text = typeof header === "string" ? header : "";
  if (text === "") return {};
  try {
    const parsed: unknown = parseJson(Buffer.from(text, "base64url").toString());
    if (isObject(parsed)) return parsed;
  } catch {
    // The error is thrown below.
  }
  throw fail("InvalidArgument", `${name} is not JSON in base64: log in again`);
}
