/**
 * The user's logins at registries, found as docker's client finds them: in `config.json` (`auths`), with the credential helper of one
 * registry (`credHelpers`), or with the helper for all (`credsStore`). An error in one of them is a warning, and the pull continues without
 * that login.
 */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Strings } from "@tsbox/kernel";
import { askHelper, defaultHelper } from "./credential-helper.ts";

/** AuthConfig's fields, as Docker's API names them, for each registry with a login. */
export type Logins = Readonly<Record<string, Strings>>;

interface Configuration {
  readonly auths: ReadonlyMap<string, Strings>;
  readonly helpers: ReadonlyMap<string, string>;
  /** Empty: there is none. */
  readonly store: string;
}

const hub = "docker.io";
/** Docker's key for Docker Hub in its configuration and in requests to its helpers. */
const hubKey = "https://index.docker.io/v1/";
/** Bytes; the same as `LONGEST` of native/client/src/config.rs. */
const largestFile = 4 << 20;

/**
 * The registry of an image's name, `docker.io` for Docker Hub; null: `SCHEME:/PATH`, which does not come from a registry. The schemes are
 * known to the engine alone, which gives logins to no driver of another one.
 */
export function registryOf(name: string): string | null {
  if (/^[a-z][a-z0-9-]*:\/(?!\/)/.test(name)) return null;
  const reference = name.replace(/^docker:\/\//, "");
  const slash = reference.indexOf("/");
  const first = slash < 0 ? "" : reference.slice(0, slash);
  if (first !== "localhost" && !/[.:A-Z]/.test(first)) return hub;
  return first === "index.docker.io" || first === "registry-1.docker.io" ? hub : first;
}

/** `directory`: the directory of `config.json`. */
export async function findLogins(
  directory: string,
  registries: readonly string[],
  environment: Strings,
  warn: (text: string) => void,
): Promise<Logins> {
  const configuration = readConfiguration(join(directory, "config.json"), environment, warn);
  const found: [string, Strings][] = [];
  // One after another: a helper may ask the user for a password.
  for (const registry of registries) {
    const login = await findLogin(configuration, registry === hub ? hubKey : registry, environment, warn);
    if (Object.keys(login).length > 0) found.push([registry, login]);
  }
  return Object.fromEntries(found);
}

async function findLogin(
  { auths, helpers, store }: Configuration,
  key: string,
  environment: Strings,
  warn: (text: string) => void,
): Promise<Strings> {
  const written = auths.get(key) ?? [...auths].find(([name]) => hostOf(name) === key)?.[1] ?? {};
  const helper = helpers.get(key) ?? store;
  if (helper === "") return written;
  try {
    return await askHelper(helper, key, environment);
  } catch (error) {
    warn(`WARNING: ${(error as Error).message}\n`);
    return written;
  }
}

/** Old files name registries by URL: `https://HOST:PORT/v1/`, `HOST/v1/`. */
function hostOf(name: string): string {
  const url = name.includes("://") ? URL.parse(name) : null;
  return url !== null && url.host !== "" ? url.host : (name.split("/", 1)[0] ?? "");
}

function readConfiguration(path: string, environment: Strings, warn: (text: string) => void): Configuration {
  const wrong = (why: string): void => warn(`WARNING: Error parsing config file (${path}): ${why}\n`);
  let whole: Fields = {};
  try {
    const { size, isFile } = fileAt(path);
    if (!isFile) wrong("it is no regular file");
    else if (size > largestFile) wrong(`it has more than ${largestFile} bytes`);
    else whole = fieldsOf(JSON.parse(readFileSync(path, "utf8"))) ?? {};
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") wrong((error as Error).message);
  }
  const auths = new Map<string, Strings>();
  for (const [registry, value] of Object.entries(fieldsOf(whole.auths) ?? {})) {
    const login = loginOf(fieldsOf(value) ?? {});
    if (login === null) wrong(`the login at ${registry} is no user and password in base64`);
    else auths.set(registry, login);
  }
  const helpers = new Map(Object.entries(fieldsOf(whole.credhelpers) ?? {}).filter((pair): pair is [string, string] => isText(pair[1])));
  const named = isText(whole.credsstore) ? whole.credsstore : "";
  const isEmpty = named === "" && helpers.size === 0 && auths.size === 0;
  return { auths, helpers, store: isEmpty ? defaultHelper(environment) : named };
}

function fileAt(path: string): { readonly size: number; readonly isFile: boolean } {
  const found = statSync(path);
  return { size: found.size, isFile: found.isFile() };
}

/** Null: `auth` is invalid. */
function loginOf(fields: Fields): Strings | null {
  const text = (name: string): Strings => (isText(fields[name]) && fields[name] !== "" ? { [name]: fields[name] } : {});
  const rest = { ...text("identitytoken"), ...text("registrytoken") };
  const auth = fields.auth ?? "";
  if (auth === "") return { ...text("username"), ...text("password"), ...rest };
  if (!isText(auth) || !/^[A-Za-z0-9+/\r\n]*={0,2}$/.test(auth)) return null;
  const decoded = Buffer.from(auth, "base64").toString();
  const colon = decoded.indexOf(":");
  // Old clients padded the password with NUL characters.
  return colon <= 0 ? null : { username: decoded.slice(0, colon), password: trimZeros(decoded.slice(colon + 1)), ...rest };
}

function trimZeros(text: string): string {
  let [from, to] = [0, text.length];
  while (text[from] === "\0") from += 1;
  while (to > from && text[to - 1] === "\0") to -= 1;
  return text.slice(from, to);
}

type Fields = Readonly<Record<string, unknown>>;
const isText = (value: unknown): value is string => typeof value === "string";

/** An object's fields. Names that docker knows are case-insensitive; names of registries stay unchanged. */
function fieldsOf(value: unknown): Fields | null {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  const known = /^(auths|auth|username|password|identitytoken|registrytoken|credhelpers|credsstore)$/i;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [known.test(name) ? name.toLowerCase() : name, field]));
}
