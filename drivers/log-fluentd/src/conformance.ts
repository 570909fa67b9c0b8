/** The sink of the log suite: a server of fluentd's forward protocol. */
import { join } from "node:path";
import { DecodeError, decodeMulti, ExtensionCodec, encode } from "@msgpack/msgpack";
import { type LogSink, type Received, StreamReceiver } from "@tsbox/conformance";

export interface FluentSink extends LogSink {
  readonly received: () => Promise<readonly (Received & { readonly record: Readonly<Record<string, unknown>> })[]>;
  readonly receiver: StreamReceiver;
}

export const sink = (): Promise<FluentSink> => fluentSink({ "fluentd-request-ack": "true", "fluentd-sub-second-precision": "true" });

/** `directory`: it listens on a unix socket there instead of a port. */
export async function fluentSink(options: Readonly<Record<string, string>>, directory: string | null = null): Promise<FluentSink> {
  const records: (Received & { readonly record: Readonly<Record<string, unknown>> })[] = [];
  const extensionCodec = new ExtensionCodec();
  extensionCodec.register({
    type: 0,
    encode: () => null,
    decode: (bytes) => Buffer.from(bytes).readUInt32BE(0) * 1000 + Buffer.from(bytes).readUInt32BE(4) / 1e6,
  });
  const path = directory === null ? null : join(directory, "fluent.sock");
  const isPrecise = options["fluentd-sub-second-precision"] === "true";
  const receiver = new StreamReceiver(path, null, (socket) => {
    let rest: Buffer = Buffer.alloc(0);
    return (bytes) => {
      rest = Buffer.concat([rest, bytes]);
      let messages: unknown[] = [];
      try {
        messages = [...decodeMulti(rest, { extensionCodec })];
      } catch (error) {
        // Not whole yet.
        if (error instanceof RangeError && !(error instanceof DecodeError)) return;
        throw error;
      }
      rest = Buffer.alloc(0);
      for (const message of messages) {
        const [tag, entries, option] = message as [string, [number, Record<string, string>][], { readonly chunk?: string }];
        for (const [time, record] of entries)
          records.push({
            tag,
            line: record.log ?? "",
            stream: record.source === "stderr" ? "stderr" : "stdout",
            at: isPrecise ? time : time * 1000,
            record,
          });
        if (option.chunk !== undefined) socket.write(encode({ ack: option.chunk }));
      }
    };
  });
  await receiver.start();
  return {
    options: { "fluentd-address": path === null ? `127.0.0.1:${receiver.port}` : `unix://${path}`, ...options },
    precision: isPrecise ? 1 : 1000,
    isSure: options["fluentd-request-ack"] === "true",
    receiver,
    received: async () => records,
    stop: () => receiver.stop(),
    silence: () => receiver.silence(),
    start: () => receiver.start(),
    close: () => receiver.stop(),
  };
}
