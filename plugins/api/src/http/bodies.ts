/**
 * Request bodies: a stream for the routes that want bytes, JSON for all others. As in Docker, the first take any Content-Type, and a wrong
 * one matters to the others only where they need a body.
 */
import type { IncomingMessage } from "node:http";
import { fail, parseJson } from "@tsbox/kernel";
import type { FastifyInstance } from "fastify";
import { ForeignBody } from "./shapes.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** The route wants the body as a stream. */
    bytes?: boolean;
  }
}

/** Options of a route that wants the body as a stream. */
export const bytes = { config: { bytes: true } } as const;

const [json, stream, foreign] = ["application/json", "application/octet-stream", "application/x-foreign"];

export function bodyParsers(app: FastifyInstance): void {
  const given = new WeakMap<IncomingMessage, string>();
  // The framework refuses a malformed type before a parser sees it, so it is told one of three types.
  app.addHook("onRequest", async ({ raw, routeOptions }) => {
    const type = raw.headers["content-type"];
    if (type === undefined && !hasBody(raw)) return;
    given.set(raw, type ?? "");
    raw.headers["content-type"] = routeOptions.config.bytes ? stream : /^application\/json\s*(;|$)/i.test(type ?? "") ? json : foreign;
  });
  app.removeAllContentTypeParsers();
  // Clients send the JSON content type with an empty body.
  app.addContentTypeParser(json, { parseAs: "string" }, (_request, body, done) => {
    try {
      done(null, body === "" ? null : parseJson(body as string));
    } catch (error) {
      done(fail("InvalidArgument", `invalid JSON in the request's body: ${(error as Error).message}`));
    }
  });
  app.addContentTypeParser(stream, (_request, body, done) => done(null, body));
  app.addContentTypeParser(foreign, ({ raw }, _body, done) => done(null, hasBody(raw) ? new ForeignBody(given.get(raw) ?? "") : null));
}

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";
