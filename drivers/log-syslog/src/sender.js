/** One way to a syslog server for each kind of address. */
import { createSocket } from "node:dgram";
import { existsSync } from "node:fs";
import { connect, isIP } from "node:net";
import { setTimeout as pause, setImmediate as turn } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { abortReason, asError, connectUnix, fail, SinkStream } from "@tsbox/kernel";
/** Where syslog's socket is on one system or another. */
const localSockets = ["/dev/log", "/var/run/syslog", "/var/run/log"];
export function makeSender(host, options) {
    const { address, text, tls } = options;
    if (address.kind === "local")
        return new LocalSender(host, () => localSockets.find(existsSync) ?? localSockets[0] ?? "");
    if (address.kind === "unixgram")
        return new DatagramSender(host, address.path);
    if (address.kind === "unix")
        return new LocalSender(host, () => address.path);
    if (address.kind === "udp")
        return new UdpSender(address.host, address.port, text);
    const { host: server, port } = address;
    if (address.kind === "tcp")
        return new StreamSender(new SinkStream({ address: text, connect: () => ({ socket: connect({ host: server, port }), event: "connect" }) }));
    const servername = isIP(server) === 0 ? { servername: server } : {};
    return new StreamSender(new SinkStream({
        address: text,
        connect: () => ({ socket: connectTls({ host: server, port, ...servername, ...tls }), event: "secureConnect" }),
    }));
}
class StreamSender {
    #stream;
    constructor(stream) {
        this.#stream = stream;
    }
    send(call, messages) {
        return this.#stream.send(call, Buffer.concat(messages));
    }
    close() {
        this.#stream.close();
    }
}
/** Milliseconds between two looks whether a full socket has room again. */
const roomPause = 20;
class DatagramSender {
    #host;
    #path;
    constructor(host, path) {
        this.#host = host;
        this.#path = path;
    }
    async send(call, messages) {
        for (let sent = 0;;) {
            sent += await this.#host.sendDatagrams(call, this.#path, messages.slice(sent));
            if (sent >= messages.length)
                return;
            await pause(roomPause, undefined, { signal: call.signal }).catch(() => {
                throw fail("Unavailable", `${this.#path} takes no more logs: the program that reads it is too slow or stopped`);
            });
        }
    }
    close() { }
}
/** A socket in the file system, of either kind: /dev/log is one of datagrams on most systems. */
class LocalSender {
    #host;
    #path;
    #chosen = null;
    constructor(host, path) {
        this.#host = host;
        this.#path = path;
    }
    async send(call, messages) {
        if (this.#chosen !== null)
            return this.#chosen.send(call, messages);
        const path = this.#path();
        const datagrams = new DatagramSender(this.#host, path);
        try {
            await datagrams.send(call, messages);
            this.#chosen = datagrams;
        }
        catch (error) {
            if (errnoOf(error) !== wrongType)
                throw error;
            this.#chosen = new StreamSender(new SinkStream({ address: path, connect: () => ({ socket: connectUnix(path), event: "connect" }) }));
            await this.#chosen.send(call, messages);
        }
    }
    close() {
        this.#chosen?.close();
    }
}
/** EPROTOTYPE: it is a socket of the other kind. */
const wrongType = 91;
const errnoOf = (error) => (typeof error === "object" && error !== null && "errno" in error ? error.errno : undefined);
/** Connected, so that a refusal comes back with the next datagram. Datagrams on the way may be lost, as always with UDP. */
class UdpSender {
    #server;
    #port;
    #text;
    #socket = null;
    #refused = null;
    constructor(server, port, text) {
        this.#server = server;
        this.#port = port;
        this.#text = text;
    }
    async send(call, messages) {
        try {
            this.#refused = null;
            const socket = await this.#connected(call.signal);
            for (const message of messages) {
                await new Promise((resolve, reject) => socket.send(message, (error) => (error === null ? resolve() : reject(error))));
                if (this.#refused !== null)
                    throw this.#refused;
                call.signal.throwIfAborted();
            }
            // The refusal of the last one is read in a later turn.
            await turn();
            if (this.#refused !== null)
                throw this.#refused;
        }
        catch (error) {
            this.close();
            throw fail("Unavailable", `${this.#text} does not take logs: ${asError(error).message}`, { cause: error });
        }
    }
    close() {
        void this.#socket?.then((socket) => socket.close(), () => undefined);
        this.#socket = null;
    }
    #connected(signal) {
        this.#socket ??= new Promise((resolve, reject) => {
            const socket = createSocket({ type: isIP(this.#server) === 6 ? "udp6" : "udp4" });
            const abort = () => reject(abortReason(signal.reason));
            signal.addEventListener("abort", abort, { once: true });
            socket.unref();
            socket.on("error", (error) => {
                this.#refused = error;
                reject(error);
            });
            socket.connect(this.#port, this.#server, () => resolve(socket));
        });
        return this.#socket;
    }
}
