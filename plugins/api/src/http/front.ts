import type { IncomingMessage } from "node:http";
import type { ApiService, Logger, SessionsApi } from "@tsbox/kernel";
import type { Calls } from "./calls.ts";

/** The services and helpers that routes use. */
export interface Front {
  readonly api: ApiService & SessionsApi;
  readonly log: Logger;
  readonly calls: Calls;
  /** A directory for request bodies that must be files. */
  readonly uploads: string;
  /** The API version of a request. */
  versionOf(request: IncomingMessage): string;
}
