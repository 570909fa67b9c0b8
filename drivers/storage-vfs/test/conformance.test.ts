import { storageSuite } from "@tsbox/conformance";
import { suite } from "@tsbox/harness";
import plugin from "../src/index.ts";

await storageSuite(suite("conformance storage/vfs"), plugin, "vfs", undefined, import.meta.resolve("../src/index.ts"));
