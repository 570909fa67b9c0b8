import { suite as conformance } from "@tsbox/conformance";
import { suite } from "@tsbox/harness";
import plugin from "../src/index.ts";

(await conformance({ kind: "exec", id: "lxc", plugin })).register(suite("conformance exec/lxc"));
