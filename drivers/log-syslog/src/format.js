/** Syslog messages, byte for byte as Docker's library makes them (github.com/RackSec/srslog), but with the time of the record. */
import { hostname } from "node:os";
const severity = { stdout: 6, stderr: 3 };
const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const two = (value) => String(value).padStart(2, "0");
export function messageOf({ format, facility, tag, isCounted }, { stream, at, line }) {
    const priority = facility * 8 + severity[stream];
    const head = Buffer.from(headOf(format, priority, tag, at));
    const message = Buffer.concat([head, line, Buffer.from("\n")]);
    return isCounted ? Buffer.concat([Buffer.from(`${message.length} `), message]) : message;
}
function headOf(format, priority, tag, at) {
    const microseconds = at.slice(0, -3);
    const time = new Date(Number(microseconds.slice(0, -3)));
    const pid = process.pid;
    if (format === "unix")
        return `<${priority}>${stamp(time)} ${tag}[${pid}]: `;
    if (format === "rfc3164")
        return `<${priority}>${stamp(time)} ${hostname()} ${tag}[${pid}]: `;
    const fraction = format === "rfc5424micro" ? `.${microseconds.slice(-6).padStart(6, "0")}` : "";
    return `<${priority}>1 ${rfc3339(time, fraction)} ${hostname()} ${tag} ${pid} ${tag} - `;
}
/** Go's time.Stamp: `Jan _2 15:04:05`, in local time. */
function stamp(time) {
    const day = String(time.getDate()).padStart(2);
    return `${months[time.getMonth()]} ${day} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}
function rfc3339(time, fraction) {
    const offset = -time.getTimezoneOffset();
    const local = new Date(time.getTime() + offset * 60_000).toISOString().slice(0, 19);
    const size = Math.abs(offset);
    const zone = offset === 0 ? "Z" : `${offset < 0 ? "-" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
    return `${local}${fraction}${zone}`;
}
