/** Shims from the daemon's view: one channel per shim, answers matched to requests, events as they arrive. */
import { Buffer } from "node:buffer";
import { join } from "node:path";
import {
  type ContainerId,
  type ErrorCode,
  type ExecId,
  type ExitStatus,
  fail,
  isTsboxError,
  type ShimClient,
  type ShimEvent,
  type ShimExec,
  type ShimLaunch,
  type ShimNamespaces,
  type ShimState,
  type Started,
  type TsboxError,
  type WindowSize,
} from "@tsbox/kernel";
import type { Connection } from "./connection.ts";
import { type Frame, incoming, outgoing, shimsWithExecs, toShim } from "./protocol.ts";
import { Queue } from "./queue.ts";

interface Pending<T> {
  resolve(value: T): void;
  reject(error: unknown): void;
}

/**
 * How long a shim may take to answer, in milliseconds. A shim that is late is stopped or hangs: its container is signalled without it, and
 * no request waits for it.
 */
const timeouts = {
  /** For a signal, an attach or a pause, which take no longer than a message. */
  message: 5_000,
  /** A shim that has not answered SIGKILL within this time is bypassed. */
  kill: 700,
  /** The shim's own deadline for an exec is 10 s. */
  exec: 15_000,
  /** Includes mounts, hooks and the network; the shim's own deadline is 150 s. */
  start: 120_000,
  spawn: 15_000,
  connect: 5_000,
} as const;

const sigkill = 9;
interface Shim {
  readonly id: ContainerId;
  readonly channel: number;
  directory: string;
  /** Null: the shim has not reported it yet. */
  version: number | null;
  state: Pending<ShimState> | undefined;
  readonly pending: Map<number, Pending<Started | undefined>>;
}

/** `FromShim` of native/core/src/peer/protocol.rs. */
type FromShim =
  | {
      readonly event: "state";
      readonly shim: number;
      readonly version?: number;
      readonly netns: string | null;
      readonly userns: string | null;
      readonly pid: number | null;
      readonly exited: ExitStatus | null;
      readonly execs?: readonly (readonly [ExecId, number])[];
      readonly pastExecs?: readonly (readonly [ExecId, ExitStatus])[];
    }
  | ({ readonly event: "started" | "exec-started"; readonly seq: number } & Started)
  | { readonly event: "done"; readonly seq: number }
  | { readonly event: "failed"; readonly seq: number; readonly failure: Failure }
  | { readonly event: "exited"; readonly pid: number; readonly status: ExitStatus }
  | {
      readonly event: "exec-exited";
      readonly exec: ExecId;
      readonly pid: number;
      readonly status: ExitStatus;
      readonly output: string | null;
    }
  | { readonly event: "out-of-memory" }
  | { readonly event: "flushed"; readonly client: number }
  | { readonly event: "detached"; readonly client: number };

/** `Failure` of native/core/src/failure.rs. */
interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly errno?: number;
  readonly syscall?: string;
  readonly path?: string;
  readonly stage?: string;
}

const descriptorBits = (streams: { readonly stdin: boolean; readonly stdout: boolean; readonly stderr: boolean }): number =>
  (streams.stdin ? 1 : 0) | (streams.stdout ? 2 : 0) | (streams.stderr ? 4 : 0);

export class Shims {
  readonly events: Queue<ShimEvent> = new Queue();
  readonly #connection: Connection;
  readonly #byId: Map<string, Shim> = new Map();
  readonly #byChannel: Map<number, Shim> = new Map();
  readonly #signals: Map<number, Pending<void>> = new Map();
  #lastChannel = 0;
  #lastRequest = 0;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Adds the shims that the launcher held before this daemon started; `connect` gives them their directories. */
  adopt(known: readonly (readonly [string, number])[]): void {
    for (const [id, channel] of known) {
      this.#lastChannel = Math.max(this.#lastChannel, channel);
      this.#add(id as ContainerId, "", channel);
    }
  }

  ids(): readonly ContainerId[] {
    return [...this.#byId.values()].map((shim) => shim.id);
  }

  spawn(id: ContainerId, directory: string, namespaces: ShimNamespaces): Promise<ShimState> {
    return this.#open(outgoing.shimSpawn, id, directory, namespaces);
  }

  connect(id: ContainerId, directory: string): Promise<ShimState> {
    const known = this.#byId.get(id);
    if (known === undefined) return this.#open(outgoing.shimConnect, id, directory, { network: "none", idMaps: null });
    known.directory = directory;
    const state = this.#state(known, timeouts.connect);
    this.#send(known, toShim.message, { op: "control" }, undefined, 0);
    return state;
  }

  /** Waits for the shim's report of its state. A shim that is late is kept: it may be stopped only for a while. */
  #state(shim: Shim, timeout: number): Promise<ShimState> {
    return new Promise((resolve, reject) => {
      shim.state = withDeadline({ resolve, reject }, timeout, () => silent(shim.id, timeout));
    });
  }

