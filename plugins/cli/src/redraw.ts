/**
 * Whoever attaches to a terminal sees nothing until something is written: a size that changes and changes back has programs draw themselves
 * anew, as docker does.
 */
import { type ApiService, createCall, silentLog, type WindowSize } from "@tsbox/kernel";

export async function redraw(api: ApiService, id: string, { rows, columns }: WindowSize): Promise<void> {
  const call = createCall(silentLog);
  try {
    await api.containerResize(call, id, rows + 1, columns + 1);
    await api.containerResize(call, id, rows, columns);
  } catch {
    // It has ended meanwhile, which is told elsewhere.
  }
}
