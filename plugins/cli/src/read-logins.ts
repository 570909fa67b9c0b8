/**
 * Prints the user's logins at some registries as JSON, for the native client (native/client/src/logins.rs), which starts this when the
 * engine asks it for them.
 */
import { plain, type Strings } from "@tsbox/kernel";
import { findLogins } from "./logins.ts";

const [directory = "", registries = "[]"] = process.argv.slice(2);
const found = await findLogins(directory, JSON.parse(registries) as readonly string[], process.env as Strings, (text) => {
  process.stderr.write(plain(text));
});
process.stdout.write(JSON.stringify(found));
