/** Work that continues after the request has been answered. */
import type { Call, Sparse } from "@tsbox/kernel";

export interface Background {
  /** Work that no request waits for. The engine waits for it before it ends. */
  readonly background: Set<Promise<void>>;
  /** A call for work that no client requested. */
  call(options?: Sparse<{ signal: AbortSignal; timeout: number }>): Call;
}

/** Starts `work` and logs its failure. */
export function later(engine: Background, work: () => Promise<void>): void {
  const running = work().catch((error: unknown) => engine.call().log.error(`behind an answer: ${String(error)}`));
  engine.background.add(running);
  void running.finally(() => engine.background.delete(running));
}
