/** What the storage driver says about itself, for `info`. */
import { asError, type Call, deriveCall, type StorageDriver, type StorageReport, supports } from "@tsbox/kernel";

const nothing: StorageReport = { rows: [], warnings: [] };
/** Milliseconds: `info` shows the rest without a driver that does not answer. */
const timeout = 5_000;

export async function storageReport(
  call: Call,
  services: { storage(id: string): Promise<StorageDriver> },
  id: string,
): Promise<StorageReport> {
  if (id === "") return nothing;
  const limited = deriveCall(call, { timeout });
  const stopped = Promise.withResolvers<never>();
  stopped.promise.catch(() => undefined);
  limited.signal.addEventListener("abort", () => stopped.reject(limited.signal.reason), { once: true });
  try {
    const storage = await Promise.race([services.storage(id), stopped.promise]);
    return supports(storage, "report") ? await Promise.race([storage.report(limited), stopped.promise]) : nothing;
  } catch (error) {
    call.signal.throwIfAborted();
    return { rows: [], warnings: [`storage driver ${id} does not report: ${asError(error).message}`] };
  }
}
