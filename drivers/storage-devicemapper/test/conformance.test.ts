import { suite as conformance } from "@tsbox/conformance";
import { suite } from "@tsbox/harness";
import { leastDisk } from "../src/conformance.ts";
import plugin from "../src/index.ts";

const module = import.meta.resolve("../src/index.ts");
const config = { dataSize: "4g", metadataSize: "64m", baseSize: "1g" };
// A guest kernel makes a snapshot ten times slower than a host.
const test = suite("conformance storage/devicemapper", { timeout: 900_000 });
// driver.test.ts fills the pool.
(await conformance({ kind: "storage", id: "devicemapper", plugin, module, config, leastDisk })).register(test);
