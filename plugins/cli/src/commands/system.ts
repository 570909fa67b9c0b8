/** Commands for the engine: version, info, plugins, inspect, events. */
import { type ApiService, type DriverSelection, isTsboxError, type Json, type OfferStatus, plainCell } from "@tsbox/kernel";
import { CommandError } from "../command-error.ts";
import type { Command, Io } from "../io.ts";
import { table } from "../table.ts";
import { compileTemplate } from "../template.ts";

const format = { short: "f", kind: "text", help: "Format output using a Go template or 'json'" } as const;

async function shaped(io: Io, subject: unknown, template: string): Promise<void> {
  await io.out(Buffer.from(`${template === "json" ? JSON.stringify(subject) : compileTemplate(template)(subject)}\n`));
}

export const version: Command = {
  name: "version",
  usage: "version [OPTIONS]",
  about: "Show the tsbox version information",
  flags: { format },
  words: [0, 0],
  async run(io, api, parsed) {
    const server = await api.version(io.call);
    const both = { Client: server, Server: server };
    const template = parsed.text("format");
    if (template !== null) await shaped(io, both, template);
    else {
      const rows = (subject: Json): string =>
        [
          ["Version:", subject.Version],
          ["API version:", subject.ApiVersion],
          ["Node version:", subject.NodeVersion],
          ["OS/Arch:", `${String(subject.Os)}/${String(subject.Arch)}`],
          ["Kernel:", subject.KernelVersion],
        ]
          .map(([name, value]) => ` ${String(name).padEnd(18)}${String(value)}\n`)
          .join("");
      await io.out(`Client: tsbox\n${rows(server)}\nServer: tsbox\n${rows(server)}`);
    }
    return 0;
  },
};

interface Plugin {
  readonly name: string;
  readonly version: string;
  readonly offers: readonly Offer[];
}
/** Of a driver, `chosen` and `why` say whether it is the host's choice, and why. A service has null. */
interface Offer extends OfferStatus {
  readonly chosen: boolean | null;
  readonly why: string | null;
}

const whyUnusable = ({ reason, hint }: Offer): string => [reason, hint].filter((text) => text !== null).join("; ");

export const info: Command = {
  name: "info",
  usage: "info [OPTIONS]",
  about: "Display system-wide information",
  aliases: ["system info"],
  flags: { format, why: { kind: "bool", help: "Say why each driver was picked, and why others were not" } },
  words: [0, 0],
  async run(io, api, parsed) {
    const all = await api.info(io.call);
    const template = parsed.text("format");
    if (template !== null) await shaped(io, all, template);
    else if (parsed.bool("why")) {
      for (const { kind, id, why, others } of all.TsboxDrivers as readonly DriverSelection[]) {
        await io.out(`${kind}: ${id ?? "none"}: ${plainCell(why)}\n`);
        for (const other of others) await io.out(`  not ${other.id}: ${plainCell(other.why)}\n`);
      }
    } else {
      const line = (name: string, value: unknown): string => ` ${name}: ${String(value)}\n`;
      await io.out(
        "Server:\n" +
          line("Containers", all.Containers) +
          ` ${line("Running", all.ContainersRunning)} ${line("Paused", all.ContainersPaused)} ${line("Stopped", all.ContainersStopped)}` +
          line("Images", all.Images) +
          line("Server Version", all.ServerVersion) +
          line("Storage Driver", all.Driver) +
          (all.DriverStatus as readonly (readonly [string, string])[]).map(([name, value]) => ` ${line(name, plainCell(value))}`).join("") +
          line("Exec Driver", all.DefaultRuntime) +
          line("Logging Driver", all.LoggingDriver) +
          line("Cgroup Driver", all.CgroupDriver) +
          line("Cgroup Version", all.CgroupVersion) +
          line("Kernel Version", all.KernelVersion) +
          line("Operating System", all.OperatingSystem) +
          line("OSType", all.OSType) +
          line("Architecture", all.Architecture) +
          line("CPUs", all.NCPU) +
          line("Total Memory", `${(Number(all.MemTotal) / 2 ** 30).toFixed(2)}GiB`) +
          line("Name", all.Name) +
          line("Root Dir", all.DockerRootDir),
      );
      // As docker's, each of them says that it is one.
      for (const warning of (all.Warnings ?? []) as readonly string[]) await io.err(`${plainCell(warning)}\n`);
    }
    return 0;
  },
};

