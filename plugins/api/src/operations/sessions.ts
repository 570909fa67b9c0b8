/** Sessions: the stdio of a container or an exec, for a stream or for a client of this host. */
import type { Duplex } from "node:stream";
import {
  type ApiService,
  type ContainersService,
  defaultDetachKeys,
  detachKeys,
  type Exec,
  fail,
  parseContainerId,
  type SessionsApi,
} from "@tsbox/kernel";
import { connectShim } from "./shim-stream.ts";

export function sessionVerbs(containers: ContainersService, { containerLogs }: Pick<ApiService, "containerLogs">): SessionsApi {
  return {
    containerAttach: async (call, id, { stream = false, logs = false, stdin = false, stdout = false, stderr = false, ...rest }) => {
      const record = await containers.get(call, id);
      const { terminal } = record.config;
      // The stream is joined first, so that nothing is missed between the log's end and the live output.
      let joined: Duplex | null = null;
      if (stream) {
        const keys = detachKeys(rest.detachKeys ?? "");
        const path = await containers.attachSocket(call, record.id);
        joined = await connectShim(path, { stdin, stdout, stderr, framed: !terminal, ...(keys === null ? {} : { detachKeys: keys }) });
      }
      try {
        const past = logs ? (await containerLogs(call, record.id, { stdout, stderr, tail: "all" })).frames : null;
        return { terminal, past, stream: joined };
      } catch (error) {
        joined?.destroy();
        throw error;
      }
    },
    execAttach: async (call, id, { stdin, terminal }) => {
      const exec = await containers.execGet(call, id);
      refuseStarted(exec);
      const { attach, terminal: isTerminal, detachKeys: keys } = exec.config;
      // As in Docker, the start request decides whether the connection has frames. Without frames only one stream can be sent.
      const stderr = attach.stderr && (isTerminal || !terminal);
      const wishes = { stdin: stdin && attach.stdin, stdout: attach.stdout, stderr, framed: !terminal, exec: exec.id };
      const stream = await connectShim(await containers.attachSocket(call, exec.container, exec.id), {
        ...wishes,
        ...(keys === null ? {} : { detachKeys: keys }),
      });
      return {
        stream,
        stdin: wishes.stdin,
        detachKeys: isTerminal ? (keys ?? defaultDetachKeys) : null,
      };
    },
    execWait: async (call, id) => containers.execWait(call, (await containers.execGet(call, id)).id),
    clientAttach: (call, id, client) => containers.attach(call, parseContainerId(id), client),
    clientDetach: async (call, id, client) => containers.detach(call, (await containers.get(call, id)).id, client),
    clientFlushed: (call, id, client) => containers.flushed(call, parseContainerId(id), client),
    containerState: async (call, id) => {
      const { name, status, startedAt } = await containers.get(call, id);
      return { name, status, startedAt };
    },
  };
}

/** Refused before the answer begins: the connection can't report it afterwards. */
function refuseStarted({ id, status }: Exec): void {
  if (status !== "created") throw fail("Conflict", `exec command ${id} ${status === "running" ? "is already running" : "has already run"}`);
}
