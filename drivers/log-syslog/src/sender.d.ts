import { type Call, type HostToolkit } from "@tsbox/kernel";
import type { SyslogOptions } from "./options.ts";
export interface Sender {
    send(call: Call, messages: readonly Buffer[]): Promise<void>;
    close(): void;
}
export declare function makeSender(host: HostToolkit, options: SyslogOptions): Sender;
