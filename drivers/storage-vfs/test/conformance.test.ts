import { suite as conformance } from "@tsbox/conformance";
import { suite } from "@tsbox/harness";
import plugin from "../src/index.ts";

const module = import.meta.resolve("../src/index.ts");
(await conformance({ kind: "storage", id: "vfs", plugin, module })).register(suite("conformance storage/vfs"));
