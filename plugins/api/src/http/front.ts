import type { IncomingMessage } from "node:http";
import type { ApiService, Logger, SessionsApi } from "@tsbox/kernel";
import type { Calls } from "./calls.ts";

/** What routes work with. */
export interface Front {
  readonly api: ApiService & SessionsApi;
  readonly log: Logger;
  readonly calls: Calls;
  /** A directory for bodies that must be files. */
  readonly uploads: string;
  /** The API version that a request asked for. */
  versionOf(request: IncomingMessage): string;
}
