import { type Call, type ContainerId, type HostToolkit, type LogDriver, type LogPowers, type LogRecord, type LogSender, type LogSource, type Strings } from "@tsbox/kernel";
export declare class SyslogDriver implements LogDriver, LogSender {
    #private;
    readonly powers: readonly (keyof LogPowers)[];
    readonly options: readonly string[];
    constructor(host: HostToolkit);
    check(_call: Call, options: Strings): Promise<void>;
    open(_call: Call, { container, tag, options }: LogSource): Promise<void>;
    write(call: Call, container: ContainerId, records: readonly LogRecord[]): Promise<void>;
    close(_call: Call, container: ContainerId): Promise<void>;
    /** The driver is closed, and all sources with it. */
    end(): void;
}
