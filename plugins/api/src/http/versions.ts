/** `/v1.24/…` to `/v1.51/…`, and paths without a version, which mean the newest. */
import { apiVersion, minimumApiVersion } from "../operations/versions.ts";

export type Versioned = { readonly path: string; readonly version: string } | { readonly refused: string };

const minor = (version: string): number => Number(version.split(".")[1]);

/** `url`: path and query, after `http://HOST` where the client speaks to a proxy. */
export function versionOf(given: string): Versioned {
  const url = given.replace(/^https?:\/\/[^/?]*/i, "");
  const [, version, path = ""] = /^\/v(\d+\.\d+)(\/.*)$/.exec(url) ?? [];
  if (version === undefined) return { path: url, version: apiVersion };
  if (!version.startsWith("1.") || minor(version) > minor(apiVersion))
    return { refused: `client version ${version} is too new. Maximum supported API version is ${apiVersion}` };
  if (minor(version) < minor(minimumApiVersion))
    return {
      refused: `client version ${version} is too old. Minimum supported API version is ${minimumApiVersion}, please upgrade your client to a newer version`,
    };
  return { path, version };
}

export const atLeast = (version: string, wanted: string): boolean => minor(version) >= minor(wanted);
