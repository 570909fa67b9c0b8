/** The parts of a log rule's world: a new driver, and a sink that the suite can stop. */
import type { Call, LogDriver, LogRecord, LogSender, LogSource, Strings } from "@tsbox/kernel";
import type { BaseWorld } from "../rule.ts";

/** A record as it came to the sink. */
export interface Received {
  readonly tag: string;
  /** As UTF-8, without a line end. */
  readonly line: string;
  readonly stream: LogRecord["stream"];
  /** Milliseconds since the epoch, as precisely as the protocol says it. */
  readonly at: number;
}

/** The place where a driver sends to, made for tests. */
export interface LogSink {
  /** Options of a container whose log comes here. */
  readonly options: Strings;
  /** The plugin's config with which its driver reaches the sink. Left out: any. */
  readonly config?: unknown;
  /** The precision of times, in milliseconds. */
  readonly precision: number;
  /** Milliseconds that records need to arrive. Left out: 15,000. */
  readonly arrival?: number;
  /** Whether a driver can know that a record has arrived: the sink acknowledges, or the host's kernel keeps what it has taken. */
  readonly isSure: boolean;
  /** Everything that has come since the sink was made, in order. */
  received(): Promise<readonly Received[]>;
  /** Ends what listens, with whatever it has not read yet. */
  stop(): Promise<void>;
  /** Still takes connections, and reads nothing. */
  silence(): Promise<void>;
  /** Listens and reads again, at the same address. */
  start(): Promise<void>;
  close(): Promise<void>;
}

export interface LogWorld extends BaseWorld {
  readonly driver: LogDriver & LogSender;
  readonly call: Call;
  /** Null: the suite has no sink for this driver. */
  readonly sink: LogSink | null;
  /** A container whose log goes to the sink. Each has an id and a tag of its own. */
  source(more?: Partial<LogSource>): LogSource;
  /** The engine dies without cleanup, and a new one opens the driver: `driver` is another object afterwards. */
  crash(): Promise<void>;
}
