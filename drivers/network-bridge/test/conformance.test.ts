import { inOwnNetwork } from "@tsbox/harness/own-network";

inOwnNetwork(import.meta.dirname, "conformance.cases.ts");
