/** Calls for requests. What changes the engine goes on when its client is gone; what only tells, or fetches for it, stops. */
import { type Call, createCall, fail, type Logger } from "@tsbox/kernel";
import type { FastifyReply } from "fastify";

export interface Calls {
  /** To the end, whoever listens. */
  lasting(): Call;
  /** Canceled when the client goes before it has its whole answer. */
  while(reply: FastifyReply): Call;
}

export const makeCalls = (log: Logger): Calls => ({
  lasting: () => createCall(log),
  while: ({ raw }) => {
    const controller = new AbortController();
    // Of the answer, not of the connection: a connection has many, and would keep them all.
    raw.once("close", () => {
      if (!raw.writableFinished) controller.abort(fail("Canceled", "the client is gone"));
    });
    return createCall(log, { signal: controller.signal });
  },
});
