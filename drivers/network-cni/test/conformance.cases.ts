import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite as conformance } from "@tsbox/conformance";
import { suite } from "@tsbox/harness";
import plugin from "../src/index.ts";

const directory = mkdtempSync(join(tmpdir(), "tsbox-cni-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
const conf = join(directory, "points.conflist");
const ipam = { type: "host-local", dataDir: directory, ranges: [[{ subnet: "10.252.0.0/24" }]], routes: [{ dst: "0.0.0.0/0" }] };
const portmap = { type: "portmap", capabilities: { portMappings: true }, snat: true };
writeFileSync(conf, JSON.stringify({ name: "points", cniVersion: "1.0.0", plugins: [{ type: "ptp", ipam }, portmap] }));

// Debian's plugins alone: without them the suite is one skip.
const config = { plugins: ["/usr/lib/cni"] };
const target = { kind: "network", id: "cni", plugin, config, networkOptions: { conf } };
(await conformance(target)).register(suite("conformance network/cni"));
