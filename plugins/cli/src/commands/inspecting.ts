/** `volume inspect`, `network inspect`: what the engine knows of each that is named, as one JSON list or by a template. */
import { type ApiService, type Call, isTsboxError, type Json } from "@tsbox/kernel";
import type { Command } from "../io.ts";
import { compileTemplate } from "../template.ts";

export function inspecting(kind: string, about: string, look: (api: ApiService, call: Call, name: string) => Promise<Json>): Command {
  return {
    name: `${kind} inspect`,
    usage: `${kind} inspect [OPTIONS] ${kind.toUpperCase()} [${kind.toUpperCase()}...]`,
    about,
    flags: {
      format: { short: "f", kind: "text", help: "Format output using a Go template or 'json'" },
      verbose: { short: "v", kind: "bool", help: "Verbose output for diagnostics" },
    },
    words: [1, Number.POSITIVE_INFINITY],
    async run(io, api, parsed) {
      const found: Json[] = [];
      const failures: string[] = [];
      for (const name of parsed.words) {
        try {
          found.push(await look(api, io.call, name));
        } catch (error) {
          if (!isTsboxError(error)) throw error;
          failures.push(error.message);
        }
      }
      const template = parsed.text("format");
      if (template === null) await io.out(`${JSON.stringify(found, null, 4)}\n`);
      else
        for (const subject of found)
          await io.out(Buffer.from(`${template === "json" ? JSON.stringify(subject) : compileTemplate(template)(subject)}\n`));
      for (const failure of failures) await io.err(`tsbox: ${failure}\n`);
      return failures.length > 0 ? 1 : 0;
    },
  };
}
