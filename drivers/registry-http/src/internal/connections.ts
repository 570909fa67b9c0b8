/** Connections to registries: one pool for each set of trust options. */
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
/** Milliseconds without a byte from the registry. */
const idleTimeout = 60_000;

export class Connections {
  readonly #pools: Map<string, Dispatcher> = new Map();

  /** One request. Redirects are not followed, and the body is not decoded. */
  request(
    url: URL,
    method: "GET" | "HEAD" | "POST",
    headers: Readonly<Record<string, string>>,
    trust: Trust,
    signal: AbortSignal,
    body: string | null = null,
  ): Promise<Response> {
    // Ranges and digests are those of the stored bytes, so no encoding is accepted.
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
    // As in Docker: a proxy is only used for external hosts.
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

/** Certificates as in /etc/docker/certs.d/HOST: `*.crt` are authorities, `NAME.cert` with `NAME.key` is the client's certificate. */
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
