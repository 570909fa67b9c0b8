/**
 * Commands of local clients. The launcher passes their arguments and keeps their descriptors; a command's output goes back to it in frames.
 */
import { Buffer } from "node:buffer";
import {
  type ApiService,
  type ClientEvent,
  type ClientOpened,
  createCall,
  fail,
  type LauncherService,
  type Logger,
  plain,
  type SessionsApi,
  type ShimClient,
} from "@tsbox/kernel";
import { dispatch, runsLocally } from "./dispatch.ts";
import { type Attached, type Io, type Session, warningText } from "./io.ts";
import { redraw } from "./redraw.ts";

interface Services {
  readonly api: ApiService & SessionsApi;
  readonly launcher: LauncherService;
  readonly log: Logger;
}

/** A client whose command is running. */
interface Client {
  readonly abort: AbortController;
  /** The target of signals and sizes, while a container or an exec has the client's terminal. */
  lent: Lent | null;
  gone: boolean;
}

interface Lent {
  readonly container: string;
  readonly exec: string | null;
  readonly attached: Pick<Attached, "terminal" | "signalProxy" | "removed">;
}

/** What a client waits for. The launcher keeps it as JSON for the next daemon. */
interface Bound extends Lent {
  /**
   * For a client that starts the container: the time of the start before that, by which the next daemon sees whether the container was
   * started since.
   */
  readonly starts?: { readonly before: number | null };
}

export async function serveClients(services: Services, stop: AbortSignal): Promise<void> {
  const clients = new Map<number, Client>();
  const { launcher, log } = services;
  const call = createCall(log, { signal: stop });
  for await (const event of await launcher.clients(call)) {
    if (event.kind === "opened") {
      const client: Client = { abort: new AbortController(), lent: null, gone: false };
      clients.set(event.client, client);
      void serve(services, event, client).finally(() => clients.delete(event.client));
      continue;
    }
    const client = clients.get(event.client);
    if (client) void react(services, client, event).catch(() => {});
  }
}

/** Signals and window sizes go to the container; without one, a signal ends the command. */
async function react({ api, launcher, log }: Services, client: Client, event: Exclude<ClientEvent, ClientOpened>): Promise<void> {
  const call = createCall(log);
  const { lent } = client;
  // As in docker: the container continues.
  const leave = async (): Promise<void> => {
    client.abort.abort(fail("Canceled", "the client is gone"));
    if (lent !== null) await api.clientDetach(call, lent.container, event.client);
  };
  if (event.kind === "gone") {
    client.gone = true;
    if (!event.answered) await leave();
  } else if (event.kind === "resized") {
    if (!lent?.attached.terminal) return;
    const { rows, columns } = event.size;
    if (lent.exec === null) await api.containerResize(call, lent.container, rows, columns);
    else await api.execResize(call, lent.exec, rows, columns);
  } else if (lent?.exec === null && lent.attached.signalProxy) {
    await api.containerKill(call, lent.container, String(event.signal));
  } else if (event.signal === 1 || event.signal === 2 || event.signal === 15) {
    await launcher.exit(call, event.client, 128 + event.signal);
    await leave();
  }
}

async function serve(services: Services, opened: ClientOpened, client: Client): Promise<void> {
  const { launcher, api, log } = services;
  const call = createCall(log, { signal: client.abort.signal });
  if (runsLocally(opened.argv)) return launcher.runLocally(call, opened.client);
  const bytes = (text: string | Uint8Array): Uint8Array => (typeof text === "string" ? Buffer.from(plain(text)) : text);
  const io: Io = {
    call,
    environment: opened.environment,
    workingDirectory: opened.workingDirectory,
    terminals: opened.terminals,
    size: opened.size,
    detachKeys: () => opened.detachKeys,
    logins: (registries) => launcher.logins(call, opened.client, registries),
    out: (text) => launcher.write(call, opened.client, 1, bytes(text)),
    err: (text) => launcher.write(call, opened.client, 2, bytes(text)),
    session: session(services, opened, client),
  };
  const code = opened.boundTo === null ? await dispatch(io, api, opened.argv) : await waitAgain(services, opened, client, opened.boundTo);
  if (!client.gone) await launcher.exit(call, opened.client, code);
}

