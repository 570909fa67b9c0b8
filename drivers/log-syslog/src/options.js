/** The options of a container, checked. Their names and values are Docker's. */
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { asError, fail } from "@tsbox/kernel";
export const known = [
    "syslog-address",
    "syslog-facility",
    "syslog-format",
    "syslog-tls-ca-cert",
    "syslog-tls-cert",
    "syslog-tls-key",
    "syslog-tls-skip-verify",
];
const facilities = [
    ..."kern user mail daemon auth syslog lpr news uucp cron authpriv ftp".split(" "),
    ...["", "", "", ""],
    ..."local0 local1 local2 local3 local4 local5 local6 local7".split(" "),
];
const defaultPort = 514;
export function parseOptions(given) {
    for (const key of Object.keys(given))
        if (!known.includes(key))
            throw fail("InvalidArgument", `unknown log opt '${key}' for syslog log driver: there are ${known.join(", ")}`);
    const text = given["syslog-address"] ?? "";
    const address = addressOf(text);
    const skip = given["syslog-tls-skip-verify"] ?? "";
    if (!/^(|0|1|t|f|true|false)$/i.test(skip))
        throw fail("InvalidArgument", `invalid log option syslog-tls-skip-verify=${skip}: give true or false`);
    if (Object.hasOwn(given, "syslog-tls-cert") !== Object.hasOwn(given, "syslog-tls-key"))
        throw fail("InvalidArgument", "syslog-tls-cert and syslog-tls-key need each other: give both");
    return {
        address,
        text: text === "" ? "the local syslog socket" : text,
        facility: facilityOf(given["syslog-facility"] ?? "daemon"),
        format: formatOf(given["syslog-format"] ?? ""),
        // The files are read for TLS alone, as Docker does.
        tls: address.kind === "tls" ? { ...certificates(given), rejectUnauthorized: !/^(1|t|true)$/i.test(skip) } : {},
    };
}
function addressOf(text) {
    if (text === "")
        return { kind: "local" };
    const wrong = (why) => fail("InvalidArgument", `invalid log option syslog-address=${text}: ${why}; give udp://HOST:PORT, tcp://HOST:PORT, tcp+tls://HOST:PORT, unix://PATH or unixgram://PATH`);
    const [, prefix = "", rest = ""] = /^([a-z0-9+]+):\/\/(.*)$/s.exec(text) ?? [];
    if (prefix === "unix" || prefix === "unixgram") {
        if (!rest.startsWith("/") || rest.includes("\0"))
            throw wrong("its path is not absolute");
        return { kind: prefix, path: rest };
    }
    const kinds = { udp: "udp", tcp: "tcp", "tcp+tls": "tls" };
    const kind = Object.hasOwn(kinds, prefix) ? kinds[prefix] : undefined;
    if (kind === undefined)
        throw wrong("there is no such scheme");
    const [, bracketed, plain, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9_.-]+))(?::(\d{1,5}))?$/.exec(rest) ?? [];
    const host = bracketed ?? plain;
    const port = digits === undefined ? defaultPort : Number(digits);
    if (host === undefined || (bracketed !== undefined && isIP(bracketed) !== 6))
        throw wrong("its host is none");
    if (port < 1 || port > 65_535)
        throw wrong("its port is none");
    return { kind, host, port };
}
/** By name, or by number as Docker takes it. */
function facilityOf(text) {
    const index = /^\d{1,2}$/.test(text) ? Number(text) : facilities.indexOf(text);
    if (text !== "" && index >= 0 && (facilities[index] ?? "") !== "")
        return index;
    const names = facilities.filter((name) => name !== "").join(", ");
    throw fail("InvalidArgument", `invalid log option syslog-facility=${text}: there are ${names}`);
}
function formatOf(text) {
    if (text === "")
        return "unix";
    if (text === "rfc3164" || text === "rfc5424" || text === "rfc5424micro")
        return text;
    throw fail("InvalidArgument", `invalid log option syslog-format=${text}: there are rfc3164, rfc5424 and rfc5424micro`);
}
function certificates(given) {
    const read = (key) => {
        const path = given[key];
        if (path === undefined || path === "")
            return undefined;
        try {
            return readFileSync(path);
        }
        catch (error) {
            throw fail("InvalidArgument", `can't read the file of log option ${key}: ${asError(error).message}`, { cause: error });
        }
    };
    const [ca, cert, key] = [read("syslog-tls-ca-cert"), read("syslog-tls-cert"), read("syslog-tls-key")];
    return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}
