/** Docker's references and platforms, as tables. */
import assert from "node:assert/strict";
import { suite } from "@tsbox/harness";
import { type Descriptor, type Digest, isTsboxError } from "@tsbox/kernel";
import { choose, fits, parsePlatform, platformText } from "../src/platform.ts";
import { familiar, full, parseReference } from "../src/reference.ts";

const test = suite("references and platforms");
const digest = `sha256:${"a".repeat(64)}`;
const code =
  (expected: string, words = /./) =>
  (error: unknown) =>
    isTsboxError(error) && error.code === expected && words.test(error.message);

const good: readonly (readonly [text: string, full: string, familiar: string])[] = [
  ["debian", "docker.io/library/debian:latest", "debian:latest"],
  ["debian:12", "docker.io/library/debian:12", "debian:12"],
  ["library/debian", "docker.io/library/debian:latest", "debian:latest"],
  ["docker.io/debian", "docker.io/library/debian:latest", "debian:latest"],
  ["index.docker.io/library/debian:1", "docker.io/library/debian:1", "debian:1"],
  ["me/app", "docker.io/me/app:latest", "me/app:latest"],
  ["me/app/part:v1.0_x-Y", "docker.io/me/app/part:v1.0_x-Y", "me/app/part:v1.0_x-Y"],
  ["localhost/app", "localhost/app:latest", "localhost/app:latest"],
  ["localhost:5000/a/b:1", "localhost:5000/a/b:1", "localhost:5000/a/b:1"],
  ["ghcr.io/a", "ghcr.io/a:latest", "ghcr.io/a:latest"],
  ["[::1]:5000/a:2", "[::1]:5000/a:2", "[::1]:5000/a:2"],
  ["Host/app", "Host/app:latest", "Host/app:latest"],
  ["debian:5000", "docker.io/library/debian:5000", "debian:5000"],
  ["a__b/c--d.e", "docker.io/a__b/c--d.e:latest", "a__b/c--d.e:latest"],
  [`debian@${digest}`, `docker.io/library/debian@${digest}`, `debian@${digest}`],
  [`debian:12@${digest}`, `docker.io/library/debian@${digest}`, `debian:12@${digest}`],
];
for (const [text, whole, short] of good)
  test(`${text} is ${whole}`, () => {
    const parsed = parseReference(text);
    assert.equal(full(parsed), whole);
    assert.equal(familiar(parsed), short);
    // The full form is parsed to the same reference.
    assert.equal(full(parseReference(whole)), whole);
  });

for (const text of [
  "",
  "/",
  "a//b",
  "a/",
  "-a",
  "a-",
  "a..b",
  "a:",
  "a:-x",
  `a:${"x".repeat(129)}`,
  "a@sha256:12",
  "a b",
  "../a",
  "$x/b",
  "a.b-/c",
  "a.b:x/c",
  "a/../b",
  "host.io/",
  "https://a/b",
  "a\nb",
  `${"a/".repeat(120)}${"b".repeat(16)}`,
])
  test(`${JSON.stringify(text)} is no reference`, () => {
    assert.throws(() => parseReference(text), code("InvalidArgument", /invalid reference format/));
  });

test("a name in capitals is refused with the reason", () => {
  assert.throws(() => parseReference("Debian"), code("InvalidArgument", /must be lowercase/));
});

test("platforms by their names and those that people use", () => {
  for (const [text, meant] of [
    ["linux/amd64", "linux/amd64"],
    ["arm64", "linux/arm64"],
    ["linux/aarch64", "linux/arm64"],
    ["linux/x86_64", "linux/amd64"],
    ["armhf", "linux/arm/v7"],
    ["linux/arm/v6", "linux/arm/v6"],
    ["Linux/ARM64/V8", "linux/arm64/v8"],
  ] as const)
    assert.equal(platformText(parsePlatform(text)), meant);
  for (const text of ["", "windows/amd64", "linux/", "linux/a/b/c", "linux/$(id)"])
    assert.throws(() => parsePlatform(text), code("InvalidArgument"), text);
});

test("arm64 means v8, and a missing variant matches any", () => {
  const fit = (a: string, b: string): boolean => fits(parsePlatform(a), parsePlatform(b));
  assert.ok(fit("arm64", "arm64/v8".replace(/^/, "linux/")));
  assert.ok(fit("linux/arm/v7", "linux/arm"));
  assert.ok(!fit("linux/arm/v7", "linux/arm/v6"));
  assert.ok(!fit("linux/amd64", "linux/arm64"));
});

const entry = (at: number, platform: Descriptor["platform"] | null): Descriptor => ({
  mediaType: "m",
  digest: `sha256:${String(at).repeat(64)}` as Digest,
  size: 1,
  ...(platform ? { platform } : {}),
});
test("of an index the first that fits is taken, attestations never", () => {
  const list = [
    entry(1, { os: "unknown", architecture: "unknown" }),
    entry(2, { os: "linux", architecture: "arm", variant: "v6" }),
    entry(3, { os: "linux", architecture: "arm", variant: "v7" }),
    entry(4, { os: "linux", architecture: "amd64" }),
  ];
  assert.equal(choose(list, parsePlatform("linux/arm/v7"), "x"), list[2]);
  assert.equal(choose(list, parsePlatform("amd64"), "x"), list[3]);
  assert.throws(
    () => choose(list, parsePlatform("riscv64"), "x"),
    code("NotFound", /no matching manifest for linux\/riscv64 .* there are linux\/arm\/v6, linux\/arm\/v7, linux\/amd64/),
  );
  assert.throws(() => choose([], parsePlatform("amd64"), "x"), code("NotFound"));
});

test("an index of one image that says no platform has only one meaning", () => {
  const list = [entry(1, null)];
  assert.equal(choose(list, parsePlatform("amd64"), "x"), list[0]);
});
