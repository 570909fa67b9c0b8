/**
 * Authentication at a registry. A 401 names the method: Basic, or Bearer with a token server
 * (distribution.github.io/distribution/spec/auth/token). Tokens are kept for their lifetime by host, repository and user, so that the
 * layers of an image share one.
 */
import { createHash } from "node:crypto";
import { type Access, type Call, type Credentials, fail } from "@tsbox/kernel";
import { bodyText } from "./body.ts";
import { parseChallenges } from "./challenge.ts";
import type { Connections, Response } from "./connections.ts";
import type { Endpoint } from "./endpoints.ts";
import { deniedText, oneLine } from "./failures.ts";
import type { Reference } from "./reference.ts";

interface Grant {
  readonly header: string;
  /** Milliseconds since the epoch. */
  readonly until: number;
}

/** Seconds that a token lives if its server does not say so (the specification's default), and how much earlier it expires here. */
const defaultLife = 60;
const margin = 10;
/** Seconds that a grant is kept: a password about as long as a pull needs it, a token at most an hour. */
const passwordLife = 60;
const longestLife = 3600;

export class Tokens {
  readonly #connections: Connections;
  readonly #grants: Map<string, Promise<Grant>> = new Map();

  constructor(connections: Connections) {
    this.#connections = connections;
  }

  /** The header for a first request; null: none is known yet. */
  async known(endpoint: Endpoint, reference: Reference, access: Access): Promise<string | null> {
    const key = keyOf(endpoint, reference, access);
    const grant = await this.#grants.get(key)?.catch(() => null);
    if (grant && grant.until > Date.now()) return grant.header;
    return null;
  }

  /** Answers a 401 whose `WWW-Authenticate` is `asked`; `refused` is the header that was refused. Null: no method is possible. */
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
    // A concurrent request for another layer has got a new one meanwhile.
    if (current && current.header !== refused && current.until > Date.now()) return current.header;
    if (this.#grants.get(key) !== before) return this.answer(call, endpoint, reference, access, asked, refused);
    const grant = this.#ask(call, endpoint, reference, access, asked);
    this.#grants.set(key, grant);
    try {
      const { header, until } = await grant;
      // Removes an expired grant from memory even if it is not requested again.
      setTimeout(() => this.#grants.get(key) === grant && this.#grants.delete(key), until - Date.now()).unref();
      return header;
    } catch (error) {
      if (this.#grants.get(key) === grant) this.#grants.delete(key);
      if (error === noWay) return null;
      throw error;
    }
  }

  async #ask(call: Call, endpoint: Endpoint, reference: Reference, access: Access, asked: string): Promise<Grant> {
    const credentials = endpoint.own ? access.credentials : null;
    const challenges = parseChallenges(asked);
    const bearer = challenges.find(({ authScheme }) => authScheme === "bearer");
    const kept = (header: string): Grant => ({ header, until: Date.now() + passwordLife * 1000 });
    if (credentials && "token" in credentials) return kept(`Bearer ${credentials.token}`);
    if (bearer) return this.#fetch(call, endpoint, reference, bearer.parameters, credentials);
    const basic = basicOf(credentials);
    if (basic !== null && challenges.some(({ authScheme }) => authScheme === "basic")) return kept(basic);
    throw noWay;
  }

  async #fetch(
    call: Call,
    endpoint: Endpoint,
    reference: Reference,
    parameters: ReadonlyMap<string, string>,
    credentials: User | null,
  ): Promise<Grant> {
    const realm = URL.parse(parameters.get("realm") ?? "");
    const secure = realm?.protocol === "https:" || (realm?.protocol === "http:" && endpoint.url.startsWith("http:"));
    if (realm === null || !secure)
      throw fail(
        "PermissionDenied",
        `${reference.host} wants tokens from ${oneLine(parameters.get("realm") ?? "nowhere")}, which is no https URL: its operator must mend that`,
      );
    const service = parameters.get("service");
    const scope = `repository:${reference.repository}:pull`;
    const response = await (credentials?.identityToken === undefined
      ? this.#get(realm, service, scope, basicOf(credentials), endpoint, call.signal)
      : this.#exchange(realm, service ?? "", scope, credentials.identityToken, endpoint, call.signal));
    const text = await bodyText(response);
    if (response.statusCode === 401 || response.statusCode === 403) throw fail("PermissionDenied", deniedText(reference, text));
    const { token, access_token, expires_in } = parse(text);
    const word = typeof token === "string" && token !== "" ? token : access_token;
    // A line break in the token would add another header.
    if (response.statusCode !== 200 || typeof word !== "string" || !/^[\x21-\x7e]+$/.test(word))
      throw fail(
        "Unavailable",
        `the token server ${realm.host} of ${reference.host} answered ${response.statusCode} without a token: try again later`,
      );
    const life = typeof expires_in === "number" && expires_in > 0 ? Math.min(expires_in, longestLife) : defaultLife;
    return { header: `Bearer ${word}`, until: Date.now() + Math.max(life - margin, 1) * 1000 };
  }

  #get(
    realm: URL,
    service: string | undefined,
    scope: string,
    basic: string | null,
    trust: Endpoint,
    signal: AbortSignal,
  ): Promise<Response> {
    if (service !== undefined) realm.searchParams.set("service", service);
    realm.searchParams.set("scope", scope);
    return this.#connections.request(realm, "GET", basic === null ? {} : { authorization: basic }, trust, signal);
  }

  /** An identity token is an OAuth2 refresh token (distribution.github.io/distribution/spec/auth/oauth). */
  #exchange(realm: URL, service: string, scope: string, token: string, trust: Endpoint, signal: AbortSignal): Promise<Response> {
    const form = new URLSearchParams({ grant_type: "refresh_token", service, client_id: "tsbox", scope, refresh_token: token });
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    return this.#connections.request(realm, "POST", headers, trust, signal, form.toString());
  }
}

type User = Exclude<Credentials, { readonly token: string }>;

/** Null: there is no password. */
function basicOf(user: User | null): string | null {
  if (user === null || user.username === "") return null;
  return `Basic ${Buffer.from(`${user.username}:${user.password}`).toString("base64")}`;
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
