/** Splits a full reference, `docker.io/library/debian:12` or `localhost:5000/a/b@sha256:…`, into its parts. */
import { fail } from "@tsbox/kernel";

export interface Reference {
  /** With port, as in the reference. */
  readonly host: string;
  readonly repository: string;
  /** A tag or a digest: the part after /manifests/. */
  readonly target: string;
  /** The short form that people write. */
  readonly shown: string;
}

const form = /^([^/@\s]+)\/([a-z0-9._/-]+?)(?::([\w][\w.-]{0,127})|@(sha256:[0-9a-f]{64}))$/;

export function parseReference(text: string): Reference {
  const [, host, repository, tag, digest] = form.exec(text) ?? [];
  const target = tag ?? digest;
  // A URL would resolve a segment of dots.
  if (host === undefined || repository === undefined || target === undefined || repository.split("/").some((part) => /^\.*$/.test(part)))
    throw fail("InvalidArgument", `${JSON.stringify(text)} is no full reference: give HOST/REPOSITORY:TAG or HOST/REPOSITORY@sha256:…`);
  return { host, repository, target, shown: text.replace(/^docker\.io\/(library\/)?/, "") };
}
