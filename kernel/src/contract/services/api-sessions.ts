/**
 * Sessions: connections to the stdio of a container or of an exec. An HTTP client has a stream (`containerAttach`, `execAttach`); a `tsbox`
 * process on this host passes its descriptors (`clientAttach`; a start takes them as `client`). Both use these verbs and no other service.
 * The portable CLI has none of them: it is an HTTP client.
 */
import type { Duplex } from "node:stream";
import type { Call } from "../call.ts";
import type { ShimClient } from "../launcher.ts";
import type { Sparse } from "../words.ts";
import type { Container } from "./containers.ts";

export interface ContainerSession {
  /** The container has a terminal: bytes are raw. Without one, output has Docker's frames (8-byte headers). */
  readonly terminal: boolean;
  /** The log so far; null: not requested. */
  readonly past: AsyncIterable<Uint8Array> | null;
  /** The container's stdio; null: not requested. Its end of input is the container's end of input. */
  readonly stream: Duplex | null;
}

export interface ExecSession {
  /** The stdio of the process, which does not run yet: no output is missed. */
  readonly stream: Duplex;
  /** Whether the process reads from it. */
  readonly stdin: boolean;
  /** Bytes with which a user at a terminal detaches from the process, which continues; null: no terminal. */
  readonly detachKeys: readonly number[] | null;
}

export interface SessionsApi {
  /** `FailedPrecondition`: there is no process to attach to. `detachKeys` as Docker's text (`ctrl-p,ctrl-q`); "": Docker's default. */
  containerAttach(
    call: Call,
    id: string,
    options: Sparse<{ stream: boolean; logs: boolean; stdin: boolean; stdout: boolean; stderr: boolean; detachKeys: string }>,
  ): Promise<ContainerSession>;
  /**
   * Comes before `execStart`. `terminal`: the value in the start request, which decides whether output has frames, as in Docker.
   * `Conflict`: the exec was started already; `FailedPrecondition`: its container does not run or is paused.
   */
  execAttach(call: Call, exec: string, options: { readonly stdin: boolean; readonly terminal: boolean }): Promise<ExecSession>;
  /** Answers the exit code when the process has ended. */
  execWait(call: Call, exec: string): Promise<number>;

  /** Attaches a local client's descriptors to a running container. */
  clientAttach(call: Call, id: string, client: ShimClient): Promise<void>;
  /** Detaches a client that is gone. */
  clientDetach(call: Call, id: string, client: number): Promise<void>;
  /** Answers when the client has all output of the container or the exec, or its user has typed the detach keys. */
  clientFlushed(call: Call, id: string, client: number): Promise<"flushed" | "detached">;
  /** A container's state, without the cost of `containerInspect`. */
  containerState(call: Call, id: string): Promise<Pick<Container, "name" | "status" | "startedAt">>;
}
