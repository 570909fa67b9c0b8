/** `history`: the steps that made an image. */
import { ago } from "@tsbox/kernel";
import type { Command } from "../io.ts";
import { humanSize } from "../table.ts";
import { print } from "./containers.ts";

interface Entry {
  readonly Id: string;
  readonly Created: number;
  readonly CreatedBy: string;
  readonly Size: number;
  readonly Comment: string;
}

const longestStep = 45;

export const history: Command = {
  name: "history",
  usage: "history [OPTIONS] IMAGE",
  about: "Show the history of an image",
  aliases: ["image history"],
  flags: {
    format: { kind: "text", help: "Format output using a custom template: 'table', 'table TEMPLATE', 'json' or a Go template" },
    human: { short: "H", kind: "bool", help: "Print sizes and dates in human readable format (default true)" },
    "no-trunc": { kind: "bool", help: "Don't truncate output" },
    platform: { kind: "text", help: "Show history for the given platform: OS/ARCHITECTURE[/VARIANT]" },
    quiet: { short: "q", kind: "bool", help: "Only show image IDs" },
  },
  words: [1, 1],
  async run(io, api, parsed) {
    const whole = parsed.bool("no-trunc");
    const human = !parsed.given("human") || parsed.bool("human");
    const platform = parsed.text("platform");
    const list = (await api.imageHistory(
      io.call,
      parsed.words[0] ?? "",
      platform === null ? {} : { platform },
    )) as unknown as readonly Entry[];
    const rows = list.map(({ Id, Created, CreatedBy, Size, Comment }) => {
      const step = CreatedBy.replaceAll("\t", " ");
      const createdAt = Created <= 0 ? "" : new Date(Created * 1000).toISOString().replace(".000Z", "Z");
      return {
        Comment,
        CreatedAt: createdAt,
        CreatedBy: whole || step.length <= longestStep ? step : `${step.slice(0, longestStep - 1)}…`,
        CreatedSince: human ? (Created <= 0 ? "N/A" : `${ago(Date.now() - Created * 1000)} ago`) : createdAt,
        ID: whole || Id === "<missing>" ? Id : Id.slice(7, 19),
        Size: human ? humanSize(Size) : String(Size),
      };
    });
    await print(io, parsed, rows, "ID", [
      ["IMAGE", "ID"],
      [human ? "CREATED" : "CREATED AT", "CreatedSince"],
      ["CREATED BY", "CreatedBy"],
      ["SIZE", "Size"],
      ["COMMENT", "Comment"],
    ]);
    return 0;
  },
};
