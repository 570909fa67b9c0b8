/**
 * Who we are to a registry. A 401 says how to ask: Basic, or Bearer with a token server
 * (distribution.github.io/distribution/spec/auth/token). Tokens are kept for their life per host, repository and user, so that the layers
 * of an image share one.
 */
import { createHash } from "node:crypto";
import { type Access, type Call, fail } from "@tsbox/kernel";
import { bodyText } from "./body.ts";
import { parseChallenges } from "./challenge.ts";
import type { Connections } from "./connections.ts";
import type { Endpoint } from "./endpoints.ts";
import { deniedText, oneLine } from "./failures.ts";
import type { Reference } from "./reference.ts";

interface Grant {
  readonly header: string;
  /** Milliseconds since the epoch. */
  readonly until: number;
}

/** Seconds that a token lives whose server does not say (the specification's word), and how much earlier it is given up. */
const defaultLife = 60;
const margin = 10;

export class Tokens {
  readonly #connections: Connections;
  readonly #grants: Map<string, Promise<Grant>> = new Map();

  constructor(connections: Connections) {
    this.#connections = connections;
  }

  /** What to send before anybody asks; null: nothing is known yet. */
  async known(endpoint: Endpoint, reference: Reference, access: Access): Promise<string | null> {
    const key = keyOf(endpoint, reference, access);
    const grant = await this.#grants.get(key)?.catch(() => null);
    if (grant && grant.until > Date.now()) return grant.header;
    return null;
  }

  /** Answers a 401 whose `WWW-Authenticate` is `asked`; `refused` is the header that did not do. Null: there is no way in. */
  async answer(
    call: Call,
    endpoint: Endpoint,
    reference: Reference,
    access: Access,
    asked: string,
    refused: string | null,
  ): Promise<string | null> {
    const key = keyOf(endpoint, reference, access);
    const before = this.#grants.get(key);
    const current = await before?.catch(() => null);
    // Another layer has asked in the meantime.
    if (current && current.header !== refused && current.until > Date.now()) return current.header;
    if (this.#grants.get(key) !== before) return this.answer(call, endpoint, reference, access, asked, refused);
    const grant = this.#ask(call, endpoint, reference, access, asked);
    this.#grants.set(key, grant);
    try {
      return (await grant).header;
    } catch (error) {
      if (this.#grants.get(key) === grant) this.#grants.delete(key);
      if (error === noWay) return null;
      throw error;
    }
  }

  async #ask(call: Call, endpoint: Endpoint, reference: Reference, access: Access, asked: string): Promise<Grant> {
    const credentials = endpoint.own ? access.credentials : null;
    const challenges = parseChallenges(asked);
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    if (credentials && "token" in credentials) return { header: `Bearer ${credentials.token}`, until: Number.POSITIVE_INFINITY };
    const basic = credentials && `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`;
    if (bearer) return this.#fetch(call, endpoint, reference, bearer.parameters, basic);
    if (basic !== null && challenges.some(({ scheme }) => scheme === "basic")) return { header: basic, until: Number.POSITIVE_INFINITY };
    throw noWay;
  }

  async #fetch(
    call: Call,
    endpoint: Endpoint,
    reference: Reference,
    parameters: ReadonlyMap<string, string>,
    basic: string | null,
  ): Promise<Grant> {
    const realm = URL.parse(parameters.get("realm") ?? "");
    const secure = realm?.protocol === "https:" || (realm?.protocol === "http:" && endpoint.url.startsWith("http:"));
    if (realm === null || !secure)
      throw fail(
        "PermissionDenied",
        `${reference.host} wants tokens from ${oneLine(parameters.get("realm") ?? "nowhere")}, which is no https URL: its operator must mend that`,
      );
    const service = parameters.get("service");
    if (service !== undefined) realm.searchParams.set("service", service);
    realm.searchParams.set("scope", `repository:${reference.repository}:pull`);
    const headers = basic === null ? {} : { authorization: basic };
    const response = await this.#connections.request(realm, "GET", headers, endpoint, call.signal);
    const text = await bodyText(response);
    if (response.statusCode === 401 || response.statusCode === 403) throw fail("PermissionDenied", deniedText(reference, text));
    const { token, access_token, expires_in } = parse(text);
    const word = typeof token === "string" && token !== "" ? token : access_token;
    // A line break in it would make a header of its own.
    if (response.statusCode !== 200 || typeof word !== "string" || !/^[\x21-\x7e]+$/.test(word))
      throw fail(
        "Unavailable",
        `the token server ${realm.host} of ${reference.host} answered ${response.statusCode} without a token: try again later`,
      );
    const life = typeof expires_in === "number" && expires_in > 0 ? expires_in : defaultLife;
    return { header: `Bearer ${word}`, until: Date.now() + Math.max(life - margin, 1) * 1000 };
  }
}

const noWay = new Error("no challenge that can be met");

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    return (JSON.parse(text) ?? {}) as Readonly<Record<string, unknown>>;
  } catch {
    return {};
  }
}

function keyOf(endpoint: Endpoint, { repository }: Reference, { credentials }: Access): string {
  const who = endpoint.own && credentials ? createHash("sha256").update(JSON.stringify(credentials)).digest("hex") : "";
  return `${endpoint.url} ${repository} ${who}`;
}