  #open(kind: number, id: ContainerId, directory: string, { network, idMaps }: ShimNamespaces): Promise<ShimState> {
    this.#lastChannel += 1;
    const shim = this.#add(id, directory, this.#lastChannel);
    const state = this.#state(shim, kind === outgoing.shimSpawn ? timeouts.spawn : timeouts.connect);
    this.#connection.json(kind, shim.channel, { id, directory, network: network === "new", idMaps });
    this.#connection.flush();
    return state;
  }

  #add(id: ContainerId, directory: string, channel: number): Shim {
    const shim: Shim = { id, channel, directory, version: null, state: undefined, pending: new Map() };
    this.#byId.set(id, shim);
    this.#byChannel.set(channel, shim);
    return shim;
  }

  start(id: ContainerId, launch: ShimLaunch): Promise<Started> {
    const { client } = launch;
    return this.#ask(
      id,
      toShim.start,
      (seq) => ({ seq, ...launch }),
      client?.client,
      client ? descriptorBits(client) : 0,
      timeouts.start,
    ) as Promise<Started>;
  }

  /** If the shim is gone, the start has already failed with the reason. */
  release(id: ContainerId): void {
    const shim = this.#byId.get(id);
    if (shim) this.#connection.send(outgoing.shimRelease, shim.channel, Uint8Array.of(1));
  }

  abandon(id: ContainerId): void {
    const shim = this.#byId.get(id);
    if (shim) this.#connection.send(outgoing.shimRelease, shim.channel, Uint8Array.of(0));
    this.send(id, { op: "abandon" });
  }

  /** Sends a message that is answered with done or failed. */
  async request(
    id: ContainerId,
    message: { readonly op: string } & Record<string, unknown>,
    timeout: number = timeouts.message,
  ): Promise<void> {
    await this.#ask(id, toShim.message, (seq) => ({ ...message, seq }), undefined, 0, timeout);
  }

  /**
   * Signals through the shim, or through the launcher if the shim is dead or does not answer. `pid`: the container's first process, from
   * its record.
   */
  async signal(id: ContainerId, signal: number, all: boolean, pid: number | null): Promise<void> {
    if (this.#byId.has(id)) {
      try {
        return await this.request(id, { op: "signal", signal, all }, signal === sigkill ? timeouts.kill : timeouts.message);
      } catch (error) {
        if (pid === null || !isTsboxError(error) || (error.code !== "DeadlineExceeded" && error.code !== "Unavailable")) throw error;
      }
    } else if (pid === null) throw notRunning(id);
    await this.#signalPast(id, signal, all, pid);
  }

  #signalPast(id: ContainerId, signal: number, all: boolean, pid: number): Promise<void> {
    this.#lastRequest += 1;
    const request = this.#lastRequest;
    return new Promise((resolve, reject) => {
      this.#signals.set(request, { resolve, reject });
      this.#connection.json(outgoing.signal, request, { id, pid, signal, all });
    });
  }

  async join(id: ContainerId, client: ShimClient): Promise<void> {
    await this.#ask(id, toShim.message, (seq) => ({ op: "join", seq, ...client }), client.client, descriptorBits(client), timeouts.message);
  }

  exec(id: ContainerId, exec: ShimExec): Promise<Started> {
    const { client } = exec;
    if ((this.#shim(id).version ?? 1) < shimsWithExecs)
      throw fail("Unsupported", `container ${id.slice(0, 12)} was started by an engine from before exec: restart the container`);
    const bits = client ? descriptorBits(client) : 0;
    return this.#ask(id, toShim.exec, (seq) => ({ seq, ...exec }), client?.client, bits, timeouts.exec) as Promise<Started>;
  }

  /** Sends a message without an answer. */
  send(id: ContainerId, message: { readonly op: string } & Record<string, unknown>): void {
    const shim = this.#byId.get(id);
    if (shim) this.#send(shim, toShim.message, message, undefined, 0);
  }

  resize(id: ContainerId, size: WindowSize): void {
    this.send(id, { op: "resize", ...size });
  }

  socket(id: ContainerId): string {
    return join(this.#shim(id).directory, "shim.sock");
  }

  #ask(
    id: ContainerId,
    kind: number,
    message: (seq: number) => unknown,
    client: number | undefined,
    descriptors: number,
    timeout: number,
  ): Promise<Started | undefined> {
    const shim = this.#shim(id);
    this.#lastRequest += 1;
    const seq = this.#lastRequest;
    return new Promise((resolve, reject) => {
      const late = (): TsboxError => {
        shim.pending.delete(seq);
        return silent(id, timeout);
      };
      shim.pending.set(seq, withDeadline({ resolve, reject }, timeout, late));
      this.#send(shim, kind, message(seq), client, descriptors);
    });
  }

  #send(shim: Shim, kind: number, message: unknown, client: number | undefined, descriptors: number): void {
    const words = Buffer.from(JSON.stringify(message));
    const payload = Buffer.allocUnsafe(6 + words.length);
    payload.writeUInt32LE(client ?? 0, 0);
    payload[4] = descriptors;
    payload[5] = kind;
    payload.set(words, 6);
    this.#connection.send(outgoing.toShim, shim.channel, payload);
  }

  #shim(id: ContainerId): Shim {
    const shim = this.#byId.get(id);
    if (shim === undefined) throw notRunning(id);
    return shim;
  }

  /** True when the frame was about a shim. */
  receive(frame: Frame): boolean {
    if (frame.kind === incoming.signalled) {
      this.#signalled(frame);
      return true;
    }
    if (frame.kind !== incoming.fromShim && frame.kind !== incoming.shimGone) return false;
    const shim = this.#byChannel.get(frame.channel);
    const message: unknown = JSON.parse(frame.payload.toString());
    if (shim === undefined) return true;
    if (frame.kind === incoming.shimGone) this.#gone(shim, (message as { killed: boolean }).killed);
    else this.#receive(shim, message as FromShim);
    return true;
  }

  #signalled(frame: Frame): void {
    const { failure } = JSON.parse(frame.payload.toString()) as { readonly failure: Failure | null };
    const pending = this.#signals.get(frame.channel);
    this.#signals.delete(frame.channel);
    if (failure === null) pending?.resolve();
    else pending?.reject(errorOf(failure));
  }

  #receive(shim: Shim, message: FromShim): void {
    const { id } = shim;
    switch (message.event) {
      case "state":
        shim.version = message.version ?? 1;
        shim.state?.resolve({
          shimPid: message.shim,
          netns: message.netns,
          userns: message.userns,
          pid: message.pid,
          exited: message.exited,
          execs: message.execs ?? [],
          pastExecs: message.pastExecs ?? [],
        });
        shim.state = undefined;
        return;
      case "started":
      case "exec-started":
        this.#answered(shim, message.seq)?.resolve(message);
        return;
      case "done":
        this.#answered(shim, message.seq)?.resolve(undefined);
        return;
      case "failed":
        this.#failed(shim, message.seq, errorOf(message.failure));
        return;
      case "exited":
        this.events.push({ kind: "exited", id, status: message.status, pid: message.pid });
        return;
      case "exec-exited": {
        const { exec, status, pid, output } = message;
        this.events.push({ kind: "exec-exited", id, exec, status, pid, output: output === null ? null : Buffer.from(output, "hex") });
        return;
      }
      case "out-of-memory":
        this.events.push({ kind: "out-of-memory", id });
        return;
      case "flushed":
        this.events.push({ kind: "flushed", id, client: message.client });
        return;
      case "detached":
        this.events.push({ kind: "detached", id, client: message.client });
        return;
    }
  }

  #answered(shim: Shim, seq: number): Pending<Started | undefined> | undefined {
    const pending = shim.pending.get(seq);
    shim.pending.delete(seq);
    return pending;
  }

  /** Sequence 0: the shim itself could not be created. */
  #failed(shim: Shim, seq: number, error: TsboxError): void {
    if (seq !== 0) {
      this.#answered(shim, seq)?.reject(error);
      return;
    }
    shim.state?.reject(error);
    shim.state = undefined;
    this.#forget(shim, error);
  }

  #gone(shim: Shim, killed: boolean): void {
    this.#forget(shim, fail("Unavailable", `the shim of container ${shim.id.slice(0, 12)} has ended`));
    this.events.push({ kind: "gone", id: shim.id, killed });
    // The launcher, the new parent of the container's process, reports the container's end on this channel.
    if (killed) this.#byChannel.set(shim.channel, shim);
  }

  #forget(shim: Shim, error: TsboxError): void {
    shim.state?.reject(error);
    for (const pending of shim.pending.values()) pending.reject(error);
    shim.pending.clear();
    this.#byChannel.delete(shim.channel);
    if (this.#byId.get(shim.id) === shim) this.#byId.delete(shim.id);
  }
}

const notRunning = (id: ContainerId): TsboxError => fail("FailedPrecondition", `container ${id.slice(0, 12)} is not running`);

const silent = (id: ContainerId, timeout: number): TsboxError =>
  fail(
    "DeadlineExceeded",
    `the shim of container ${id.slice(0, 12)} has not answered within ${timeout / 1000} s: it is stopped or hangs; kill or remove the container`,
  );

/** Rejects with `late` after the timeout. The timer does not keep the process alive. */
function withDeadline<T>(pending: Pending<T>, timeout: number, late: () => TsboxError): Pending<T> {
  const timer = setTimeout(() => pending.reject(late()), timeout).unref();
  return {
    resolve: (value) => {
      clearTimeout(timer);
      pending.resolve(value);
    },
    reject: (error) => {
      clearTimeout(timer);
      pending.reject(error);
    },
  };
}

function errorOf(failure: Failure): TsboxError {
  const { code, message, ...fields } = failure;
  return fail(code, message, fields);
}
