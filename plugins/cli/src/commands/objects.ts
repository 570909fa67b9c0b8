/**
 * The commands that every kind of object has, in Docker's form: `ls`, `inspect`, `rm`, `prune`. The arguments of these functions are the
 * differences between the kinds.
 */
import { type ApiService, type Call, type Filters, isTsboxError, type Json } from "@tsbox/kernel";
import { asksFirst, confirmed } from "../confirm.ts";
import type { FlagSpecs, Parsed } from "../flags.ts";
import type { Command, Io } from "../io.ts";
import { compileTemplate } from "../template.ts";
import { each, filtersOf, print } from "./containers.ts";

export type Row = Readonly<Record<string, unknown>>;

export const formatFlag = {
  kind: "text",
  help: "Format output using a custom template: 'table', 'table TEMPLATE', 'json' or a Go template",
} as const;

/** `volume ls`. `id`: the field that `-q` prints. */
export function listing(
  kind: string,
  {
    filter,
    quiet,
    flags = {},
    id,
    columns,
    rows,
  }: {
    readonly filter: string;
    readonly quiet: string;
    readonly flags?: FlagSpecs;
    readonly id: string;
    readonly columns: readonly (readonly [string, string])[];
    readonly rows: (api: ApiService, call: Call, filters: Filters, parsed: Parsed) => Promise<readonly Row[]>;
  },
): Command {
  return {
    name: `${kind} ls`,
    usage: `${kind} ls [OPTIONS]`,
    about: `List ${kind}s`,
    aliases: [`${kind} list`],
    flags: {
      filter: { short: "f", kind: "list", value: "filter", help: `Provide filter values (e.g. "${filter}")` },
      format: formatFlag,
      quiet: { short: "q", kind: "bool", help: quiet },
      ...flags,
    },
    words: [0, 0],
    async run(io, api, parsed) {
      await print(io, parsed, await rows(api, io.call, filtersOf(parsed), parsed), id, columns);
      return 0;
    },
  };
}

/** `volume rm`. `remove` answers whether the object existed. */
export function removing(
  kind: string,
  {
    about,
    force,
    remove,
  }: {
    readonly about: string;
    readonly force: string;
    readonly remove: (api: ApiService, call: Call, name: string, force: boolean) => Promise<boolean>;
  },
): Command {
  return {
    name: `${kind} rm`,
    usage: `${kind} rm [OPTIONS] ${kind.toUpperCase()} [${kind.toUpperCase()}...]`,
    about,
    aliases: [`${kind} remove`],
    flags: { force: { short: "f", kind: "bool", help: force } },
    words: [1, Number.POSITIVE_INFINITY],
    run: (io, api, parsed) =>
      each(io, parsed.words, async (name) => {
        if (await remove(api, io.call, name, parsed.bool("force"))) await io.out(`${name}\n`);
      }),
  };
}

/** `volume prune`: asks for confirmation first, unless forced. `prune` removes the objects, and answers the text to print. */
export function pruning(
  name: string,
  {
    about,
    filter = "until=<timestamp>",
    flags = {},
    warning,
    prune,
  }: {
    readonly about: string;
    readonly filter?: string;
    readonly flags?: FlagSpecs;
    /** Throws if the flags contradict each other. */
    readonly warning: (parsed: Parsed) => string;
    readonly prune: (io: Io, api: ApiService, filters: Filters, parsed: Parsed) => Promise<string>;
  },
): Command {
  return {
    name,
    usage: `${name} [OPTIONS]`,
    about,
    flags: {
      filter: { kind: "list", value: "filter", help: `Provide filter values (e.g. "${filter}")` },
      force: { short: "f", kind: "bool", help: "Do not prompt for confirmation" },
      ...flags,
    },
    words: [0, 0],
    local: asksFirst,
    async run(io, api, parsed) {
      const filters = filtersOf(parsed);
      const words = warning(parsed);
      if (parsed.bool("force") || (await confirmed(io, words))) await io.out(await prune(io, api, filters, parsed));
      return 0;
    },
  };
}

/** `volume inspect`: the records of the named objects, as one JSON list or by a template. */
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
