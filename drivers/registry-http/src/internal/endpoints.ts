/** The endpoints of a reference: mirrors first, its own registry last. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Access, fail, type RegistryEndpoint } from "@tsbox/kernel";

/** Docker Hub's registry has another host name. */
const realHosts: Readonly<Record<string, string>> = { "docker.io": "registry-1.docker.io" };

export interface Endpoint extends RegistryEndpoint {
  /** The registry that the reference names, not a mirror of it: only this one gets the credentials. */
  readonly own: boolean;
}

/** `host` with port. Plain http for loopback, unless there are certificates for it; https for all other hosts. */
export function endpoints(host: string, access: Access, certificates: string): readonly Endpoint[] {
  const real = realHosts[host] ?? host;
  const directory = join(certificates, host);
  const hasCertificates = existsSync(directory);
  const plain = isLoopback(real) && !hasCertificates;
  const home: Endpoint = {
    url: `${plain ? "http" : "https"}://${real}`,
    insecure: plain,
    certificates: hasCertificates ? directory : null,
    own: true,
  };
  const named = access.endpoints.map((endpoint): Endpoint => ({ ...endpoint, own: [host, real].includes(hostOf(endpoint)) }));
  return named.some(({ own }) => own) ? named : [...named, home];
}

function hostOf({ url, insecure }: RegistryEndpoint): string {
  const parsed = URL.parse(url);
  if (parsed === null || !/^https?:$/.test(parsed.protocol))
    throw fail("InvalidArgument", `the registry endpoint ${url} is no http or https URL`);
  if (parsed.protocol === "http:" && !insecure && !isLoopback(parsed.host))
    throw fail("InvalidArgument", `the registry endpoint ${url} is plain http: say https, or that it is insecure`);
  return parsed.host;
}

export function isLoopback(host: string): boolean {
  const name = host.replace(/:\d+$/, "");
  return name === "localhost" || name === "[::1]" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(name);
}
