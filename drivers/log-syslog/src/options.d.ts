import type { ConnectionOptions } from "node:tls";
import { type Strings } from "@tsbox/kernel";
/** `local`: the first of the usual sockets that there is. `unix`: stream or datagram, whatever the socket is. */
export type Address = {
    readonly kind: "local";
} | {
    readonly kind: "unix";
    readonly path: string;
} | {
    readonly kind: "unixgram";
    readonly path: string;
} | {
    readonly kind: "udp" | "tcp" | "tls";
    readonly host: string;
    readonly port: number;
};
export type FormatName = "unix" | "rfc3164" | "rfc5424" | "rfc5424micro";
export interface SyslogOptions {
    readonly address: Address;
    /** As the user wrote it, for messages. */
    readonly text: string;
    readonly facility: number;
    readonly format: FormatName;
    readonly tls: Pick<ConnectionOptions, "ca" | "cert" | "key" | "rejectUnauthorized">;
}
export declare const known: readonly ["syslog-address", "syslog-facility", "syslog-format", "syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key", "syslog-tls-skip-verify"];
export declare function parseOptions(given: Strings): SyslogOptions;
