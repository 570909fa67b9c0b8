/** Helper programs, which the launcher runs for the daemon. */
import { type Call, type Command, type CommandResult, fail } from "@tsbox/kernel";
import type { Connection } from "./connection.ts";
import { type Frame, incoming, outgoing } from "./protocol.ts";

/** In milliseconds. A helper is a short command. One that hangs in the kernel can't be killed; it is left behind. */
const timeout = 120_000;

interface Ran {
  readonly code: number;
  readonly stdout: number;
  readonly failure: string | null;
}

export class Helpers {
  readonly #connection: Connection;
  readonly #waiting: Map<number, { resolve(result: CommandResult): void; reject(error: unknown): void }> = new Map();
  #last = 0;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  run(call: Call, command: Command): Promise<CommandResult> {
    call.signal.throwIfAborted();
    this.#last += 1;
    const channel = this.#last;
    const env = Object.entries(command.environment).map(([name, value]) => `${name}=${value}`);
    const cancel = (): void => this.#connection.send(outgoing.runCancel, channel);
    const late = Promise.withResolvers<never>();
    late.promise.catch(() => {});
    const why = `${command.argv[0]} has not ended within ${timeout / 1000} s, and is killed: see whether what it works on hangs (a mount, a server)`;
    const timer = setTimeout(() => {
      cancel();
      late.reject(fail("DeadlineExceeded", why));
    }, timeout).unref();
    call.signal.addEventListener("abort", cancel, { once: true });
    const ran = new Promise<CommandResult>((resolve, reject) => {
      this.#waiting.set(channel, { resolve, reject });
      this.#connection.json(outgoing.run, channel, {
        argv: command.argv,
        env,
        cwd: command.workingDirectory,
        stdin: command.stdin ?? null,
      });
    });
    return Promise.race([ran, late.promise])
      .then((result) => {
        // A cancelled call fails once its work has stopped, and never returns a partial result.
        call.signal.throwIfAborted();
        return result;
      })
      .finally(() => {
        clearTimeout(timer);
        call.signal.removeEventListener("abort", cancel);
      });
  }

  receive(frame: Frame): boolean {
    if (frame.kind !== incoming.ran) return false;
    const end = frame.payload.indexOf(0);
    const ran = JSON.parse(frame.payload.subarray(0, end).toString()) as Ran;
    const waiting = this.#waiting.get(frame.channel);
    this.#waiting.delete(frame.channel);
    if (ran.failure !== null) waiting?.reject(fail("NotFound", `${ran.failure}; install it, or name its full path`));
    const output = end + 1 + ran.stdout;
    waiting?.resolve({ exitCode: ran.code, stdout: frame.payload.subarray(end + 1, output), stderr: frame.payload.subarray(output) });
    return true;
  }
}
