/** What a command sees of the world: two streams, its environment, and a session that can lend its terminal to a container. */
import type { ApiService, Call, Strings, WindowSize } from "@tsbox/kernel";
import type { FlagSpecs, Parsed } from "./flags.ts";
import type { Logins } from "./logins.ts";

export interface Io {
  readonly call: Call;
  readonly environment: Strings;
  readonly workingDirectory: string;
  /** Which of 0, 1, 2 are terminals. */
  readonly terminals: readonly [boolean, boolean, boolean];
  readonly size: WindowSize | null;
  /** `detachKeys` of the user's own docker configuration; asked for only where a terminal is lent. */
  detachKeys(): string | null;
  /** The user's logins at these registries (logins.ts), by registry; asked for only where something is pulled. */
  logins(registries: readonly string[]): Promise<Logins>;
  /** Text has its control characters escaped; bytes go out as they are. */
  out(text: string | Uint8Array): Promise<void>;
  err(text: string | Uint8Array): Promise<void>;
  readonly session: Session;
}

/**
 * How a command's own stdio becomes a container's or an exec's: by descriptor on this host, over the API's hijacked connection elsewhere.
 */
export interface Session {
  /** Starts a container with the user's stdio as its own and answers its exit code; null: the user left it with the detach keys. */
  runAttached(
    api: ApiService,
    id: string,
    streams: Attached,
  ): Promise<{ readonly code: number | null; readonly timings: readonly (readonly [string, number])[] }>;
  /** Joins a running container, and answers its exit code; null: detached. */
  attach(api: ApiService, id: string, streams: Attached): Promise<number | null>;
  /** Starts an exec likewise. */
  runExec(api: ApiService, exec: string, streams: Attached): Promise<number | null>;
}
export interface Attached {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly terminal: boolean;
  /** Signals go to the container; else they end the command. */
  readonly signalProxy: boolean;
  /** The container is gone when it has ended. */
  readonly removed: boolean;
  /** Null: Docker's. */
  readonly detachKeys: readonly number[] | null;
}

/** As docker prints them, a line each. */
export const warningText = (warnings: readonly string[]): string => warnings.map((warning) => `WARNING: ${warning}\n`).join("");

export type Command = {
  readonly name: string;
  /** `run [OPTIONS] IMAGE [COMMAND] [ARG...]` */
  readonly usage: string;
  readonly about: string;
  /** Other ways to write it, with its group: docker's `container ls` is `ps`. `words` come before the user's. */
  readonly aliases?: readonly (string | { readonly path: string; readonly words: readonly string[] })[];
  readonly flags: FlagSpecs;
  /** Flags end at the first word. */
  readonly ownWords?: boolean;
  /** Its failures exit as `run` does: 125, 126, 127. Others exit 1. */
  readonly runs?: boolean;
  /** How many words it takes. */
  readonly words: readonly [least: number, most: number];
  /**
   * It reads or writes the user's own files or terminal, so the user's own process has to do it: always, or with these words behind its
   * name.
   */
  readonly local?: boolean | ((words: readonly string[]) => boolean);
  /** Answers the exit code. */
  run(io: Io, api: ApiService, parsed: Parsed): Promise<number>;
};
