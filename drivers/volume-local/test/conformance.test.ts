import { suite as conformance } from "@tsbox/conformance";
import { suite } from "@tsbox/harness";
import plugin from "../src/index.ts";

(await conformance({ kind: "volume", id: "local", plugin })).register(suite("conformance volume/local"));
