/**
 * A client that attaches to a terminal sees nothing until the program writes. A change of the size and back makes programs redraw
 * themselves, as docker does.
 */
import { type ApiService, createCall, silentLog, type WindowSize } from "@tsbox/kernel";

export async function redraw(api: ApiService, id: string, { rows, columns }: WindowSize): Promise<void> {
  const call = createCall(silentLog);
  try {
    await api.containerResize(call, id, rows + 1, columns + 1);
    await api.containerResize(call, id, rows, columns);
  } catch {
    // The container has ended meanwhile; its end is reported elsewhere.
  }
}
