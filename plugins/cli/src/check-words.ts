/**
 * Checks a command line without running it. The native client (native/client/src/portable.rs) starts this before it starts an engine, so
 * that no engine is started for a command that does not exist.
 */
import { createCall, plain, silentLog } from "@tsbox/kernel";
import { checkWords } from "./dispatch.ts";

const err = async (text: string | Uint8Array): Promise<void> => void process.stderr.write(typeof text === "string" ? plain(text) : text);
process.exitCode = await checkWords({ call: createCall(silentLog), err }, process.argv.slice(2));
