/** Calls for requests. A request that changes the engine continues when its client is gone; one that only reads, or downloads, stops. */
import { type Call, createCall, fail, type Logger } from "@tsbox/kernel";
import type { FastifyReply } from "fastify";

export interface Calls {
  /** A call that is not canceled when the client goes. */
  lasting(): Call;
  /** A call that is canceled when the client goes before it has the whole answer. */
  while(reply: FastifyReply): Call;
}

export const makeCalls = (log: Logger): Calls => ({
  lasting: () => createCall(log),
  while: ({ raw }) => {
    const controller = new AbortController();
    // A listener on the answer, not on the connection: a connection has many answers, and would keep the listeners of all.
    raw.once("close", () => {
      if (!raw.writableFinished) controller.abort(fail("Canceled", "the client is gone"));
    });
    return createCall(log, { signal: controller.signal });
  },
});
