/** The engine's address: `-H`, TSBOX_HOST, DOCKER_HOST, or the engine of this host. */
import { readFileSync } from "node:fs";
import type { RequestOptions } from "node:https";
import { join } from "node:path";
import { fail, type Strings, shortSocketPath } from "@tsbox/kernel";

export interface Endpoint {
  readonly shown: string;
  readonly secure: boolean;
  /** For `request` of node:http and node:https. */
  readonly options: RequestOptions;
}

const ownState = "/run/tsbox";
const dockersPort = { plain: 2375, secure: 2376 };

export function findEndpoint(argv: readonly string[], environment: Strings): Endpoint {
  return parseEndpoint(
    hostFlag(argv) ?? (environment.TSBOX_HOST || environment.DOCKER_HOST || `unix://${environment.TSBOX_STATE || ownState}/tsbox.sock`),
    environment,
  );
}

/** `-H` or `--host` before the command's name. */
function hostFlag(argv: readonly string[]): string | null {
  for (let at = 0; at < argv.length && argv[at]?.startsWith("-"); at += 1) {
    const word = argv[at] ?? "";
    if (word === "-H" || word === "--host") return argv[at + 1] ?? "";
    const joined = /^(?:--host=|-H=?)(.+)$/.exec(word)?.[1];
    if (joined !== undefined) return joined;
    if (["--config", "-c", "--context", "-l", "--log-level"].includes(word)) at += 1;
  }
  return null;
}

export function parseEndpoint(host: string, environment: Strings): Endpoint {
  if (/^unix:\/\/.|^\//.test(host))
    return { shown: host, secure: false, options: { socketPath: socketPath(host.replace(/^unix:\/\//, "")) } };
  const url = /^(tcp|https?):\/\/./.test(host) ? URL.parse(host.replace(/^tcp:/, "http:")) : null;
  if (url === null) throw fail("InvalidArgument", `${host}: no such way to an engine; give unix://PATH or tcp://HOST:PORT`);
  const verified = Boolean(environment.DOCKER_TLS_VERIFY);
  const secure = verified || host.startsWith("https:");
  const options = {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: Number(url.port) || (secure ? dockersPort.secure : dockersPort.plain),
  };
  return { shown: host, secure, options: secure ? { ...options, ...certificates(environment) } : options };
}

/** The path is valid as long as this process lives. */
function socketPath(path: string): string {
  try {
    return shortSocketPath(path).path;
  } catch (error) {
    throw fail("Unavailable", `Cannot connect to the engine at unix://${path}: its directory can't be opened. Is it running?`, {
      cause: error,
    });
  }
}

/** Docker's three certificate files in DOCKER_CERT_PATH, or ~/.docker. */
function certificates(environment: Strings): RequestOptions {
  const directory = environment.DOCKER_CERT_PATH || join(environment.HOME ?? "/", ".docker");
  const read = (name: string): Buffer => {
    try {
      return readFileSync(join(directory, name));
    } catch {
      throw fail("InvalidArgument", `${join(directory, name)} can't be read: put the certificates there, or set DOCKER_CERT_PATH`);
    }
  };
  return { ca: read("ca.pem"), cert: read("cert.pem"), key: read("key.pem") };
}
