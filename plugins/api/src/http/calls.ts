/** Calls for requests. What changes the engine goes on when its client is gone; what only tells, or fetches for it, stops. */
import { type Call, createCall, fail, type Logger } from "@tsbox/kernel";
import type { FastifyRequest } from "fastify";

export interface Calls {
  /** To the end, whoever listens. */
  lasting(): Call;
  /** Canceled when the client goes. */
  while(request: FastifyRequest): Call;
}

export const makeCalls = (log: Logger): Calls => ({
  lasting: () => createCall(log),
  while: ({ raw }) => {
    const controller = new AbortController();
    raw.socket.once("close", () => controller.abort(fail("Canceled", "the client is gone")));
    return createCall(log, { signal: controller.signal });
  },
});
