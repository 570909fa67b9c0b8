/** `X-Registry-Auth`: JSON in base64, of either alphabet; `e30=` is `{}`. */
import { fail, type Strings } from "@tsbox/kernel";

export function registryAuth(header: string | readonly string[] | undefined): Strings {
  const text = typeof header === "string" ? header : "";
  if (text === "") return {};
  try {
    const parsed: unknown = JSON.parse(Buffer.from(text, "base64url").toString());
    if (typeof parsed === "object" && parsed !== null)
      return Object.fromEntries(Object.entries(parsed).filter((pair): pair is [string, string] => typeof pair[1] === "string"));
  } catch {
    // Said below.
  }
  throw fail("InvalidArgument", "X-Registry-Auth is not JSON in base64: log in again");
}
