import { suite as conformance } from "@tsbox/conformance";
import { suite } from "@tsbox/harness";
import { noJournald, sink } from "../src/conformance.ts";
import plugin from "../src/index.ts";

const reason = noJournald();
const test = suite("conformance log/journald", { timeout: 120_000 });
if (reason === null) (await conformance({ kind: "log", id: "journald", plugin, logSink: sink })).register(test);
else test.skipIf(reason, "log/opens", () => undefined);
