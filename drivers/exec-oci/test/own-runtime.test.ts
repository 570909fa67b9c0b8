/** The engine's own runtime by its command line, `tsbox-runtime`: what the native driver does without it must be the same with it. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { suite as conformance } from "@tsbox/conformance";
import { suite } from "@tsbox/harness";
import plugin from "../src/index.ts";

const path = join(import.meta.dirname, "../../../build/bin/tsbox-runtime");
const test = suite("conformance exec/oci with tsbox-runtime");
if (existsSync(path)) (await conformance({ kind: "exec", id: "oci", plugin, config: { path } })).register(test);
else test.skip("the exec suite", "the native binary is not built: scripts/setup");
