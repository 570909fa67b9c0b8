/** Commands of local clients: words come from the launcher, descriptors stay there, what a command prints goes back in frames. */
import { Buffer } from "node:buffer";
import {
  type ApiService,
  type ClientEvent,
  type ClientOpened,
  type ContainersService,
  createCall,
  type LauncherService,
  type Logger,
  parseContainerId,
} from "@tsbox/kernel";
import { dispatch, runsLocally } from "./dispatch.ts";
import type { Attached, Io, Session } from "./io.ts";

interface Services {
  readonly api: ApiService;
  readonly containers: ContainersService;
  readonly launcher: LauncherService;
  readonly log: Logger;
}

/** A client whose command is under way. */
interface Client {
  readonly abort: AbortController;
  /** What signals and sizes go to, while a container has its terminal. */
  container: string | null;
  attached: Attached | null;
}

/** A client that waits for a container's end says so to the launcher, in a word that outlives this daemon. */
const word = (id: string, removed: boolean): string => `run ${id} ${removed ? "removed" : "kept"}`;

export async function serveClients(services: Services, stop: AbortSignal): Promise<void> {
  const clients = new Map<number, Client>();
  const { launcher, api, log } = services;
  const call = createCall(log, { signal: stop });
  for await (const event of await launcher.clients(call)) {
    if (event.kind === "opened") {
      const client: Client = { abort: new AbortController(), container: null, attached: null };
      clients.set(event.client, client);
      void serve(services, event, client).finally(() => clients.delete(event.client));
      continue;
    }
    const client = clients.get(event.client);
    if (client) void react(api, services, client, event).catch(() => {});
  }
}

/** Signals and window sizes belong to the container; without one, a signal ends the command. */
async function react(
  api: ApiService,
  { launcher, containers, log }: Services,
  client: Client,
  event: Exclude<ClientEvent, ClientOpened>,
): Promise<void> {
  const call = createCall(log);
  const { container, attached } = client;
  if (event.kind === "gone") {
    // As with docker: the container goes on.
    client.abort.abort();
    if (container !== null) await containers.detach(call, (await containers.get(call, container)).id, event.client);
  } else if (event.kind === "resized") {
    if (container !== null && attached?.terminal) await api.containerResize(call, container, event.size.rows, event.size.columns);
  } else if (container !== null && attached !== null) {
    if (attached.signalProxy) await api.containerKill(call, container, String(event.signal));
  } else if (event.signal === 1 || event.signal === 2 || event.signal === 15) {
    client.abort.abort();
    await launcher.exit(call, event.client, 128 + event.signal);
  }
}

async function serve(services: Services, opened: ClientOpened, client: Client): Promise<void> {
  const { launcher, api, log } = services;
  const call = createCall(log, { signal: client.abort.signal });
  if (runsLocally(opened.argv)) return launcher.runLocally(call, opened.client);
  const bytes = (text: string | Uint8Array): Uint8Array => (typeof text === "string" ? Buffer.from(text) : text);
  const io: Io = {
    call,
    environment: opened.environment,
    workingDirectory: opened.workingDirectory,
    terminals: opened.terminals,
    size: opened.size,
    out: (text) => launcher.write(call, opened.client, 1, bytes(text)),
    err: (text) => launcher.write(call, opened.client, 2, bytes(text)),
    session: session(services, opened, client),
  };
  const code = opened.boundTo === null ? await dispatch(io, api, opened.argv) : await waitAgain(services, opened);
  await launcher.exit(call, opened.client, code);
}

function session(services: Services, opened: ClientOpened, client: Client): Session {
  const { launcher, containers, log } = services;
  return {
    async runAttached(api, id, attached) {
      // Not the command's own call: the container goes on when its client is killed.
      const call = createCall(log);
      client.container = id;
      client.attached = attached;
      const ended = api.containerWait(call, id, attached.removed ? "removed" : "next-exit");
      // Whoever fails to start never ends; then nobody listens here.
      ended.catch(() => {});
      await launcher.bind(call, opened.client, word(id, attached.removed));
      if (attached.terminal && opened.terminals[0]) await launcher.rawTerminal(call, opened.client, true);
      const { stdin, stdout, stderr, terminal } = attached;
      const { timings } = await api.containerStart(call, id, {
        client: { client: opened.client, stdin, stdout, stderr: stderr && !terminal },
        ...(opened.size && terminal ? { size: opened.size } : {}),
      });
      if ((await containers.flushed(call, parseContainerId(id), opened.client)) === "detached") return { code: 0, timings };
      return { code: (await ended).StatusCode, timings };
    },
  };
}

/** The daemon that this client spoke to has died; its container has not. */
async function waitAgain({ containers, log }: Services, opened: ClientOpened): Promise<number> {
  const [, id = "", kind] = (opened.boundTo ?? "").split(" ");
  const call = createCall(log);
  try {
    const record = await containers.get(call, id);
    return (
      await containers.wait(call, record.id, record.status === "exited" ? "not-running" : kind === "removed" ? "removed" : "next-exit")
    ).code;
  } catch {
    // It ended, and was removed, while no daemon was there to say how.
    return 125;
  }
}
