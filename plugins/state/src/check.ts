/** A process of its own: whether a database file can be read and written. Exits with 0, with 1 and a reason, or of what lmdb dies of. */
import { reasonOf, tryOut } from "./database.ts";

tryOut(process.argv[2] ?? "").catch((error: unknown) => {
  process.stderr.write(`${reasonOf(error)}\n`);
  process.exitCode = 1;
});
