/** /containers. */
import { fail, type Json } from "@tsbox/kernel";
import type { FastifyInstance } from "fastify";
import { framesType, output, wishes } from "../attach.ts";
import { failureOf } from "../errors.ts";
import type { Front } from "../front.ts";
import { filters, flag, number, type Query, text } from "../query.ts";
import { checked } from "../shapes.ts";
import { begin, sendBytes, sendLines } from "../streams.ts";
import { platformOf } from "./files.ts";

type Named = { Params: { id: string }; Querystring: Query };

export function containerRoutes(app: FastifyInstance, front: Front): void {
  const { api, calls } = front;
  app.get<{ Querystring: Query }>("/containers/json", ({ query }) =>
    api.containerList(calls.lasting(), {
      all: flag(query, "all"),
      limit: positive(number(query, "limit")),
      size: flag(query, "size"),
      filters: filters(query),
    }),
  );
  app.post<{ Querystring: Query; Body: Json | null }>("/containers/create", async ({ query, body }, reply) => {
    // A name is optional, but `/` is not "no name".
    const name = text(query, "name").replace(/^\/(?=.)/, "") || undefined;
    const options = { name, platform: platformOf(text(query, "platform")) };
    return reply.code(201).send(await api.containerCreate(calls.lasting(), checked(body, "container"), options));
  });
  app.get<Named>("/containers/:id/json", ({ params, query }) =>
    api.containerInspect(calls.lasting(), params.id, { size: flag(query, "size") }),
  );
  app.post<Named>("/containers/:id/start", async ({ params }, reply) => {
    const { started, warnings } = await api.containerStart(calls.lasting(), params.id, {});
    // Docker's answer has no body for warnings.
    if (warnings.length > 0) reply.header(warningsHeader, encodeURIComponent(JSON.stringify(warnings)));
    return reply.code(started ? 204 : 304).send();
  });
  app.post<Named>("/containers/:id/stop", async ({ params, query }, reply) =>
    reply.code((await api.containerStop(calls.lasting(), params.id, stopOptions(query))).stopped ? 204 : 304).send(),
  );
  app.post<Named>("/containers/:id/restart", async ({ params, query }, reply) => {
    await api.containerRestart(calls.lasting(), params.id, stopOptions(query));
    return reply.code(204).send();
  });
  app.post<Named>("/containers/:id/kill", async ({ params, query }, reply) => {
    await api.containerKill(calls.lasting(), params.id, text(query, "signal") || "SIGKILL");
    return reply.code(204).send();
  });
  app.post<Named>("/containers/:id/pause", async ({ params }, reply) => {
    await api.containerPause(calls.lasting(), params.id);
    return reply.code(204).send();
  });
  app.post<Named>("/containers/:id/unpause", async ({ params }, reply) => {
    await api.containerUnpause(calls.lasting(), params.id);
    return reply.code(204).send();
  });
  app.post<Named>("/containers/:id/rename", async ({ params, query }, reply) => {
    await api.containerRename(calls.lasting(), params.id, text(query, "name").replace(/^\//, ""));
    return reply.code(204).send();
  });
  app.post<Named>("/containers/:id/resize", async ({ params, query }, reply) => {
    const [rows, columns] = [number(query, "h"), number(query, "w")];
    if (rows === undefined || columns === undefined) throw fail("InvalidArgument", "resize: give h and w");
    await api.containerResize(calls.lasting(), params.id, rows, columns);
    return reply.code(200).send();
  });
  app.delete<Named>("/containers/:id", async ({ params, query }, reply) => {
    await api.containerRemove(calls.lasting(), params.id, { force: flag(query, "force"), volumes: flag(query, "v") });
    return reply.code(204).send();
  });
  app.post<Named>("/containers/:id/wait", async (request, reply) => {
    const { params, query } = request;
    const call = calls.while(reply);
    await api.containerInspect(call, params.id, {});
    const condition = text(query, "condition");
    if (!["", "not-running", "next-exit", "removed"].includes(condition))
      throw fail("InvalidArgument", `invalid condition: "${condition}"`);
    const ended = api.containerWait(call, params.id, condition);
    // The client starts the container when it has the head of this answer; the wait exists by then.
    begin(reply, "application/json");
    const answer = await ended.catch((error: unknown) => ({ StatusCode: 125, Error: { Message: failureOf(error).message } }));
    reply.raw.end(`${JSON.stringify(answer)}\n`);
  });
  app.get<Named>("/containers/:id/logs", async (request, reply) => {
    const { params, query } = request;
    const { terminal, frames } = await api.containerLogs(calls.while(reply), params.id, {
      follow: flag(query, "follow"),
      stdout: flag(query, "stdout"),
      stderr: flag(query, "stderr"),
      since: zeroIsNone(text(query, "since")),
      until: zeroIsNone(text(query, "until")),
      timestamps: flag(query, "timestamps"),
      details: flag(query, "details"),
      tail: text(query, "tail"),
    });
    await sendBytes(reply, framesType(front.versionOf(request.raw), terminal), frames);
  });
  app.get<Named>("/containers/:id/top", ({ params, query }) => api.containerTop(calls.lasting(), params.id, text(query, "ps_args")));
  app.get<Named>("/containers/:id/stats", async (request, reply) => {
    const { params, query } = request;
    const stream = text(query, "stream") === "" || flag(query, "stream");
    const oneShot = flag(query, "one-shot");
    if (stream && oneShot) throw fail("InvalidArgument", "cannot have stream=true and one-shot=true");
    await sendLines(reply, await api.containerStats(calls.while(reply), params.id, { stream, oneShot }), "with the first line");
  });
  app.post<Named & { Body: Json | null }>("/containers/:id/update", async ({ params, body }) =>
    api.containerUpdate(calls.lasting(), params.id, checked(body, "update")),
  );
  // Without an upgrade, only output can be sent: the connection stays HTTP.
  app.post<Named>("/containers/:id/attach", async (request, reply) => {
    const { params, query } = request;
    const call = calls.while(reply);
    const session = await api.containerAttach(call, params.id, { ...wishes(query), stdin: false });
    request.raw.socket.once("close", () => session.stream?.destroy());
    await sendBytes(reply, framesType(front.versionOf(request.raw), session.terminal), output(session));
  });
}

/** The warnings of a start, as percent-encoded JSON. An addition of tsbox, which other clients ignore. */
const warningsHeader = "Tsbox-Warnings";

const positive = (value: number | undefined): number | undefined => (value !== undefined && value > 0 ? value : undefined);
const zeroIsNone = (value: string): string => (value === "0" ? "" : value);
const stopOptions = (query: Query): { timeout?: number | undefined; signal?: string | undefined } => ({
  timeout: number(query, "t"),
  signal: text(query, "signal") || undefined,
});
