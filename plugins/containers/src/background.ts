/** Work that goes on after the answer. */
import type { Call, Sparse } from "@tsbox/kernel";

export interface Background {
  /** Work that nobody waits for, but that must be done before the engine ends. */
  readonly background: Set<Promise<void>>;
  /** For what no caller asked for. */
  call(options?: Sparse<{ signal: AbortSignal; timeout: number }>): Call;
}

/** Begins `work`; a failure of it is logged. */
export function later(engine: Background, work: () => Promise<void>): void {
  const running = work().catch((error: unknown) => engine.call().log.error(`behind an answer: ${String(error)}`));
  engine.background.add(running);
  void running.finally(() => engine.background.delete(running));
}
