import { suite as conformance } from "@tsbox/conformance";
import { suite } from "@tsbox/harness";
import plugin from "../src/index.ts";

(await conformance({ kind: "network", id: "bridge", plugin })).register(suite("conformance network/bridge"));
