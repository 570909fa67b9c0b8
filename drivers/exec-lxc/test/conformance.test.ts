import { execSuite } from "@tsbox/conformance";
import { suite } from "@tsbox/harness";
import plugin from "../src/index.ts";

await execSuite(suite("conformance exec/lxc"), plugin, "lxc");
