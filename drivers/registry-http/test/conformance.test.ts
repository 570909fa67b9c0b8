import { suite as conformance } from "@tsbox/conformance";
import { suite } from "@tsbox/harness";
import { registry } from "../src/conformance.ts";
import plugin from "../src/index.ts";

(await conformance({ kind: "registry", id: "docker", plugin, registrySource: registry })).register(suite("conformance registry/docker"));
