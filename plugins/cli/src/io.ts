/** A command's environment: two output streams, variables, and a session that can attach the user's terminal to a container. */
import type { ApiService, Call, Strings, WindowSize } from "@tsbox/kernel";
import type { FlagSpecs, Parsed } from "./flags.ts";
import type { Logins } from "./logins.ts";

export interface Io {
  readonly call: Call;
  readonly environment: Strings;
  readonly workingDirectory: string;
  /** Which of the descriptors 0, 1, 2 are terminals. */
  readonly terminals: readonly [boolean, boolean, boolean];
  readonly size: WindowSize | null;
  /** `detachKeys` of the user's own docker configuration; only called when a terminal is attached. */
  detachKeys(): string | null;
  /** The user's logins at these registries (logins.ts), by registry; only called for a pull. */
  logins(registries: readonly string[]): Promise<Logins>;
  /** Writes text with its control characters escaped, or bytes unchanged. */
  out(text: string | Uint8Array): Promise<void>;
  err(text: string | Uint8Array): Promise<void>;
  readonly session: Session;
}

/**
 * Attaches the command's own stdio to a container or an exec: by descriptors on this host, over the API's hijacked connection elsewhere.
 */
export interface Session {
  /** Starts a container with the user's stdio and answers its exit code; null: the user has typed the detach keys. */
  runAttached(
    api: ApiService,
    id: string,
    streams: Attached,
  ): Promise<{ readonly code: number | null; readonly timings: readonly (readonly [string, number])[] }>;
  /** Attaches to a running container and answers its exit code; null: the user has detached. */
  attach(api: ApiService, id: string, streams: Attached): Promise<number | null>;
  /** Starts an exec with the user's stdio and answers its exit code; null: the user has detached. */
  runExec(api: ApiService, exec: string, streams: Attached): Promise<number | null>;
}
export interface Attached {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly terminal: boolean;
  /** Signals go to the container; otherwise they end the command. */
  readonly signalProxy: boolean;
  /** The container is removed when it ends. */
  readonly removed: boolean;
  /** Null: Docker's default. */
  readonly detachKeys: readonly number[] | null;
}

/** Docker's format of warnings, one a line. */
export const warningText = (warnings: readonly string[]): string => warnings.map((warning) => `WARNING: ${warning}\n`).join("");

export type Command = {
  readonly name: string;
  /** `run [OPTIONS] IMAGE [COMMAND] [ARG...]` */
  readonly usage: string;
  readonly about: string;
  /**
   * Other ways to write the command, with their group: docker's `container ls` is `ps`. `words` are inserted before the user's arguments.
   */
  readonly aliases?: readonly (string | { readonly path: string; readonly words: readonly string[] })[];
  readonly flags: FlagSpecs;
  /** Flags end at the first argument. */
  readonly ownWords?: boolean;
  /** Its failures have the exit codes of `run`: 125, 126, 127. Other commands exit 1. */
  readonly runs?: boolean;
  /** The least and the greatest number of arguments. */
  readonly words: readonly [least: number, most: number];
  /**
   * The command reads or writes the user's own files or terminal, so it must run in the user's own process: always, or for these arguments
   * after its name.
   */
  readonly local?: boolean | ((words: readonly string[]) => boolean);
  /** Answers the exit code. */
  run(io: Io, api: ApiService, parsed: Parsed): Promise<number>;
};
