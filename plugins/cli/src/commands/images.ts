/** Commands for images: images, rmi, tag. */
import { ago, type Json } from "@tsbox/kernel";
import type { Command } from "../io.ts";
import { humanSize } from "../table.ts";
import { each, filtersOf, print } from "./containers.ts";

interface Listed extends Json {
  readonly Id: string;
  readonly RepoTags: readonly string[];
  readonly RepoDigests: readonly string[];
  readonly Created: number;
  readonly Size: number;
}

const none = "<none>";

export const images: Command = {
  name: "images",
  usage: "images [OPTIONS] [REPOSITORY[:TAG]]",
  about: "List images",
  aliases: ["image ls", "image list"],
  flags: {
    all: { short: "a", kind: "bool", help: "Show all images (default hides intermediate images)" },
    quiet: { short: "q", kind: "bool", help: "Only show image IDs" },
    "no-trunc": { kind: "bool", help: "Don't truncate output" },
    digests: { kind: "bool", help: "Show digests" },
    filter: { short: "f", kind: "list", value: "filter", help: "Filter output based on conditions provided" },
    format: { kind: "text", help: "Format output using a custom template: 'table', 'table TEMPLATE', 'json' or a Go template" },
  },
  words: [0, 1],
  async run(io, api, parsed) {
    const [reference] = parsed.words;
    const filters = { ...filtersOf(parsed), ...(reference === undefined ? {} : { reference: [reference] }) };
    const list = (await api.imageList(io.call, { all: parsed.bool("all"), filters })) as readonly Listed[];
    const whole = parsed.bool("no-trunc");
    const rows = list.flatMap((item) =>
      (item.RepoTags.length > 0 ? item.RepoTags : [`${none}:${none}`]).map((tag) => {
        const at = tag.lastIndexOf(":");
        const repository = tag.slice(0, at);
        return {
          Repository: repository,
          Tag: tag.slice(at + 1),
          Digest: item.RepoDigests.find((digest) => digest.startsWith(`${repository}@`))?.slice(repository.length + 1) ?? none,
          ID: whole ? item.Id : item.Id.slice(7, 19),
          CreatedSince: item.Created <= 0 ? "N/A" : `${ago(Date.now() - item.Created * 1000)} ago`,
          CreatedAt: new Date(item.Created * 1000).toISOString(),
          Size: humanSize(item.Size),
        };
      }),
    );
    await print(io, parsed, rows, "ID", [
      ["REPOSITORY", "Repository"],
      ["TAG", "Tag"],
      ...(parsed.bool("digests") ? ([["DIGEST", "Digest"]] as const) : []),
      ["IMAGE ID", "ID"],
      ["CREATED", "CreatedSince"],
      ["SIZE", "Size"],
    ]);
    return 0;
  },
};

export const rmi: Command = {
  name: "rmi",
  usage: "rmi [OPTIONS] IMAGE [IMAGE...]",
  about: "Remove one or more images",
  aliases: ["image rm", "image remove"],
  flags: {
    force: { short: "f", kind: "bool", help: "Force removal of the image" },
    "no-prune": { kind: "bool", help: "Do not delete untagged parents" },
    platform: { kind: "list", help: "Remove the image only if it is for the given platform: OS/ARCHITECTURE[/VARIANT]" },
  },
  words: [1, Number.POSITIVE_INFINITY],
  run(io, api, parsed) {
    const force = parsed.bool("force");
    const remove = async (name: string): Promise<void> => {
      for (const line of await api.imageRemove(io.call, name, {
        force,
        noprune: parsed.bool("no-prune"),
        platforms: parsed.list("platform"),
      }))
        await io.out(line.Untagged === undefined ? `Deleted: ${String(line.Deleted)}\n` : `Untagged: ${String(line.Untagged)}\n`);
    };
    // As in docker: with --force a missing image is printed, but is not a failure.
    return each(io, parsed.words, remove, (error) => !force || error.code !== "NotFound");
  },
};

export const tag: Command = {
  name: "tag",
  usage: "tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
  about: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
  aliases: ["image tag"],
  flags: {},
  words: [2, 2],
  async run(io, api, parsed) {
    await api.imageTag(io.call, parsed.words[0] ?? "", parsed.words[1] ?? "", "");
    return 0;
  },
};
