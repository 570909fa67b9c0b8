/**
 * Prints the user's logins at some registries as JSON. The native client (native/client/src/logins.rs) starts it when the engine asks for
 * the logins.
 */
import { plain, type Strings } from "@tsbox/kernel";
import { findLogins } from "./logins.ts";

const [directory = "", registries = "[]"] = process.argv.slice(2);
const found = await findLogins(directory, JSON.parse(registries) as readonly string[], process.env as Strings, (text) => {
  process.stderr.write(plain(text));
});
process.stdout.write(JSON.stringify(found));