function session(services: Services, opened: ClientOpened, client: Client): Session {
  const { api: sessions, launcher, log } = services;
  // Not the command's own call: the container continues when its client is killed.
  const call = createCall(log);
  const descriptors = ({ stdin, stdout, stderr, terminal, detachKeys }: Attached): ShimClient => ({
    client: opened.client,
    stdin,
    stdout,
    stderr: stderr && !terminal,
    ...(detachKeys === null ? {} : { detachKeys }),
  });
  const lend = async (container: string, exec: string | null, attached: Attached, starts?: Bound["starts"]): Promise<void> => {
    const { terminal, stdin, signalProxy, removed } = attached;
    client.lent = { container, exec, attached };
    const bound: Bound = { container, exec, attached: { terminal, signalProxy, removed }, ...(starts === undefined ? {} : { starts }) };
    await launcher.bind(call, opened.client, JSON.stringify(bound), { signalsProxied: signalProxy && exec === null });
    if (terminal && stdin && opened.terminals[0]) await launcher.rawTerminal(call, opened.client, true);
  };
  const flushed = async (id: string): Promise<boolean> => (await sessions.clientFlushed(call, id, opened.client)) === "flushed";
  return {
    async runAttached(api, id, attached) {
      const ended = api.containerWait(call, id, attached.removed ? "removed" : "next-exit");
      // If the start fails, the container never ends and this promise is not awaited.
      ended.catch(() => {});
      const { startedAt } = await sessions.containerState(call, id);
      await lend(id, null, attached, { before: startedAt });
      const { timings, warnings } = await api.containerStart(call, id, {
        client: descriptors(attached),
        ...(opened.size && attached.terminal ? { size: opened.size } : {}),
      });
      await launcher.write(call, opened.client, 2, Buffer.from(warningText(warnings)));
      return { code: (await flushed(id)) ? (await ended).StatusCode : null, timings };
    },
    async attach(api, id, attached) {
      const ended = api.containerWait(call, id, attached.removed ? "removed" : "next-exit");
      ended.catch(() => {});
      await lend(id, null, attached);
      await sessions.clientAttach(call, id, descriptors(attached));
      if (opened.size && attached.terminal) await redraw(api, id, opened.size);
      return (await flushed(id)) ? (await ended).StatusCode : null;
    },
    async runExec(api, exec, attached) {
      const { ContainerID: container } = (await api.execInspect(call, exec)) as { readonly ContainerID: string };
      await lend(container, exec, attached);
      await api.execStart(call, exec, {
        // The shim answers the client directly: that saves three of an exec's twelve hops. A container's client is not answered so: the
        // user's next command must find the container ended.
        client: { ...descriptors(attached), answer: true },
        ...(opened.size && attached.terminal ? { size: opened.size } : {}),
      });
      return (await flushed(container)) ? sessions.execWait(call, exec) : null;
    },
  };
}

/** Waits again for a client of a daemon that died: its container or exec still runs, and still has its terminal. */
async function waitAgain({ api, launcher, log }: Services, opened: ClientOpened, client: Client, word: string): Promise<number> {
  const { container, exec, attached, starts } = JSON.parse(word) as Bound;
  const call = createCall(log);
  const lost = async (why: string): Promise<number> => {
    await launcher.write(call, opened.client, 2, Buffer.from(`tsbox: the daemon died, and ${why}\n`));
    return 125;
  };
  client.lent = { container, exec, attached };
  try {
    if (exec !== null) return await api.execWait(call, exec);
    const { name, status, startedAt } = await api.containerState(call, container);
    if (starts !== undefined && startedAt === starts.before) return lost(`container ${name} was not started: start it again`);
    const condition = status === "exited" ? "not-running" : attached.removed ? "removed" : "next-exit";
    return (await api.containerWait(call, container, condition)).StatusCode;
  } catch {
    return lost("what this command waited for is gone: nobody saw how it ended");
  }
}
