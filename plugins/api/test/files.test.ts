/** The API's answers about a path in a container. */
import { suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { showStat } from "../src/operations/files.ts";

const test = suite("paths over the API");

test("a time that Go's JSON does not have is shown as the nearest that it has", () => {
  const shown = (seconds: number): unknown => {
    const stat = { mode: 0o100644, size: 1, mtime: { seconds, nanoseconds: 0 }, target: null };
    return (showStat("/f", stat) as { readonly mtime: unknown }).mtime;
  };
  assert.is(shown(0), "1970-01-01T00:00:00Z");
  assert.is(shown(2 ** 62), "9999-12-31T23:59:59Z");
  assert.is(shown(-(2 ** 62)), "0001-01-01T00:00:00Z");
});
