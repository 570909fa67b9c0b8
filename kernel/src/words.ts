/**
 * The parsers of the contracts' words: the only way from an untrusted string to a branded one. Each throws an `InvalidArgument` that quotes
 * its input.
 */
import { randomBytes } from "node:crypto";
import type { ActiveKey, SnapshotName, ViewKey } from "./contract/storage.ts";
import type { ContainerId, Digest, EndpointId, ExecId, NetworkId } from "./contract/words.ts";
import { fail } from "./errors/index.ts";

const hex64 = /^[0-9a-f]{64}$/;
const fileSafe = /^[A-Za-z0-9_:-][A-Za-z0-9._:-]{0,199}$/;
const sha256 = /^sha256:[0-9a-f]{64}$/;

export const parseContainerId = (text: string): ContainerId => checked(text, hex64, "a container id (64 hex digits)") as ContainerId;
export const parseExecId = (text: string): ExecId => checked(text, hex64, "an exec id (64 hex digits)") as ExecId;
export const parseEndpointId = (text: string): EndpointId => checked(text, hex64, "an endpoint id (64 hex digits)") as EndpointId;
export const parseNetworkId = (text: string): NetworkId => checked(text, hex64, "a network id (64 hex digits)") as NetworkId;
export const parseDigest = (text: string): Digest => checked(text, sha256, "a digest (sha256: and 64 hex digits)") as Digest;
export const parseActiveKey = (text: string): ActiveKey => checked(text, fileSafe, snapshotWord) as ActiveKey;
export const parseViewKey = (text: string): ViewKey => checked(text, fileSafe, snapshotWord) as ViewKey;
export const parseSnapshotName = (text: string): SnapshotName => checked(text, fileSafe, snapshotWord) as SnapshotName;

export const newContainerId = (): ContainerId => random() as ContainerId;
export const newExecId = (): ExecId => random() as ExecId;
export const newEndpointId = (): EndpointId => random() as EndpointId;
export const newNetworkId = (): NetworkId => random() as NetworkId;

/** Characters of an invalid string that an error message quotes. */
const longestQuote = 200;

const snapshotWord = "a snapshot's key (1 to 200 of A-Z a-z 0-9 . _ : -, no dot first)";

function checked(text: string, form: RegExp, what: string): string {
  if (typeof text === "string" && form.test(text)) return text;
  const quoted = JSON.stringify(text) ?? String(text);
  throw fail("InvalidArgument", `${quoted.length > longestQuote ? `${quoted.slice(0, longestQuote)}…` : quoted} is not ${what}`);
}

/** Random bytes for the next ids. One call to the generator costs as much as what it delivers for a hundred ids. */
let pool = Buffer.alloc(0);
const idBytes = 32;

function random(): string {
  if (pool.length < idBytes) pool = randomBytes(128 * idBytes);
  const id = pool.toString("hex", 0, idBytes);
  pool = pool.subarray(idBytes);
  return id;
}
