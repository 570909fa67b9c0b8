/** /containers/{id}/exec and /exec. */
import { fail, type Json } from "@tsbox/kernel";
import type { FastifyInstance } from "fastify";
import { framesType } from "../attach.ts";
import { execOutput, execStartBody } from "../exec.ts";
import type { Front } from "../front.ts";
import { number, type Query } from "../query.ts";
import { checked } from "../shapes.ts";
import { sendBytes } from "../streams.ts";

type Named = { Params: { id: string }; Querystring: Query; Body: Json | null };

export function execRoutes(app: FastifyInstance, front: Front): void {
  const { api, calls } = front;
  app.post<Named>("/containers/:id/exec", async ({ params, body }, reply) => {
    return reply.code(201).send(await api.execCreate(calls.lasting(), params.id, checked(body, "exec")));
  });
  // Without an upgrade, only output can be sent: the connection stays HTTP.
  app.post<Named>("/exec/:id/start", async (request, reply) => {
    const { id } = request.params;
    const start = execStartBody(checked(request.body, "exec start", {}));
    const call = calls.lasting();
    if (start.detach) {
      await api.execStart(call, id, {});
      return reply.code(200).send();
    }
    const { stream } = await api.execAttach(call, id, { terminal: start.terminal, stdin: false });
    request.raw.socket.once("close", () => stream.destroy());
    await sendBytes(reply, framesType(front.versionOf(request.raw), start.terminal), execOutput(front, call, id, stream, start));
  });
  app.post<Named>("/exec/:id/resize", async ({ params, query }, reply) => {
    const [rows, columns] = [number(query, "h"), number(query, "w")];
    if (rows === undefined || columns === undefined) throw fail("InvalidArgument", "resize: give h and w");
    await api.execResize(calls.lasting(), params.id, rows, columns);
    return reply.code(200).send();
  });
  app.get<Named>("/exec/:id/json", ({ params }) => api.execInspect(calls.lasting(), params.id));
}
