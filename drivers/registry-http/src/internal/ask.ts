/** One request to one endpoint: with a token if the endpoint requires one, following redirects, with a message for each error. */
import { type Access, type Call, fail } from "@tsbox/kernel";
import type { AnswerDeadline } from "./answer-deadline.ts";
import { bodyText, discard } from "./body.ts";
import type { Connections, Response } from "./connections.ts";
import type { Endpoint } from "./endpoints.ts";
import { networkFailure, statusFailure, type Wanted } from "./failures.ts";
import type { Reference } from "./reference.ts";
import type { Tokens } from "./tokens.ts";

const mostRedirects = 5;

export interface Question {
  readonly method: "GET" | "HEAD";
  /** The path below `/v2/REPOSITORY/`. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly wanted: Wanted;
  readonly deadline: AnswerDeadline;
  /** Statuses that are not errors, besides 200 and 206. */
  readonly also?: readonly number[];
}

export interface Asker {
  readonly connections: Connections;
  readonly tokens: Tokens;
  /** Milliseconds. */
  readonly answerTimeout: number;
}

export async function ask(
  asker: Asker,
  call: Call,
  endpoint: Endpoint,
  reference: Reference,
  access: Access,
  question: Question,
): Promise<Response> {
  const url = new URL(`${endpoint.url.replace(/\/+$/, "")}/v2/${reference.repository}/${question.path}`);
  try {
    return await question.deadline.run(call, url.host, async (inTime) => {
      const authorization = await asker.tokens.known(endpoint, reference, access);
      let response = await follow(asker, inTime, endpoint, url, question, authorization);
      if (response.statusCode === 401) {
        const asked = [response.headers["www-authenticate"] ?? []].flat().join(", ");
        const body = await bodyText(response);
        const answer = await asker.tokens.answer(inTime, endpoint, reference, access, asked, authorization);
        if (answer === null || answer === authorization) throw statusFailure(reference, question.wanted, response, body);
        response = await follow(asker, inTime, endpoint, url, question, answer);
      }
      const { statusCode } = response;
      if (statusCode === 200 || statusCode === 206 || question.also?.includes(statusCode)) return response;
      throw statusFailure(reference, question.wanted, response, await bodyText(response));
    });
  } catch (error) {
    throw networkFailure(call, url.host, error);
  }
}

/** Follows redirects. Storage that a registry redirects to must not get the registry's credentials. */
async function follow(
  asker: Asker,
  call: Call,
  endpoint: Endpoint,
  url: URL,
  question: Question,
  authorization: string | null,
): Promise<Response> {
  let at = url;
  for (let hop = 0; hop <= mostRedirects; hop += 1) {
    const ours = at.origin === url.origin;
    const headers = { ...question.headers, ...(authorization !== null && ours ? { authorization } : {}) };
    // The certificates are for the registry itself.
    const trust = ours ? endpoint : { insecure: endpoint.insecure, certificates: null };
    const response = await asker.connections.request(at, question.method, headers, trust, call.signal);
    const { location } = response.headers;
    // It would get the registry's credentials by a challenge of its own.
    if (response.statusCode === 401 && !ours) {
      await discard(response);
      throw fail("Unavailable", `${url.host} redirects to ${at.host}, which answers 401: its operator must mend that`);
    }
    if (response.statusCode < 300 || response.statusCode > 399 || typeof location !== "string") return response;
    await discard(response);
    const next = URL.parse(location, at.href);
    const downgrade = at.protocol === "https:" && next?.protocol === "http:";
    if (next === null || !/^https?:$/.test(next.protocol) || (downgrade && !endpoint.insecure))
      throw fail(
        "Unavailable",
        `${url.host} redirects to ${JSON.stringify(location.slice(0, 200))}, which is not https: its operator must mend that`,
      );
    at = next;
  }
  throw fail("Unavailable", `${url.host} redirects more than ${mostRedirects} times: its operator must mend that`);
}
