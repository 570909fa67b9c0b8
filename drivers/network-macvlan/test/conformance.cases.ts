import { execFileSync } from "node:child_process";
import { suite as conformance } from "@tsbox/conformance";
import { suite } from "@tsbox/harness";
import plugin from "../src/index.ts";

const target = { kind: "network", id: "macvlan", plugin };
(await conformance(target)).register(suite("conformance network/macvlan"));

// On an interface of the host, which this process has a namespace of its own for.
if (process.getuid?.() === 0)
  for (const argv of ["link add par0 type veth peer name par1", "link set par0 up", "link set par1 up"])
    execFileSync("ip", argv.split(" "));
(await conformance({ ...target, networkOptions: { parent: "par0" } })).register(suite("conformance network/macvlan on a parent"));
