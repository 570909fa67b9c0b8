/** `network create`, `ls`, `inspect`, `rm`, `connect`, `disconnect`, `prune`. */
import { isTsboxError } from "@tsbox/kernel";
import { CommandError } from "../command-error.ts";
import { asksFirst, confirmed } from "../confirm.ts";
import type { Command } from "../io.ts";
import { each, filtersOf, print } from "./containers.ts";
import { inspecting } from "./inspecting.ts";
import { pairsOf } from "./pairs.ts";

const create: Command = {
  name: "network create",
  usage: "network create [OPTIONS] NETWORK",
  about: "Create a network",
  flags: {
    attachable: { kind: "bool", help: "Enable manual container attachment" },
    driver: { short: "d", kind: "text", help: 'Driver to manage the Network (default "bridge")' },
    gateway: { kind: "list", help: "IPv4 or IPv6 Gateway for the master subnet" },
    internal: { kind: "bool", help: "Restrict external access to the network" },
    "ip-range": { kind: "list", help: "Allocate container ip from a sub-range" },
    label: { kind: "list", help: "Set metadata on a network" },
    opt: { short: "o", kind: "list", help: "Set driver specific options" },
    subnet: { kind: "list", help: "Subnet in CIDR format that represents a network segment" },
  },
  words: [1, 1],
  async run(io, api, parsed) {
    const subnets = parsed.list("subnet");
    const gateways = parsed.list("gateway");
    const ranges = parsed.list("ip-range");
    if (subnets.length === 0 && gateways.length + ranges.length > 0)
      throw new CommandError(1, "every ip-range or gateway must have a corresponding subnet");
    const made = await api.networkCreate(io.call, {
      Name: parsed.words[0] ?? "",
      Driver: parsed.text("driver") ?? "bridge",
      Internal: parsed.bool("internal"),
      Attachable: parsed.bool("attachable"),
      Labels: pairsOf(parsed.list("label")),
      Options: pairsOf(parsed.list("opt")),
      IPAM: {
        Driver: "default",
        Config: subnets.map((subnet, at) => ({
          Subnet: subnet,
          ...(gateways[at] === undefined ? {} : { Gateway: gateways[at] }),
          ...(ranges[at] === undefined ? {} : { IPRange: ranges[at] }),
        })),
      },
    });
    await io.out(`${made.Id}\n`);
    return 0;
  },
};

const ls: Command = {
  name: "network ls",
  usage: "network ls [OPTIONS]",
  about: "List networks",
  flags: {
    filter: { short: "f", kind: "list", value: "filter", help: 'Provide filter values (e.g. "driver=bridge")' },
    format: { kind: "text", help: "Format output using a custom template: 'table', 'table TEMPLATE', 'json' or a Go template" },
    "no-trunc": { kind: "bool", help: "Do not truncate the output" },
    quiet: { short: "q", kind: "bool", help: "Only display network IDs" },
  },
  words: [0, 0],
  async run(io, api, parsed) {
    const list = await api.networkList(io.call, { filters: filtersOf(parsed) });
    const rows = list
      .map((network) => ({
        CreatedAt: network.Created,
        Driver: network.Driver,
        ID: parsed.bool("no-trunc") ? String(network.Id) : String(network.Id).slice(0, 12),
        IPv4: String(network.EnableIPv4),
        IPv6: String(network.EnableIPv6),
        Internal: String(network.Internal),
        Labels: Object.entries((network.Labels ?? {}) as object)
          .map(([key, value]) => `${key}=${String(value)}`)
          .join(","),
        Name: String(network.Name),
        Scope: network.Scope,
      }))
      .sort((a, b) => (a.Name < b.Name ? -1 : 1));
    await print(io, parsed, rows, "ID", [
      ["NETWORK ID", "ID"],
      ["NAME", "Name"],
      ["DRIVER", "Driver"],
      ["SCOPE", "Scope"],
    ]);
    return 0;
  },
};

const inspect: Command = inspecting("network", "Display detailed information on one or more networks", (api, call, name) =>
  api.networkInspect(call, name),
);

const rm: Command = {
  name: "network rm",
  usage: "network rm NETWORK [NETWORK...]",
  about: "Remove one or more networks",
  flags: { force: { short: "f", kind: "bool", help: "Do not error if the network does not exist" } },
  words: [1, Number.POSITIVE_INFINITY],
  run: (io, api, parsed) =>
    each(io, parsed.words, async (name) => {
      try {
        await api.networkRemove(io.call, name);
      } catch (error) {
        if (!parsed.bool("force") || !isTsboxError(error) || error.code !== "NotFound") throw error;
        return;
      }
      await io.out(`${name}\n`);
    }),
};

const connect: Command = {
  name: "network connect",
  usage: "network connect [OPTIONS] NETWORK CONTAINER",
  about: "Connect a container to a network",
  flags: { ip: { kind: "text", help: "IPv4 address (e.g., 172.30.100.104)" } },
  words: [2, 2],
  async run(io, api, parsed) {
    const [network = "", container = ""] = parsed.words;
    const address = parsed.text("ip");
    await api.networkConnect(io.call, network, {
      Container: container,
      EndpointConfig: address === null ? {} : { IPAMConfig: { IPv4Address: address } },
    });
    return 0;
  },
};

const disconnect: Command = {
  name: "network disconnect",
  usage: "network disconnect [OPTIONS] NETWORK CONTAINER",
  about: "Disconnect a container from a network",
  flags: { force: { short: "f", kind: "bool", help: "Force the container to disconnect from a network" } },
  words: [2, 2],
  async run(io, api, parsed) {
    const [network = "", container = ""] = parsed.words;
    await api.networkDisconnect(io.call, network, { Container: container, Force: parsed.bool("force") });
    return 0;
  },
};

const prune: Command = {
  name: "network prune",
  usage: "network prune [OPTIONS]",
  about: "Remove all unused networks",
  flags: {
    filter: { kind: "list", value: "filter", help: 'Provide filter values (e.g. "until=<timestamp>")' },
    force: { short: "f", kind: "bool", help: "Do not prompt for confirmation" },
  },
  words: [0, 0],
  local: asksFirst,
  async run(io, api, parsed) {
    const warning = "This will remove all custom networks not used by at least one container.";
    if (!parsed.bool("force") && !(await confirmed(io, warning))) return 0;
    const { NetworksDeleted } = await api.networkPrune(io.call, { filters: filtersOf(parsed) });
    if (NetworksDeleted !== null) await io.out(`Deleted Networks:\n${NetworksDeleted.join("\n")}\n\n`);
    return 0;
  },
};

export const networks: readonly Command[] = [create, ls, inspect, rm, connect, disconnect, prune];
