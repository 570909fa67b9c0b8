/** Local clients from the daemon's view: which are connected, and how many bytes written to each are still in flight. */
import { Buffer } from "node:buffer";
import { type Call, type ClientEvent, type ClientOpened, fail, type Strings } from "@tsbox/kernel";
import type { Connection } from "./connection.ts";
import { type Frame, incoming, outgoing } from "./protocol.ts";
import { Queue } from "./queue.ts";

/** How many bytes to a client may be in flight before its writer waits. */
const highWater = 256 << 10;
/** The most bytes in one frame to a client. */
const piece = 128 << 10;

/** How long a user may take to answer a credential helper's question, in milliseconds. */
const loginsTimeout = 90_000;

interface Traffic {
  written: number;
  drained: (() => void)[];
  /** Resolves the pending request for logins. */
  found: ((answer: Readonly<Record<string, Strings>>) => void) | null;
}

export class Clients {
  readonly events: Queue<ClientEvent> = new Queue();
  readonly #connection: Connection;
  readonly #traffic: Map<number, Traffic> = new Map();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** True when the frame was about a client. */
  receive(frame: Frame): boolean {
    const client = frame.channel;
    switch (frame.kind) {
      case incoming.clientOpened:
        this.#traffic.set(client, { written: 0, drained: [], found: null });
        // If this daemon dies while it runs the command, the next one must not run it again.
        this.#connection.send(outgoing.clientTaken, client);
        this.events.push(opened(client, frame.payload));
        return true;
      case incoming.clientSignal:
        this.events.push({ kind: "signal", client, signal: frame.payload.readUInt8(0) });
        return true;
      case incoming.clientResized:
        this.events.push({
          kind: "resized",
          client,
          size: { rows: frame.payload.readUInt16LE(0), columns: frame.payload.readUInt16LE(2) },
        });
        return true;
      case incoming.clientLoginsFound:
        this.#traffic.get(client)?.found?.(loginsOf(frame.payload));
        // Overwrites the logins: a frame is a view of the received bytes.
        frame.payload.fill(0);
        return true;
      case incoming.clientDrained:
        this.#drain(client);
        return true;
      case incoming.clientGone:
        this.#drain(client);
        this.#traffic.get(client)?.found?.({});
        this.#traffic.delete(client);
        this.events.push({ kind: "gone", client, answered: frame.payload[0] === 1 });
        return true;
      default:
        return false;
    }
  }

  /** Writes in pieces. Each waits until the client has read enough of the earlier ones. */
  async write(client: number, descriptor: 1 | 2, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += piece) {
      const taken = this.#writePiece(client, descriptor, bytes.subarray(at, at + piece));
      if (taken !== undefined) await taken;
    }
  }

  /** Asks the client for its user's logins at these registries. A client that is gone has no logins. */
  async logins(call: Call, client: number, registries: readonly string[]): Promise<Readonly<Record<string, Strings>>> {
    const traffic = this.#traffic.get(client);
    if (traffic === undefined || registries.length === 0) return {};
    const { promise, resolve, reject } = Promise.withResolvers<Readonly<Record<string, Strings>>>();
    const stop = (): void => reject(call.signal.reason);
    const timer = setTimeout(
      () => reject(fail("DeadlineExceeded", `no login was found within ${loginsTimeout / 1000} s: does a credential helper hang?`)),
      loginsTimeout,
    );
    call.signal.addEventListener("abort", stop, { once: true });
    traffic.found = resolve;
    try {
      this.#connection.send(outgoing.clientLogins, client, Buffer.from(JSON.stringify(registries)));
      return await promise;
    } finally {
      traffic.found = null;
      clearTimeout(timer);
      call.signal.removeEventListener("abort", stop);
    }
  }

  /** Undefined: the next piece may follow at once. */
  #writePiece(client: number, descriptor: 1 | 2, bytes: Uint8Array): Promise<void> | undefined {
    const traffic = this.#traffic.get(client);
    if (traffic === undefined) return;
    const payload = Buffer.allocUnsafe(bytes.length + 1);
    payload[0] = descriptor;
    payload.set(bytes, 1);
    this.#connection.send(outgoing.clientWrite, client, payload);
    traffic.written += bytes.length;
    if (traffic.written < highWater) return;
    return new Promise((resolve) => {
      traffic.drained.push(resolve);
    });
  }

  /**
   * The launcher's answer may not include bytes that were written after its request. A writer then waits a little less than it should,
   * which does no harm.
   */
  #drain(client: number): void {
    const traffic = this.#traffic.get(client);
    if (traffic === undefined) return;
    traffic.written = 0;
    for (const resolve of traffic.drained.splice(0)) resolve();
  }
}

/** `ClientOpened` of native/core/src/peer/protocol.rs. */
interface OpenedMessage {
  readonly argv: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly terminals: readonly [boolean, boolean, boolean];
  readonly size: { readonly rows: number; readonly columns: number } | null;
  readonly detachKeys?: string;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  readonly at: number;
  readonly bound: string | null;
}

function opened(client: number, payload: Buffer): ClientOpened {
  const message = JSON.parse(payload.toString()) as OpenedMessage;
  const environment: Record<string, string> = {};
  for (const pair of message.env) {
    const at = pair.indexOf("=");
    if (at > 0) environment[pair.slice(0, at)] = pair.slice(at + 1);
  }
  return {
    kind: "opened",
    client,
    argv: message.argv,
    environment,
    workingDirectory: message.cwd,
    terminals: message.terminals,
    size: message.size,
    detachKeys: message.detachKeys ?? null,
    uid: message.uid,
    gid: message.gid,
    pid: message.pid,
    at: message.at,
    boundTo: message.bound,
  };
}

/** Takes from the answer only text fields, by name, of each registry. An invalid answer means no logins. */
function loginsOf(payload: Buffer): Readonly<Record<string, Strings>> {
  try {
    const parsed: unknown = JSON.parse(payload.toString());
    const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
      typeof value === "object" && value !== null && !Array.isArray(value);
    if (!isObject(parsed)) return {};
    return Object.fromEntries(
      Object.entries(parsed).flatMap(([registry, fields]) =>
        isObject(fields)
          ? [[registry, Object.fromEntries(Object.entries(fields).filter((pair): pair is [string, string] => typeof pair[1] === "string"))]]
          : [],
      ),
    );
  } catch {
    return {};
  }
}
