/** crun, which needs a host with cgroup v2 alone; elsewhere this is one skip. */
import { suite as conformance } from "@tsbox/conformance";
import { suite } from "@tsbox/harness";
import plugin from "../src/index.ts";

(await conformance({ kind: "exec", id: "oci", plugin, config: { path: "crun" } })).register(suite("conformance exec/oci with crun"));
