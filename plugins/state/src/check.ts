/**
 * A separate process that checks whether a database file can be read and written. Exits with 0, or with 1 and a reason, or is killed by the
 * signal that lmdb causes.
 */
import { reasonOf, tryOut } from "./database.ts";

tryOut(process.argv[2] ?? "").catch((error: unknown) => {
  process.stderr.write(`${reasonOf(error)}\n`);
  process.exitCode = 1;
});
