/** The service `launcher`, over the daemon's only socket to the native launcher. */
import { readlinkSync } from "node:fs";
import { type Call, fail, type LauncherService, noSettings, type Plugin, type PluginContext, type Probe } from "@tsbox/kernel";
import { Clients } from "./clients.ts";
import { Connection } from "./connection.ts";
import { Helpers } from "./helpers.ts";
import { incoming, outgoing, protocolVersion } from "./protocol.ts";
import { Shims } from "./shims.ts";

/** The descriptor that the launcher passes to the daemon. */
const socketDescriptor = 3;

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context: PluginContext<null>): void {
    let announce: () => void = () => {};
    context.provideService("launcher", {
      probe: () => Promise.resolve(probe()),
      open: async () => {
        const opened = await open();
        announce = opened.announce;
        return opened.service;
      },
      close: () => Promise.resolve(),
    });
    // Clients that connected before this wait in the launcher.
    context.tap("ready", () => Promise.resolve(announce()));
  },
};
export default plugin;

function probe(): Probe {
  try {
    if (readlinkSync(`/proc/self/fd/${socketDescriptor}`).startsWith("socket:")) return { usable: true };
  } catch {
    // No such descriptor.
  }
  return { usable: false, reason: "this process was not started by the launcher", hint: "start the engine with `tsbox daemon`" };
}

function open(): Promise<{ readonly service: LauncherService; readonly announce: () => void }> {
  return new Promise((resolve, reject) => {
    const connection = new Connection(
      socketDescriptor,
      (frame) => {
        if (clients.receive(frame) || shims.receive(frame) || helpers.receive(frame) || frame.kind !== incoming.hello) return;
        const hello = JSON.parse(frame.payload.toString()) as { version: number; shims: [string, number][] };
        if (hello.version !== protocolVersion) {
          reject(
            fail(
              "VersionMismatch",
              `the launcher speaks protocol ${hello.version}, this daemon ${protocolVersion}; stop the engine and start it again`,
            ),
          );
          return;
        }
        shims.adopt(hello.shims);
        resolve({ service: serviceOf(connection, clients, shims, helpers), announce: () => connection.send(outgoing.ready, 0) });
      },
      // The launcher is dead. Shims go on, and the next start of the engine starts launcher and daemon again. SIGKILL instead of exit: on
      // exit, libraries clean up and may wait for a disk (lmdb does after a full one), and the next daemon would wait for this one's
      // sockets.
      () => process.kill(process.pid, "SIGKILL"),
    );
    const clients = new Clients(connection);
    const shims = new Shims(connection);
    const helpers = new Helpers(connection);
  });
}

function serviceOf(connection: Connection, clients: Clients, shims: Shims, helpers: Helpers): LauncherService {
  const done = Promise.resolve();
  return {
    clients: () => Promise.resolve(clients.events),
    write: (_call, client, descriptor, bytes) => clients.write(client, descriptor, bytes),
    exit: (_call, client, code) => {
      connection.send(outgoing.clientExit, client, Uint8Array.of(code & 255));
      return done;
    },
    runLocally: (_call, client) => {
      connection.send(outgoing.clientLocal, client);
      return done;
    },
    rawTerminal: (_call, client, raw) => {
      connection.send(outgoing.clientRaw, client, Uint8Array.of(raw ? 1 : 0));
      return done;
    },
    logins: (call, client, registries) => clients.logins(call, client, registries),
    bind: (_call, client, word, { signalsProxied }) => {
      connection.send(outgoing.clientBind, client, Buffer.concat([Uint8Array.of(signalsProxied ? 1 : 0), Buffer.from(word)]));
      return done;
    },
    spawn: (_call, id, directory, namespaces) => shims.spawn(id, directory, namespaces),
    connect: (_call, id, directory) => shims.connect(id, directory),
    shims: () => Promise.resolve(shims.ids()),
    start: (_call, id, launch) => shims.start(id, launch),
    release: (_call, id) => {
      shims.release(id);
      return done;
    },
    abandon: (_call, id) => {
      shims.abandon(id);
      return done;
    },
    signal: (_call, id, signal, options) => shims.signal(id, signal, options?.all ?? false, options?.pid ?? null),
    pause: (_call, id) => shims.request(id, { op: "pause" }),
    resume: (_call, id) => shims.request(id, { op: "resume" }),
    resize: (_call, id, size) => {
      shims.resize(id, size);
      return done;
    },
    attach: (_call, id, client) => shims.join(id, client),
    exec: async (_call, id, exec) => shims.exec(id, exec),
    signalExec: (_call, id, exec, signal) => shims.request(id, { op: "signal-exec", exec, signal }),
    resizeExec: (_call, id, exec, size) => {
      shims.send(id, { op: "resize-exec", exec, ...size });
      return done;
    },
    detach: (_call, id, client) => {
      shims.send(id, { op: "leave", client });
      return done;
    },
    events: () => Promise.resolve(shims.events),
    attachSocket: (_call: Call, id) => Promise.resolve(shims.socket(id)),
    run: (call, command) => helpers.run(call, command),
  };
}
