/** Functions that most cases need. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Case } from "./suite.ts";

/** A temporary directory of the case, removed with it. */
export function temporaryDirectory(test: Case, under: string = tmpdir()): string {
  const path = mkdtempSync(join(under, "tsbox-test-"));
  test.cleanup(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** The reason why a case that needs root can't run here, or null. */
export function needsRoot(): string | null {
  return process.getuid?.() === 0 ? null : "needs root";
}

/** Whether this is a run of `npm run test:full`, in which cases with many variants run all of them. */
export const isFullRun: boolean = process.env.TSBOX_FULL !== undefined;
