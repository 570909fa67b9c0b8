/** The user's logins, found as docker 28 does: each case is the login that its client sends for that configuration. */
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { type Case, suite, temporaryDirectory } from "@tsbox/harness";
import type { Strings } from "@tsbox/kernel";
import { askHelper } from "../src/credential-helper.ts";
import { findLogins, registryOf } from "../src/logins.ts";

const test = suite("logins");
const base64 = (text: string): string => Buffer.from(text).toString("base64");

interface World {
  readonly directory: string;
  readonly environment: Strings;
  readonly warnings: string[];
  /** Makes a helper whose program is this shell script. */
  helper(name: string, script: string): void;
  find(registries: readonly string[], configuration: unknown): Promise<Readonly<Record<string, Strings>>>;
}

function world(t: Case): World {
  const directory = temporaryDirectory(t);
  const bin = join(directory, "bin");
  mkdirSync(bin);
  const environment = { PATH: `${bin}:/usr/bin:/bin`, ASKED: join(directory, "asked") };
  const warnings: string[] = [];
  return {
    directory,
    environment,
    warnings,
    helper: (name, script) => {
      writeFileSync(join(bin, `docker-credential-${name}`), `#!/bin/sh\nread registry\n${script}\n`);
      chmodSync(join(bin, `docker-credential-${name}`), 0o755);
    },
    find: (registries, configuration) => {
      writeFileSync(join(directory, "config.json"), typeof configuration === "string" ? configuration : JSON.stringify(configuration));
      return findLogins(directory, registries, environment, (text) => warnings.push(text));
    },
  };
}

test("a name's registry", () => {
  for (const [name, registry] of [
    ["debian", "docker.io"],
    ["docker://debian:12", "docker.io"],
    ["team/app:1", "docker.io"],
    ["index.docker.io/team/app", "docker.io"],
    ["localhost/app", "localhost"],
    ["127.0.0.1:5000/a/b@sha256:0", "127.0.0.1:5000"],
    ["reg.example/app", "reg.example"],
    ["host:/", null],
    ["oci:/tmp/layout:tag", null],
  ] as const)
    assert.equal(registryOf(name), registry, name);
});

test("auths: in base64, in words, with tokens, and under the names that old clients wrote", async (t) => {
  const { find, warnings } = world(t);
  const found = await find(["docker.io", "localhost:5000", "a.io", "b.io", "127.0.0.1:5000", "none.io"], {
    auths: {
      "https://index.docker.io/v1/": { auth: base64("u:p:x") },
      "localhost:5000": { username: "a", password: "b", auth: "" },
      "https://a.io/v1/": { Auth: base64("u:p\0\0"), identitytoken: "it" },
      "b.io/v2/x": { registrytoken: "rt" },
      "http://127.0.0.1:5000": { auth: base64("u:p") },
    },
  });
  assert.deepEqual(found, {
    "docker.io": { username: "u", password: "p:x" },
    "localhost:5000": { username: "a", password: "b" },
    "a.io": { username: "u", password: "p", identitytoken: "it" },
    "b.io": { registrytoken: "rt" },
    "127.0.0.1:5000": { username: "u", password: "p" },
  });
  // Docker Hub's logins are stored under one name only.
  for (const name of ["docker.io", "index.docker.io"])
    assert.deepEqual(await find(["docker.io"], { AUTHS: { [name]: { auth: base64("u:p") } } }), {});
  assert.deepEqual(warnings, []);
});

