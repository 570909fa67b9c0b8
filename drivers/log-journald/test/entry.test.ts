/** Entries of journald's native protocol. */
import assert from "node:assert/strict";
import { suite } from "@tsbox/harness";
import { type LogSource, newContainerId } from "@tsbox/kernel";
import { entryOf, fieldsOf } from "../src/entry.ts";

const test = suite("log-journald");
const source: LogSource = {
  container: newContainerId(),
  name: "web",
  imageName: "app:1",
  imageId: "sha256:0",
  tag: "tag",
  attributes: {
    "my.label-x": "one",
    _HIDDEN: "two",
    "1st": "three",
    "": "four",
    multi: "a\nb",
    CONTAINER_NAME: "forged",
    message: "forged",
  },
  options: {},
};

/** As journald reads them. */
function fields(entry: Buffer): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  for (let at = 0; at < entry.length; ) {
    const end = entry.indexOf(10, at);
    const line = entry.subarray(at, end).toString("latin1");
    const equals = line.indexOf("=");
    assert.ok(!Object.hasOwn(found, line.split("=")[0] ?? ""), `${line} comes twice`);
    if (equals >= 0) {
      found[line.slice(0, equals)] = line.slice(equals + 1);
      at = end + 1;
      continue;
    }
    const length = Number(entry.readBigUInt64LE(end + 1));
    found[line] = entry.subarray(end + 9, end + 9 + length).toString("latin1");
    assert.equal(entry[end + 9 + length], 10);
    at = end + 10 + length;
  }
  return found;
}

test("an entry has Docker's fields; labels and variables get names that journald takes, and can't forge the engine's", () => {
  const record = { stream: "stderr", at: "1700000000123456789", line: Buffer.from([0x61, 0, 0xff]), partial: null } as const;
  assert.deepEqual(fields(entryOf(fieldsOf(source), record)), {
    MESSAGE: "a\0ÿ",
    MY_LABEL_X: "one",
    HIDDEN: "two",
    MULTI: "a\nb",
    CONTAINER_ID: source.container.slice(0, 12),
    CONTAINER_ID_FULL: source.container,
    CONTAINER_NAME: "web",
    CONTAINER_TAG: "tag",
    IMAGE_NAME: "app:1",
    SYSLOG_IDENTIFIER: "tag",
    PRIORITY: "3",
    SYSLOG_TIMESTAMP: "2023-11-14T22:13:20.123456789Z",
  });
});

test("pieces of a line have their number, and all but the last say that more comes", () => {
  const piece = (ordinal: number, last: boolean): Readonly<Record<string, string>> =>
    fields(
      entryOf(Buffer.alloc(0), {
        stream: "stdout",
        at: "1700000000123456789",
        line: Buffer.from("x"),
        partial: { id: "5f", ordinal, last },
      }),
    );
  const { PRIORITY, CONTAINER_PARTIAL_ID, CONTAINER_PARTIAL_ORDINAL, CONTAINER_PARTIAL_LAST, CONTAINER_PARTIAL_MESSAGE } = piece(1, false);
  assert.deepEqual(
    [PRIORITY, CONTAINER_PARTIAL_ID, CONTAINER_PARTIAL_ORDINAL, CONTAINER_PARTIAL_LAST, CONTAINER_PARTIAL_MESSAGE],
    ["6", "5f", "1", "false", "true"],
  );
  assert.equal(piece(2, true).CONTAINER_PARTIAL_LAST, "true");
  assert.equal(Object.hasOwn(piece(2, true), "CONTAINER_PARTIAL_MESSAGE"), false);
});
