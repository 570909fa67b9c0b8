/**
 * Docker's references: the text that a user types, and its full form. Grammar: github.com/distribution/reference.
 *
 *   debian            docker.io/library/debian:latest       shown as debian:latest
 *   host:5000/a/b:1   host:5000/a/b:1                       shown as it is
 *   a@sha256:…        docker.io/library/a@sha256:…
 */
import { type Digest, fail } from "@tsbox/kernel";

export interface Reference {
  /** `docker.io`, `localhost:5000` */
  readonly host: string;
  /** `library/debian` */
  readonly repository: string;
  readonly tag: string | null;
  readonly digest: Digest | null;
}

const component = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const form = new RegExp(`^(${component}(?:/${component})*)(?::([\\w][\\w.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?$`);
const label = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?";
const hostForm = new RegExp(`^(?:${label}(?:\\.${label})*|\\[[0-9a-f:]+\\])(?::\\d+)?$`);
const hub = "docker.io";
/** Characters of host and repository in full form, counted as in Docker. Records and files are named by them. */
const longestRepository = 255;

/** A missing tag and digest means `latest`. */
export function parseReference(text: string): Reference {
  const slash = text.indexOf("/");
  const first = slash < 0 ? "" : text.slice(0, slash);
  const hasHost = first === "localhost" || /[.:]/.test(first) || /[A-Z]/.test(first);
  const rest = hasHost ? text.slice(slash + 1) : text;
  const [, name, tag, digest] = form.exec(rest) ?? [];
  if (name === undefined || (hasHost && !hostForm.test(first)))
    throw fail(
      "InvalidArgument",
      `invalid reference format${/[A-Z]/.test(rest.split(":")[0] ?? "") ? `: repository name (${rest.split(":")[0]}) must be lowercase` : `: "${text}" is not NAME[:TAG|@DIGEST]`}`,
    );
  const host = !hasHost || first === "index.docker.io" || first === "registry-1.docker.io" ? hub : first;
  const repository = host === hub && !name.includes("/") ? `library/${name}` : name;
  if (host.length + 1 + repository.length > longestRepository)
    throw fail("InvalidArgument", `invalid reference format: repository name must not be more than ${longestRepository} characters`);
  return {
    host,
    repository,
    tag: tag ?? (digest === undefined ? "latest" : null),
    digest: (digest as Digest | undefined) ?? null,
  };
}

/**
 * Parses a new name for an image that was not pulled by that name: from an archive, `tag`, `commit` or `import`. A digest identifies an
 * image, so only an image with that digest (`own`) may have it in its name; and no name may look like an image's id.
 */
export function parseNewName(text: string, own: Digest | null, refusal: string): Reference {
  const reference = parseReference(text);
  if (reference.digest !== null && reference.digest !== own) throw fail("InvalidArgument", refusal);
  if (/^[0-9a-f]{64}$/.test(text.split(/[:@]/, 1)[0] ?? ""))
    throw fail("InvalidArgument", `invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`);
  if (familiarName(reference) === "sha256")
    throw fail("InvalidArgument", "refusing to create an ambiguous tag using digest algorithm as name");
  return reference;
}

/** The short form that people write. */
export function familiarName({ host, repository }: Pick<Reference, "host" | "repository">): string {
  if (host !== hub) return `${host}/${repository}`;
  return repository.startsWith("library/") ? repository.slice("library/".length) : repository;
}

export const familiar = (reference: Reference): string =>
  `${familiarName(reference)}${reference.tag === null ? "" : `:${reference.tag}`}${reference.digest === null ? "" : `@${reference.digest}`}`;

/** The form for registry drivers: `docker.io/library/debian:12`. */
export const full = ({ host, repository, tag, digest }: Reference): string =>
  `${host}/${repository}${digest === null ? `:${tag}` : `@${digest}`}`;
