import { readdirSync } from "node:fs";
import { join } from "node:path";
import { suite } from "@tsbox/harness";
import semver from "semver";
import * as assert from "uvu/assert";
import { contractVersions, driverKinds } from "../src/index.ts";
import { current, frozen, misplaced } from "./contracts.ts";

const test = suite("contracts");
const how = "then run `node kernel/test/contracts.ts --write`";

for (const [name, now] of current())
  test(`${name} is what its version says`, () => {
    const then = frozen(name);
    assert.ok(then, `contract ${name} is not published: ${how}`);
    assert.is(
      now.version === then?.version || semver.gt(now.version, then?.version ?? ""),
      true,
      `${name} ${now.version} is older than the published ${then?.version}`,
    );
    assert.is(now.version, then?.version, `${name} ${now.version} is not published: ${how}`);
    assert.is(
      now.declarations,
      then?.declarations,
      `contract ${name} differs from its version ${now.version}: raise it in kernel/src/contract/versions.ts, ${how}`,
    );
  });

test("each file of a contract belongs to one, and nothing else is published", () => {
  assert.equal(misplaced(), []);
  const names = readdirSync(join(import.meta.dirname, "../contracts")).map((file) => file.replace(".txt", ""));
  assert.equal(names.sort(), Object.keys(contractVersions).sort());
  assert.equal(
    driverKinds.filter((kind) => !names.includes(kind)),
    [],
  );
});