export const plugins: Command = {
  name: "plugins",
  usage: "plugins [ls]",
  about: "List the engine's plugins, what each offers, and whether it works here",
  flags: { format },
  words: [0, 1],
  async run(io, api, parsed) {
    if ((parsed.words[0] ?? "ls") !== "ls") throw new CommandError(1, `unknown command: tsbox plugins ${parsed.words[0]}`);
    const list = (await api.plugins(io.call)) as unknown as readonly Plugin[];
    const template = parsed.text("format");
    if (template !== null) for (const plugin of list) await shaped(io, plugin, template);
    else
      await io.out(
        table(
          ["PLUGIN", "VERSION", "OFFERS", "STATE", "DEFAULT", "WHY"],
          list.flatMap(({ name, version, offers }) =>
            offers.length === 0
              ? [[name, version, "", "ok", "", ""]]
              : offers.map((offer) => [
                  name,
                  version,
                  offer.offer,
                  offer.state,
                  offer.chosen ? "yes" : "",
                  offer.why ?? whyUnusable(offer),
                ]),
          ),
        ),
      );
    return 0;
  },
};

export const inspect: Command = {
  name: "inspect",
  usage: "inspect [OPTIONS] NAME|ID [NAME|ID...]",
  about: "Return low-level information on containers, images, networks and volumes",
  aliases: [
    { path: "container inspect", words: ["--type", "container"] },
    { path: "image inspect", words: ["--type", "image"] },
  ],
  flags: {
    format,
    type: { kind: "text", help: "Only inspect objects of the given type: container, image, network or volume" },
    size: { short: "s", kind: "bool", help: "Display total file sizes if the type is container" },
    platform: { kind: "text", help: "Of images: inspect the given platform, OS/ARCHITECTURE[/VARIANT]" },
  },
  words: [1, Number.POSITIVE_INFINITY],
  async run(io, api, parsed) {
    const type = parsed.text("type");
    const found: Json[] = [];
    let failed = false;
    for (const name of parsed.words) {
      const subject = await look(io, api, name, type, { size: parsed.bool("size"), platform: parsed.text("platform") });
      if (subject) found.push(subject);
      else {
        failed = true;
        await io.err(`Error: No such ${type ?? "object"}: ${name}\n`);
      }
    }
    const template = parsed.text("format");
    if (template === null) await io.out(`${JSON.stringify(found, null, 4)}\n`);
    else for (const subject of found) await shaped(io, subject, template);
    return failed ? 1 : 0;
  },
};

async function look(
  io: Io,
  api: ApiService,
  name: string,
  type: string | null,
  { size, platform }: { readonly size: boolean; readonly platform: string | null },
): Promise<Json | null> {
  const kinds: Readonly<Record<string, () => Promise<Json>>> = {
    container: () => api.containerInspect(io.call, name, size ? { size } : {}),
    image: () => api.imageInspect(io.call, name, platform === null ? {} : { platform }),
    network: () => api.networkInspect(io.call, name),
    volume: () => api.volumeInspect(io.call, name),
  };
  if (type !== null && !Object.hasOwn(kinds, type))
    throw new CommandError(1, `"${type}" is not a valid value for --type; there are container, image, network and volume`);
  for (const [kind, ask] of Object.entries(kinds)) {
    if (type !== null && type !== kind) continue;
    try {
      return await ask();
    } catch (error) {
      // The image exists for another platform: that error says more than "no such image".
      if (platform !== null && kind === "image") throw error;
      if (!isTsboxError(error) || (error.code !== "NotFound" && !(type === null && error.code === "InvalidArgument"))) throw error;
    }
  }
  return null;
}
