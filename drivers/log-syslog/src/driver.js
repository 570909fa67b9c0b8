import { fail, } from "@tsbox/kernel";
import { messageOf } from "./format.js";
import { known, parseOptions } from "./options.js";
import { makeSender } from "./sender.js";
export class SyslogDriver {
    powers = ["send"];
    options = known;
    #host;
    #opened = new Map();
    constructor(host) {
        this.#host = host;
    }
    async check(_call, options) {
        parseOptions(options);
    }
    async open(_call, { container, tag, options }) {
        if (this.#opened.has(container))
            throw fail("AlreadyExists", `the log of container ${container} is open already`);
        const own = parseOptions(Object.fromEntries(known.flatMap((key) => (options[key] === undefined ? [] : [[key, options[key]]]))));
        const { format, facility, address } = own;
        const isCounted = address.kind === "tls" && format.startsWith("rfc5424");
        this.#opened.set(container, { frame: { format, facility, tag, isCounted }, sender: makeSender(this.#host, own) });
    }
    async write(call, container, records) {
        const { frame, sender } = this.#known(container);
        call.signal.throwIfAborted();
        if (records.length > 0)
            await sender.send(call, records.map((record) => messageOf(frame, record)));
    }
    async close(_call, container) {
        this.#known(container).sender.close();
        this.#opened.delete(container);
    }
    /** The driver is closed, and all sources with it. */
    end() {
        for (const { sender } of this.#opened.values())
            sender.close();
        this.#opened.clear();
    }
    #known(container) {
        const opened = this.#opened.get(container);
        if (opened === undefined)
            throw fail("NotFound", `the log of container ${container} is not open`);
        return opened;
    }
}
