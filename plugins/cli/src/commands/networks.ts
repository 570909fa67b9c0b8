/** `network create`, `ls`, `inspect`, `rm`, `connect`, `disconnect`, `prune`. */
import { isTsboxError } from "@tsbox/kernel";
import { CommandError } from "../command-error.ts";
import type { Command } from "../io.ts";
import { inspecting, listing, pruning, removing } from "./objects.ts";
import { pairsOf, pairsText } from "./pairs.ts";

const create: Command = {
  name: "network create",
  usage: "network create [OPTIONS] NETWORK",
  about: "Create a network",
  flags: {
    attachable: { kind: "bool", help: "Enable manual container attachment" },
    driver: { short: "d", kind: "text", help: "Driver to manage the Network (default: the host's)" },
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
      Driver: parsed.text("driver") ?? "",
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

const ls = listing("network", {
  filter: "driver=bridge",
  quiet: "Only display network IDs",
  flags: { "no-trunc": { kind: "bool", help: "Do not truncate the output" } },
  id: "ID",
  columns: [
    ["NETWORK ID", "ID"],
    ["NAME", "Name"],
    ["DRIVER", "Driver"],
    ["SCOPE", "Scope"],
  ],
  rows: async (api, call, filters, parsed) =>
    (await api.networkList(call, { filters }))
      .map((network) => ({
        CreatedAt: network.Created,
        Driver: network.Driver,
        ID: parsed.bool("no-trunc") ? String(network.Id) : String(network.Id).slice(0, 12),
        IPv4: String(network.EnableIPv4),
        IPv6: String(network.EnableIPv6),
        Internal: String(network.Internal),
        Labels: pairsText(network.Labels),
        Name: String(network.Name),
        Scope: network.Scope,
      }))
      .sort((a, b) => (a.Name < b.Name ? -1 : 1)),
});

const inspect = inspecting("network", "Display detailed information on one or more networks", (api, call, name) =>
  api.networkInspect(call, name),
);

const rm = removing("network", {
  about: "Remove one or more networks",
  force: "Do not error if the network does not exist, and remove it even if its driver is missing",
  remove: async (api, call, name, force) => {
    try {
      await api.networkRemove(call, name, { force });
    } catch (error) {
      if (!force || !isTsboxError(error) || error.code !== "NotFound") throw error;
      return false;
    }
    return true;
  },
});

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

const prune = pruning("network prune", {
  about: "Remove all unused networks",
  warning: () => "This will remove all custom networks not used by at least one container.",
  prune: async ({ call }, api, filters) => {
    const { NetworksDeleted } = await api.networkPrune(call, { filters });
    return NetworksDeleted === null ? "" : `Deleted Networks:\n${NetworksDeleted.join("\n")}\n\n`;
  },
});

export const networks: readonly Command[] = [create, ls, inspect, rm, connect, disconnect, prune];
