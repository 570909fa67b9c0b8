import type { LogRecord } from "@tsbox/kernel";
import type { FormatName } from "./options.ts";
export interface Frame {
    readonly format: FormatName;
    readonly facility: number;
    readonly tag: string;
    /** RFC 5425's frames: the length of a message before it. */
    readonly isCounted: boolean;
}
export declare function messageOf({ format, facility, tag, isCounted }: Frame, { stream, at, line }: LogRecord): Buffer;
