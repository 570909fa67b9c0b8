/**
 * How a record lies in the database: plain CBOR, which any language reads, and behind it four bytes, the CRC-32 (little endian) of the key
 * and the CBOR. lmdb has no checksums, and a record that lost one bit could name another image's layers, whose own would then be swept.
 */
import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";
import { fail } from "@tsbox/kernel";
import { Encoder } from "cbor-x";

// No records of cbor-x's own, no tag for maps (an option that its types leave out).
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

/** `DataLoss`: it is not what was written. */
export function unpack(key: string, stored: Buffer): unknown {
  const end = stored.length - sumLength;
  if (end < 1 || stored.readUInt32LE(end) !== sumOf(key, stored.subarray(0, end)))
    throw fail("DataLoss", `the record ${printable(key)} is not what was written`);
  return cbor.decode(stored.subarray(0, end));
}

/** Of format 1, which had no sums. */
export function unpackPlain(stored: Buffer): unknown {
  return cbor.decode(stored);
}

const printable = (key: string): string => JSON.stringify(key.slice(0, 100));
