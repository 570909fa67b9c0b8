/**
 * Converts errors of a registry or of the network to the engine's errors: one line with what to do. Text from the registry is quoted
 * shortened and on one line.
 */
import { type Call, fail, isTsboxError, type TsboxError } from "@tsbox/kernel";
import type { Response } from "./connections.ts";
import type { Reference } from "./reference.ts";

const longestQuote = 200;
/** Seconds. A longer `Retry-After` is no advice to anybody. */
const longestWait = 86_400;

export const oneLine = (text: string): string =>
  text
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what a registry says goes to a terminal
    .replace(/[\u0000-\u001f\u007f-\u009f\s]+/g, " ")
    .trim()
    .slice(0, longestQuote);

/** The message of `{"errors": [{"code", "message"}]}`; empty if there is none. */
export function registryWords(body: string): string {
  try {
    const { errors, details } = JSON.parse(body) as { readonly errors?: unknown; readonly details?: unknown };
    const [first] = Array.isArray(errors) ? (errors as readonly { readonly code?: unknown; readonly message?: unknown }[]) : [];
    const message = first?.message ?? details;
    return typeof message === "string" ? oneLine(message) : "";
  } catch {
    return "";
  }
}

export function deniedText({ shown, host }: Reference, body: string): string {
  const words = registryWords(body);
  const name = shown.replace(/(:[^:/]*|@.*)$/, "");
  return `pull access denied for ${name}, repository does not exist or may require authorization${words === "" ? "" : `: ${words}`}; check the name, or log in to ${host}`;
}

/** The requested object, for the message of a 404. */
export type Wanted = { readonly kind: "manifest" } | { readonly kind: "blob"; readonly digest: string };

export function statusFailure(reference: Reference, wanted: Wanted, response: Response, body: string): TsboxError {
  const { statusCode } = response;
  const words = registryWords(body);
  const quoted = words === "" ? "" : `: ${words}`;
  if (statusCode === 401 || statusCode === 403) return fail("PermissionDenied", deniedText(reference, body));
  if (statusCode === 404)
    return wanted.kind === "manifest"
      ? fail("NotFound", `manifest for ${reference.shown} not found: ${words || "manifest unknown"}`)
      : fail("NotFound", `${reference.host} does not have the blob ${wanted.digest} of ${reference.shown}: the image must be pushed again`);
  if (statusCode === 429) {
    const after = Number(response.headers["retry-after"]);
    const when = after > 0 && after <= longestWait ? `in ${after} s` : "later";
    return fail("Unavailable", `toomanyrequests: ${reference.host} limits how often it is asked${quoted}; try again ${when}, or log in`);
  }
  if (statusCode >= 500)
    return fail(
      "Unavailable",
      `${reference.host} answered ${statusCode} for ${reference.shown}${quoted}: the registry is in trouble; try again later`,
    );
  return fail("Unavailable", `${reference.host} answered ${statusCode} for ${reference.shown}${quoted}: is it a registry?`);
}

/** Converts an error of a request or of a body. */
export function networkFailure(call: Call, host: string, thrown: unknown): Error {
  if (call.signal.aborted) return call.signal.reason as Error;
  if (isTsboxError(thrown)) return thrown;
  const { code = "", message = "" } = (thrown ?? {}) as { readonly code?: string; readonly message?: string };
  const cause = { cause: thrown };
  if (code === "ECONNREFUSED") return fail("Unavailable", `can't connect to ${host}: connection refused; is the registry running?`, cause);
  if (code === "ENOTFOUND" || code === "EAI_AGAIN")
    return fail("Unavailable", `can't find ${host}: no address for that name; check it, and this machine's DNS`, cause);
  if (code === "UND_ERR_CONNECT_TIMEOUT" || code === "ETIMEDOUT" || code === "EHOSTUNREACH" || code === "ENETUNREACH")
    return fail("Unavailable", `can't reach ${host} (${code}): check the network and the proxy settings`, cause);
  if (code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT")
    return fail("Unavailable", `${host} went silent: try again later`, cause);
  if (/CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS|ERR_SSL|EPROTO/.test(code))
    return fail(
      "Unavailable",
      `no secure connection to ${host} (${code}): put its authority into /etc/docker/certs.d/${host}/ca.crt, or declare the registry insecure`,
      cause,
    );
  return fail("Unavailable", `the connection to ${host} broke off (${oneLine(code || message)}): try again`, cause);
}
