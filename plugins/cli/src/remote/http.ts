/** Requests to a remote engine. Its errors are thrown here with the same codes. */
import { type ClientRequest, type IncomingMessage, request as plainRequest } from "node:http";
import { request as secureRequest } from "node:https";
import type { Duplex, Readable } from "node:stream";
import { type Call, type ErrorCode, fail, type Json } from "@tsbox/kernel";
import type { Endpoint } from "./endpoint.ts";

export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;
export interface Sent {
  readonly query?: Query;
  /** The body: JSON, or a stream that is sent unchanged. */
  readonly json?: Json;
  readonly stream?: Readable;
  readonly headers?: Readonly<Record<string, string>>;
}

const apiVersion = "v1.51";
const codes: Readonly<Record<number, ErrorCode>> = {
  400: "InvalidArgument",
  401: "PermissionDenied",
  403: "PermissionDenied",
  404: "NotFound",
  409: "Conflict",
  422: "DataLoss",
  501: "Unsupported",
  503: "Unavailable",
  504: "DeadlineExceeded",
};
const longestError = 64 << 10;

export class Remote {
  readonly #endpoint: Endpoint;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  /** Resolves when the answer's head arrives. Statuses of 400 and above are thrown as errors. */
  async send(call: Call, method: string, path: string, sent: Sent = {}): Promise<IncomingMessage> {
    const body = sent.json === undefined ? null : Buffer.from(JSON.stringify(sent.json));
    const headers = { ...(body ? { "content-type": "application/json", "content-length": String(body.length) } : {}), ...sent.headers };
    const request = this.#request(call, method, path, sent.query ?? {}, headers);
    const answer = new Promise<IncomingMessage>((resolve, reject) => {
      request.once("response", resolve).once("error", (error) => reject(this.#unreachable(call, error)));
    });
    if (sent.stream) sent.stream.on("error", (error) => request.destroy(error)).pipe(request);
    else request.end(body);
    return checked(await answer);
  }

  async json<T>(call: Call, method: string, path: string, sent: Sent = {}): Promise<T> {
    const text = await whole(await this.send(call, method, path, sent), Number.POSITIVE_INFINITY);
    return (text === "" ? null : JSON.parse(text)) as T;
  }

  /** JSON objects, one a line. */
  async lines(call: Call, method: string, path: string, sent: Sent = {}): Promise<AsyncIterable<Json>> {
    return eachLine(await this.send(call, method, path, sent));
  }

  /** Takes over the connection, which carries a process's stdio after the answer's head. */
  async hijack(call: Call, path: string, { query = {}, json }: Sent): Promise<{ readonly socket: Duplex; readonly framed: boolean }> {
    const body = json === undefined ? "" : JSON.stringify(json);
    const type = json === undefined ? {} : { "content-type": "application/json" };
    const length = String(Buffer.byteLength(body));
    const request = this.#request(call, "POST", path, query, { connection: "Upgrade", upgrade: "tcp", ...type, "content-length": length });
    return new Promise((resolve, reject) => {
      request
        .once("upgrade", ({ headers }, socket, head) => {
          socket.unshift(head);
          resolve({ socket, framed: headers["content-type"] === "application/vnd.docker.multiplexed-stream" });
        })
        .once("response", (response) =>
          checked(response).then(
            () => reject(fail("Unsupported", `the engine at ${this.#endpoint.shown} does not hand the connection over`)),
            reject,
          ),
        )
        .once("error", (error) => reject(this.#unreachable(call, error)))
        .end(body);
    });
  }

  #request(call: Call, method: string, path: string, query: Query, headers: Readonly<Record<string, string>>): ClientRequest {
    const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "" && value !== false);
    const search = new URLSearchParams(
      given.flatMap(([key, value]): [string, string][] =>
        Array.isArray(value) ? value.map((one) => [key, String(one)]) : [[key, value === true ? "1" : String(value)]],
      ),
    ).toString();
    const send = this.#endpoint.secure ? secureRequest : plainRequest;
    return send({
      ...this.#endpoint.options,
      method,
      path: `/${apiVersion}${path}${search === "" ? "" : `?${search}`}`,
      headers: { host: "tsbox", ...headers },
      agent: false,
      signal: call.signal,
    });
  }

  #unreachable(call: Call, error: NodeJS.ErrnoException): Error {
    if (call.signal.aborted) return call.signal.reason as Error;
    const { shown } = this.#endpoint;
    if (error.code === "EACCES")
      return fail("PermissionDenied", `permission denied at ${shown}: be root, or in the group of the socket`, { cause: error });
    return fail("Unavailable", `Cannot connect to the engine at ${shown} (${error.code ?? error.message}). Is it running?`, {
      cause: error,
    });
  }
}

async function checked(response: IncomingMessage): Promise<IncomingMessage> {
  const { statusCode = 0 } = response;
  if (statusCode < 400) return response;
  const text = await whole(response, longestError);
  throw fail(codes[statusCode] ?? "Internal", messageOf(text) || `the engine answered ${statusCode}`);
}

function messageOf(text: string): string {
  try {
    const { message } = JSON.parse(text) as { readonly message?: unknown };
    return typeof message === "string" ? message : "";
  } catch {
    return text.trim();
  }
}

async function whole(response: IncomingMessage, limit: number): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of response as AsyncIterable<Uint8Array>) {
    parts.push(part);
    size += part.length;
    if (size > limit) break;
  }
  return Buffer.concat(parts).toString();
}

async function* eachLine(response: IncomingMessage): AsyncGenerator<Json> {
  let rest = "";
  response.setEncoding("utf8");
  for await (const part of response as AsyncIterable<string>) {
    const lines = (rest + part).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.trim() !== "") yield JSON.parse(line) as Json;
  }
  if (rest.trim() !== "") yield JSON.parse(rest) as Json;
}
