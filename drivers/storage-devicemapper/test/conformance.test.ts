import { suite as conformance } from "@tsbox/conformance";
import { suite } from "@tsbox/harness";
import plugin from "../src/index.ts";

const module = import.meta.resolve("../src/index.ts");
const config = { dataSize: "4g", metadataSize: "64m", baseSize: "1g" };
// A guest kernel makes a snapshot ten times slower than a host.
const test = suite("conformance storage/devicemapper", { timeout: 900_000 });
// The base device alone takes more than the suite's small disk has; driver.test.ts fills the pool.
(await conformance({ kind: "storage", id: "devicemapper", plugin, module, config, leastDisk: 512 })).register(test);
