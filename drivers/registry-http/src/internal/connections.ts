/** Connections to registries: one pool for each way of trusting the other side. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { getCACertificates } from "node:tls";
import { Agent, type Dispatcher, EnvHttpProxyAgent, request } from "undici";
import { isLoopback } from "./endpoints.ts";

export type Response = Dispatcher.ResponseData;
export interface Trust {
  readonly insecure: boolean;
  readonly certificates: string | null;
}

/** Milliseconds. */
const connectTimeout = 15_000;
/** Without a byte from the other side. */
const idleTimeout = 60_000;

export class Connections {
  readonly #pools: Map<string, Dispatcher> = new Map();

  /** One request, redirects not followed, the body as it is on the wire. */
  request(
    url: URL,
    method: "GET" | "HEAD" | "POST",
    headers: Readonly<Record<string, string>>,
    trust: Trust,
    signal: AbortSignal,
    body: string | null = null,
  ): Promise<Response> {
    // Ranges and digests are those of the bytes as stored.
    const all = { "accept-encoding": "identity", "user-agent": "tsbox", ...headers };
    return request(url, { method, headers: all, body, signal, dispatcher: this.#pool(url, trust) });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.destroy()));
    this.#pools.clear();
  }

  #pool(url: URL, { insecure, certificates }: Trust): Dispatcher {
    const direct = isLoopback(url.host);
    const key = `${url.protocol} ${direct} ${insecure} ${certificates}`;
    const known = this.#pools.get(key);
    if (known) return known;
    const tls = url.protocol === "https:" ? tlsOptions(insecure, certificates) : {};
    const options = { connect: { ...tls, timeout: connectTimeout }, headersTimeout: idleTimeout, bodyTimeout: idleTimeout };
    // A proxy is for the world outside, as with Docker.
    const pool = direct ? new Agent(options) : new EnvHttpProxyAgent({ ...options, requestTls: tls });
    this.#pools.set(key, pool);
    return pool;
  }
}

interface TlsOptions {
  readonly ca: (string | Buffer)[];
  readonly rejectUnauthorized: boolean;
  readonly cert?: Buffer[];
  readonly key?: Buffer[];
}

/** As /etc/docker/certs.d/HOST: `*.crt` are authorities, `NAME.cert` with `NAME.key` is what this side shows. */
function tlsOptions(insecure: boolean, directory: string | null): TlsOptions {
  const names = directory === null ? [] : readdirSync(directory).sort();
  const read = (suffix: string): readonly Buffer[] =>
    names.filter((name) => name.endsWith(suffix)).map((name) => readFileSync(join(directory ?? "", name)));
  const [cert, key] = [read(".cert"), read(".key")];
  return {
    ca: [...new Set([...getCACertificates("default"), ...getCACertificates("system")]), ...read(".crt")],
    rejectUnauthorized: !insecure,
    ...(cert.length > 0 && key.length > 0 ? { cert: [...cert], key: [...key] } : {}),
  };
}
