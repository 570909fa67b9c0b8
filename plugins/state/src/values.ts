/**
 * The stored form of a record: plain CBOR, which any language can read, followed by four bytes, the CRC-32 (little endian) of the key and
 * the CBOR. lmdb has no checksums, and one flipped bit could make a record name another image's layers; its own would then be removed as
 * unused.
 */
import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";
import { fail } from "@tsbox/kernel";
import { Encoder } from "cbor-x";

// Without cbor-x's own record format and without a tag for maps (an option that its types leave out).
const options = { useRecords: false, useTag259ForMaps: false, mapsAsObjects: true };
const cbor = new Encoder(options);
const sumLength = 4;

const sumOf = (key: string, bytes: Buffer): number => crc32(bytes, crc32(key));

export function pack(key: string, value: unknown): Buffer {
  const bytes = cbor.encode(value);
  const sum = Buffer.alloc(sumLength);
  sum.writeUInt32LE(sumOf(key, bytes));
  return Buffer.concat([bytes, sum]);
}

/** `DataLoss`: the value is not what was written. */
export function unpack(key: string, stored: Buffer): unknown {
  const end = stored.length - sumLength;
  if (end < 1 || stored.readUInt32LE(end) !== sumOf(key, stored.subarray(0, end)))
    throw fail("DataLoss", `the record ${printable(key)} is not what was written`);
  return cbor.decode(stored.subarray(0, end));
}

/** Reads a value of format 1, which had no checksums. */
export function unpackPlain(stored: Buffer): unknown {
  return cbor.decode(stored);
}

const printable = (key: string): string => JSON.stringify(key.slice(0, 100));
