import { volumeSuite } from "@tsbox/conformance";
import { suite } from "@tsbox/harness";
import plugin from "../src/index.ts";

await volumeSuite(suite("conformance volume/local"), plugin, "local");