test("helpers: of one registry, of all, with tokens, without a login, and with an empty name", async (t) => {
  const { find, helper, warnings, environment } = world(t);
  helper("all", 'echo "$1 $registry" >> $ASKED; echo "{\\"ServerURL\\":\\"x\\",\\"Username\\":\\"hu\\",\\"Secret\\":\\"hs\\"}"');
  helper("token", 'echo \'{"Username":"<token>","Secret":"idt"}\'');
  helper("none", "echo credentials not found in native keychain; exit 1");
  const auth = { auth: base64("u:p") };
  const found = await find(["docker.io", "localhost:5000", "a.io", "b.io", "c.io"], {
    credsStore: "all",
    credHelpers: { "a.io": "token", "b.io": "none", "c.io": "" },
    auths: { "a.io": auth, "b.io": auth, "c.io": auth },
  });
  assert.deepEqual(found, {
    "docker.io": { username: "hu", password: "hs" },
    "localhost:5000": { username: "hu", password: "hs" },
    "a.io": { identitytoken: "idt" },
    "c.io": { username: "u", password: "p" },
  });
  assert.equal(readFileSync(environment.ASKED ?? "", "utf8"), "get https://index.docker.io/v1/\nget localhost:5000\n");
  assert.deepEqual(warnings, []);
});

test("a helper that is missing, fails, or prints garbage or too much is a warning, and the file counts", async (t) => {
  const { find, helper, warnings } = world(t);
  helper("fails", "echo the store is locked; exit 3");
  helper("garbage", "echo '[1,'");
  helper("endless", "exec yes");
  const names = ["missing", "fails", "garbage", "endless"];
  const found = await find(
    names.map((name) => `${name}.io`),
    {
      credHelpers: Object.fromEntries(names.map((name) => [`${name}.io`, name])),
      auths: { "garbage.io": { auth: base64("u:p") } },
    },
  );
  assert.deepEqual(found, { "garbage.io": { username: "u", password: "p" } });
  assert.match(warnings[0] ?? "", /^WARNING: the credential helper docker-credential-missing is not installed\n$/);
  assert.match(warnings[1] ?? "", /docker-credential-fails failed with exit code 3: the store is locked\n$/);
  assert.match(warnings[2] ?? "", /docker-credential-garbage prints is no login/);
  assert.match(warnings[3] ?? "", /docker-credential-endless printed more than \d+ bytes\n$/);
});

test("a helper that hangs is killed at its deadline, even when a process of its own holds its output", async (t) => {
  const { helper, environment } = world(t);
  helper("hangs", "sleep 30 & echo $$ > $ASKED; exec sleep 30");
  await assert.rejects(askHelper("hangs", "a.io", environment, 300), /docker-credential-hangs did not answer within 0.3 s$/);
  const pid = readFileSync(environment.ASKED ?? "", "utf8").trim();
  const isAlive = (): boolean => existsSync(`/proc/${pid}`) && readFileSync(`/proc/${pid}/cmdline`, "utf8") !== "";
  for (let turn = 0; turn < 500 && isAlive(); turn += 1) await setTimeout(10);
  assert.equal(isAlive(), false);
});

test("a file that is damaged in whole or in part is a warning, and the rest of it counts", async (t) => {
  const { find, warnings, directory } = world(t);
  for (const text of ['{"auths":[', "[]", "null", "7", '{"auths":{"a.io":null},"credsStore":7,"credHelpers":[]}', ""])
    assert.deepEqual(await find(["a.io"], text), {}, text);
  assert.equal(warnings.length, 2, warnings.join(""));
  for (const auth of ["!!!", base64("no-colon"), 5])
    assert.deepEqual(await find(["a.io"], { auths: { "b.io": { auth }, "a.io": { auth: base64("u:p") } } }), {
      "a.io": { username: "u", password: "p" },
    });
  assert.equal(warnings.length, 5);
  assert.match(warnings.at(-1) ?? "", /^WARNING: Error parsing config file \(.*config.json\): the login at b\.io is no user and password/);
  assert.deepEqual(await findLogins(join(directory, "nowhere"), ["a.io"], {}, assert.fail), {});
});

test("where nothing is configured, docker's own store is asked, if it is installed", async (t) => {
  const { find, helper } = world(t);
  assert.deepEqual(await find(["a.io"], {}), {});
  helper("secretservice", 'echo \'{"Username":"su","Secret":"ss"}\'');
  assert.deepEqual(await find(["a.io"], {}), { "a.io": { username: "su", password: "ss" } });
  assert.deepEqual(await find(["a.io"], { auths: { "b.io": { auth: base64("u:p") } } }), {});
});
