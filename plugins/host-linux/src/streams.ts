/** A tree's files as streams: native code is at one end of a pipe, Node at the other, and only the pipe's contents are in memory. */
import { Socket } from "node:net";
import { asError, type Call, type HostToolkit, type IdMaps } from "@tsbox/kernel";
import type { Binding } from "./binding.ts";

type Streams = Pick<HostToolkit, "lookUp" | "pack" | "extract" | "changes">;

export function streams(binding: Binding): Streams {
  return {
    lookUp: (call, root, path) => binding.call(call, "find", { root, path }),
    pack: async (call, root, path, options = {}) =>
      packed(binding, call, {
        root,
        path,
        name: options.name ?? null,
        across: options.acrossMounts ?? false,
        maps: options.idMaps ?? null,
      }),
    async extract(call, root, path, tar, options = {}) {
      call.signal.throwIfAborted();
      const { read, write } = binding.callNow("pipe", {});
      const owner = options.owner === undefined ? null : ([options.owner.uid, options.owner.gid] as const);
      const request = { root, into: path, keepKinds: options.keepKinds ?? false, owner, maps: options.idMaps ?? null, from: read };
      const done = binding.call(call, "extract", request);
      const socket = new Socket({ fd: write, readable: false, writable: true });
      // A broken pipe means that native code has stopped; its answer has the error.
      socket.on("error", () => {});
      const stop = (): void => void socket.destroy();
      call.signal.addEventListener("abort", stop, { once: true });
      const [pumped, extracted] = await Promise.allSettled([pump(tar, socket, done), done]);
      call.signal.removeEventListener("abort", stop);
      socket.destroy();
      // An error of the source comes first, then the error of native code; the broken pipe itself is not reported.
      if (pumped.status === "rejected") throw pumped.reason;
      if (extracted.status === "rejected") throw extracted.reason;
    },
    changes: async (call, lower, upper, options = {}) =>
      each(
        await binding.call(call, "differences", {
          lower,
          upper,
          overlay: options.overlay ?? false,
          since: options.since ?? null,
          snapshot: options.snapshot ?? false,
          own: options.own ?? [],
        }),
      ),
  };
}

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

async function* packed(
  binding: Binding,
  call: Call,
  request: {
    readonly root: string;
    readonly path: string;
    readonly name: string | null;
    readonly across: boolean;
    readonly maps: IdMaps | null;
  },
): AsyncGenerator<Uint8Array> {
  call.signal.throwIfAborted();
  const { read, write } = binding.callNow("pipe", {});
  const done = binding.call(call, "pack", { ...request, out: write });
  // The error is handled below, at the end of the pipe; a reader that leaves before does not need it.
  done.catch(() => {});
  const socket = new Socket({ fd: read, readable: true, writable: false });
  try {
    for await (const part of socket as AsyncIterable<Uint8Array>) yield part;
    await done;
  } finally {
    socket.destroy();
    await done.catch(() => {});
  }
}

/** Throws the source's errors. If native code has stopped, it does not throw: the answer of native code has the error. */
async function pump(tar: AsyncIterable<Uint8Array>, socket: Socket, done: Promise<unknown>): Promise<void> {
  let stopped = false;
  let wake = (): void => {};
  const stop = (): void => {
    stopped = true;
    wake();
  };
  done.then(stop, stop);
  // Not Promise.race: each race adds a reaction to the long-lived promise, which keeps all of them.
  const unlessStopped = <T>(step: Promise<T>): Promise<T | null> =>
    new Promise((resolve, reject) => {
      wake = () => resolve(null);
      step.then(resolve, reject);
      if (stopped) resolve(null);
    });
  const source = tar[Symbol.asyncIterator]();
  try {
    for (;;) {
      const step = await unlessStopped(source.next());
      if (step === null || step.done === true || socket.destroyed) break;
      if (!socket.write(step.value)) await unlessStopped(drained(socket));
    }
  } catch (error) {
    throw asError(error);
  } finally {
    socket.end();
    void source.return?.().catch(() => {});
  }
}

/** Resolves when the buffer is drained or the socket is closed. */
function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off("drain", done).off("close", done);
      resolve();
    };
    socket.on("drain", done).on("close", done);
  });
}
