/** The sink of the log suite: a syslog server, which reads every format that the driver writes. */
import { join } from "node:path";
import type { TlsOptions } from "node:tls";
import { type LogSink, type Received, StreamReceiver } from "@tsbox/conformance";

const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

export interface SyslogSink extends LogSink {
  readonly received: () => Promise<readonly (Received & { readonly priority: number; readonly raw: string })[]>;
  readonly receiver: StreamReceiver;
}

export const sink = (): Promise<SyslogSink> => syslogSink({ "syslog-format": "rfc5424micro" });

/** `directory`: it listens on a unix socket there instead of a port. */
export async function syslogSink(
  options: Readonly<Record<string, string>>,
  { directory = null, tls = null }: { readonly directory?: string | null; readonly tls?: TlsOptions | null } = {},
): Promise<SyslogSink> {
  const messages: string[] = [];
  const isCounted = tls !== null && (options["syslog-format"] ?? "").startsWith("rfc5424");
  const path = directory === null ? null : join(directory, "syslog.sock");
  const receiver = new StreamReceiver(path, tls, () => {
    let rest = "";
    return (bytes) => {
      rest += bytes.toString("latin1");
      for (;;) {
        const message = isCounted ? counted(rest) : ended(rest);
        if (message === null) return;
        rest = rest.slice(message.taken);
        messages.push(Buffer.from(message.text, "latin1").toString());
      }
    };
  });
  await receiver.start();
  const scheme = tls === null ? "tcp" : "tcp+tls";
  return {
    options: { "syslog-address": path === null ? `${scheme}://localhost:${receiver.port}` : `unix://${path}`, ...options },
    precision: (options["syslog-format"] ?? "") === "rfc5424micro" ? 1 : 1000,
    isSure: false,
    receiver,
    received: async () => messages.map(parsed),
    stop: () => receiver.stop(),
    silence: () => receiver.silence(),
    start: () => receiver.start(),
    close: () => receiver.stop(),
  };
}

function ended(rest: string): { readonly text: string; readonly taken: number } | null {
  const end = rest.indexOf("\n");
  return end < 0 ? null : { text: rest.slice(0, end), taken: end + 1 };
}

/** RFC 5425: the length before each message. */
function counted(rest: string): { readonly text: string; readonly taken: number } | null {
  const [head = "", digits = ""] = /^(\d+) /.exec(rest) ?? [];
  const end = head.length + Number(digits);
  return head === "" || rest.length < end ? null : { text: rest.slice(head.length, end - 1), taken: end };
}

export function parsed(raw: string): Received & { readonly priority: number; readonly raw: string } {
  const modern = /^<(\d+)>1 (\S+) \S+ (\S+) \d+ \S+ - (.*)$/s.exec(raw);
  const [, priority = "0", time = "", tag = "", line = ""] =
    modern ?? /^<(\d+)>(\w{3} [ \d]\d \d\d:\d\d:\d\d) (?:\S+ )?(\S+?)\[\d+\]: (.*)$/s.exec(raw) ?? [];
  const [month = "", day = "", clock = ""] = time.split(/ +/);
  const year = new Date().getFullYear();
  const at =
    modern === null
      ? new Date(`${year}-${String(months.indexOf(month) + 1).padStart(2, "0")}-${day.padStart(2, "0")}T${clock}`)
      : new Date(time);
  return { tag, line, stream: Number(priority) % 8 === 3 ? "stderr" : "stdout", at: at.getTime(), priority: Number(priority), raw };
}
