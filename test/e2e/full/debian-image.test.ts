/** A complete Debian as an image: many files and attributes, of which busybox has few. Making it takes minutes. */
import { existsSync } from "node:fs";
import { needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { binary, engine } from "../src/engine.ts";
import { debianLayout, needsTools, registry } from "../src/images.ts";

const test = suite("an image of Debian", { timeout: 1_200_000 });
const reason =
  needsRoot() ??
  (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ??
  needsTools("umoci", "skopeo", "docker-registry", "debootstrap");
const none = ["run", "--rm", "--net", "none"] as const;

test.skipIf(reason, "a Debian by debootstrap: pulled, run, and every file of it there", async (t) => {
  const layout = debianLayout();
  if (layout === null) return t.skip("debootstrap can't reach a mirror of Debian");
  const [own, hub] = [await engine(t), await registry(t)];
  const digest = hub.push(layout, "12", "debian:12");
  assert.match(await own.ok(["pull", `${hub.address}/debian:12`], { timeout: 120_000 }), new RegExp(`Digest: ${digest}\n`));
  const name = `${hub.address}/debian:12`;
  assert.match(await own.ok([...none, name, "cat", "/etc/debian_version"]), /^12\./);
  assert.is(await own.ok([...none, name, "dpkg", "--verify"]), "");
  assert.is(await own.ok([...none, name, "sh", "-c", "stat -c %a /tmp; stat -c %U:%G /etc/shadow"]), "1777\nroot:shadow\n");
});
