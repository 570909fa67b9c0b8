/**
 * Sessions: whoever has the stdio of a container or of an exec. An HTTP client has a stream (`containerAttach`, `execAttach`), a `tsbox` on
 * this host lends its descriptors (`clientAttach`; a start takes them as `client`). Both come by these verbs, and by no other service. The
 * portable CLI has none of them: it is an HTTP client.
 */
import type { Duplex } from "node:stream";
import type { Call } from "../call.ts";
import type { ShimClient } from "../launcher.ts";
import type { Sparse } from "../words.ts";
import type { Container } from "./containers.ts";

export interface ContainerSession {
  /** The container has a terminal: bytes are bare. Without one, output has Docker's frames (8-byte headers). */
  readonly terminal: boolean;
  /** What the log has from before; null: not asked for. */
  readonly past: AsyncIterable<Uint8Array> | null;
  /** The container's stdio; null: not asked for. Its end of input is the container's. */
  readonly stream: Duplex | null;
}

export interface ExecSession {
  /** The stdio of the process, which does not run yet: nothing that it writes is missed. */
  readonly stream: Duplex;
  /** Whether the process reads from it. */
  readonly stdin: boolean;
  /** Bytes by which a user at a terminal leaves the process, which goes on; null: no terminal. */
  readonly detachKeys: readonly number[] | null;
}

export interface SessionsApi {
  /** `FailedPrecondition`: there is no process to attach to. `detachKeys` in Docker's words (`ctrl-p,ctrl-q`); "": Docker's own. */
  containerAttach(
    call: Call,
    id: string,
    options: Sparse<{ stream: boolean; logs: boolean; stdin: boolean; stdout: boolean; stderr: boolean; detachKeys: string }>,
  ): Promise<ContainerSession>;
  /**
   * Comes before `execStart`. `terminal`: as the one who starts it says, which decides on frames, as in Docker. `Conflict`: it was started
   * already; `FailedPrecondition`: its container does not run or is paused.
   */
  execAttach(call: Call, exec: string, options: { readonly stdin: boolean; readonly terminal: boolean }): Promise<ExecSession>;
  /** Answers the exit code when the process has ended. */
  execWait(call: Call, exec: string): Promise<number>;

  /** Joins a local client's descriptors to a running container. */
  clientAttach(call: Call, id: string, client: ShimClient): Promise<void>;
  /** Takes them away: the client is gone. */
  clientDetach(call: Call, id: string, client: number): Promise<void>;
  /** Answers when all that the container or the exec wrote is with this client, or its user has typed the detach keys. */
  clientFlushed(call: Call, id: string, client: number): Promise<"flushed" | "detached">;
  /** Where a container stands, without the cost of `containerInspect`. */
  containerState(call: Call, id: string): Promise<Pick<Container, "name" | "status" | "startedAt">>;
}
