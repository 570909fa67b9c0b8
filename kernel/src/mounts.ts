import { cleanupCall } from "./call.ts";
import { withCleanup } from "./cleanup.ts";
import type { Call } from "./contract/call.ts";
import type { HostToolkit } from "./contract/host.ts";
import type { Mount } from "./contract/storage.ts";

/** Opens mounts that are detached from every mount namespace, passes the path of their root to `use`, and always closes them. */
export async function withMounts<T>(
  call: Call,
  host: Pick<HostToolkit, "open" | "close">,
  mounts: readonly Mount[],
  use: (root: string) => Promise<T>,
): Promise<T> {
  return withCleanup(async (cleanup) => {
    const root = await host.open(call, mounts);
    cleanup.always(() => host.close(cleanupCall(call), root));
    return use(root);
  });
}
