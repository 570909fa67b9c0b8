import { suite as conformance } from "@tsbox/conformance";
import { suite } from "@tsbox/harness";
import { sink } from "../src/conformance.ts";
import plugin from "../src/index.ts";

(await conformance({ kind: "log", id: "fluentd", plugin, logSink: sink })).register(suite("conformance log/fluentd", { timeout: 120_000 }));
