import { suite as conformance } from "@tsbox/conformance";
import { suite } from "@tsbox/harness";
import { registry } from "../src/conformance.ts";
import plugin from "../src/index.ts";

for (const id of ["docker-archive", "oci-archive"])
  (await conformance({ kind: "registry", id, plugin, registrySource: registry })).register(suite(`conformance registry/${id}`));
