import { suite as conformance } from "@tsbox/conformance";
import { suite } from "@tsbox/harness";
import plugin from "../src/index.ts";

for (const id of ["local", "json-file", "none"]) (await conformance({ kind: "log", id, plugin })).register(suite(`conformance log/${id}`));
