import { storageSuite } from "@tsbox/conformance";
import { suite } from "@tsbox/harness";
import plugin from "../src/index.ts";

await storageSuite(suite("conformance storage/overlay"), plugin, "overlay", undefined, import.meta.resolve("../src/index.ts"));
