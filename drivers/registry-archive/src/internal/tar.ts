/**
 * Finds the files of a tar (POSIX.1-2001 pax, ustar, GNU long names): it reads the headers and skips the contents. The tar is untrusted.
 */
import type { FileHandle } from "node:fs/promises";
import { type Call, fail, limits } from "@tsbox/kernel";

export interface Member {
  readonly offset: number;
  readonly size: number;
}

const block = 512;
const mostLinks = 10;

interface Header {
  readonly name: string;
  readonly size: number;
  readonly type: string;
  readonly link: string;
}

/** Fields that a header sets for the next member. */
interface Overrides {
  name?: string;
  link?: string;
  size?: number;
}

/** `InvalidArgument`: not a tar; `DataLoss`: it is truncated or damaged. */
export async function indexTar(call: Call, path: string, file: FileHandle): Promise<ReadonlyMap<string, Member>> {
  const members = new Map<string, Member>();
  const links = new Map<string, string>();
  const { size: end } = await file.stat();
  // Even an empty tar ends with blocks of zeros.
  if (end < block) throw fail("InvalidArgument", `${path} is no image archive: it is no tar`);
  let overrides: Overrides = {};
  let [count, remembered] = [0, 0];
  for (let at = 0; at + block <= end; ) {
    call.signal.throwIfAborted();
    const bytes = await exactly(file, at, block);
    if (bytes.every((byte) => byte === 0)) break;
    const header = parseHeader(bytes);
    if (header === null)
      throw at === 0
        ? fail("InvalidArgument", `${path} is no image archive: it is no tar`)
        : fail("DataLoss", `${path} is torn at byte ${at}: copy it again`);
    const size = overrides.size !== undefined && !"xgLK".includes(header.type) ? overrides.size : header.size;
    const data = at + block;
    if (!Number.isSafeInteger(size) || size > end - data)
      throw fail("DataLoss", `${path} ends in the middle of ${JSON.stringify(header.name)}: the file was cut off, copy it again`);
    count += 1;
    if (count > limits.mostMembers) throw fail("DataLoss", `${path} has more than ${limits.mostMembers} entries: that is no image archive`);
    if ("xLK".includes(header.type)) {
      if (size > limits.largestHeader)
        throw fail("DataLoss", `${path} has a header of ${size} bytes at byte ${at}: that is no image archive`);
      overrides = { ...overrides, ...overridesOf(header.type, await exactly(file, data, size)) };
    } else if (header.type !== "g") {
      const [called, link] = [overrides.name ?? header.name, overrides.link ?? header.link];
      remembered += called.length + link.length;
      if (called.length > limits.longestPath || link.length > limits.longestPath || remembered > limits.largestMemory)
        throw fail("DataLoss", `${path} has names of too many bytes, at byte ${at}: that is no image archive`);
      const name = clean(called, "");
      if (name !== null) enter(members, links, name, header.type, { offset: data, size }, link);
      overrides = {};
    }
    at = data + Math.ceil(size / block) * block;
  }
  for (const [name, target] of links) {
    const member = followed(members, links, target);
    if (member) members.set(name, member);
  }
  return members;
}

/** Of several members with the same name, the last one counts. */
function enter(members: Map<string, Member>, links: Map<string, string>, name: string, type: string, member: Member, link: string): void {
  members.delete(name);
  links.delete(name);
  if (type === "0" || type === "\0" || type === "7") members.set(name, member);
  if (type !== "1" && type !== "2") return;
  // A hard link's target is relative to the archive's root, a symbolic link's to its own directory.
  const target = clean(link, type === "1" ? "" : name.slice(0, name.lastIndexOf("/") + 1));
  if (target !== null) links.set(name, target);
}

function followed(members: ReadonlyMap<string, Member>, links: ReadonlyMap<string, string>, from: string): Member | null {
  let name = from;
  for (let hop = 0; hop < mostLinks; hop += 1) {
    const target = links.get(name);
    if (target === undefined) return members.get(name) ?? null;
    name = target;
  }
  return null;
}

/** Removes `.` and `..`; null: the name leads out of the archive, so it is no member. */
function clean(name: string, base: string): string | null {
  if (name.startsWith("/")) return null;
  const parts: string[] = [];
  for (const part of `${base}${name}`.split("/")) {
    if (part === "..") {
      if (parts.pop() === undefined) return null;
    } else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.join("/");
}

async function exactly(file: FileHandle, at: number, size: number): Promise<Buffer> {
  const buffer = Buffer.alloc(size);
  for (let done = 0; done < size; ) {
    const { bytesRead } = await file.read(buffer, done, size - done, at + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return buffer;
}

function parseHeader(bytes: Buffer): Header | null {
  const text = (from: number, length: number): string => cString(bytes.subarray(from, from + length));
  const sum = bytes.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
  if (Number.parseInt(text(148, 8).trim(), 8) !== sum) return null;
  const prefix = text(257, 6) === "ustar" ? text(345, 155) : "";
  return {
    name: prefix === "" ? text(0, 100) : `${prefix}/${text(0, 100)}`,
    size: numberOf(bytes.subarray(124, 136)),
    type: String.fromCharCode(bytes[156] ?? 0),
    link: text(157, 100),
  };
}

/** Octal, or base 256 if the first bit is set (GNU). NaN: the field is invalid. */
function numberOf(field: Buffer): number {
  const first = field[0] ?? 0;
  if (first >= 0x80) return first === 0x80 ? field.subarray(1).reduce((value, byte) => value * 256 + byte, 0) : Number.NaN;
  const text = cString(field).trim();
  return /^[0-7]*$/.test(text) ? Number.parseInt(text || "0", 8) : Number.NaN;
}

function cString(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end < 0 ? bytes.length : end);
}

function overridesOf(type: string, bytes: Buffer): Overrides {
  if (type === "L") return { name: cString(bytes) };
  if (type === "K") return { link: cString(bytes) };
  const found: Overrides = {};
  // Records of pax: "LENGTH KEY=VALUE\n", with the length of the whole record.
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const length = Number(bytes.toString("latin1", at, space));
    if (space < 0 || !(length > 0) || at + length > bytes.length) break;
    const [key, value = ""] = bytes.toString("utf8", space + 1, at + length - 1).split(/=(.*)/s, 2);
    if (key === "path") found.name = value;
    if (key === "linkpath") found.link = value;
    if (key === "size") found.size = /^\d+$/.test(value) ? Number(value) : Number.NaN;
    at += length;
  }
  return found;
}
