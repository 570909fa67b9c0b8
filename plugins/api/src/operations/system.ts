/** Docker's system and network operations. */
import { readFileSync } from "node:fs";
import { arch, cpus, hostname, release, totalmem } from "node:os";
import {
  type ApiService,
  type ContainersService,
  type DriverSelection,
  type EngineService,
  type EventsService,
  fail,
  type HostToolkit,
  type ImagesService,
  type Json,
  type NetworkRecord,
  type NetworksService,
  type OfferStatus,
  type StorageDriver,
} from "@tsbox/kernel";
import { shownEvents } from "./events.ts";
import { hasLabel, matches, truth } from "./filters.ts";
import { hostFacts } from "./host-facts.ts";
import { storageReport } from "./storage-report.ts";
import { time } from "./time.ts";
import { parseTime } from "./times.ts";
import { apiVersion, engineVersion, minimumApiVersion } from "./versions.ts";

type SystemVerbs = Pick<
  ApiService,
  "version" | "info" | "plugins" | "events" | "networkList" | "networkInspect" | "networkCreate" | "networkRemove"
>;

export interface SystemServices {
  readonly containers: ContainersService;
  readonly images: ImagesService;
  readonly networks: NetworksService;
  readonly events: EventsService;
  readonly engine: EngineService;
  readonly host: HostToolkit;
  storage(id: string): Promise<StorageDriver>;
  readonly rootDirectory: string;
  readonly engineId: string;
}

const goArchitecture: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64", ia32: "386" };
const machine: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64", ia32: "i686" };

export function systemVerbs(services: SystemServices): SystemVerbs {
  const { containers, images, networks, events, engine, host, rootDirectory, engineId } = services;
  return {
    version: () =>
      Promise.resolve({
        Platform: { Name: "tsbox" },
        Components: [
          {
            Name: "Engine",
            Version: engineVersion,
            Details: { ApiVersion: apiVersion, MinAPIVersion: minimumApiVersion, Os: "linux", Arch: goArchitecture[arch()] ?? arch() },
          },
        ],
        Version: engineVersion,
        ApiVersion: apiVersion,
        MinAPIVersion: minimumApiVersion,
        GitCommit: "",
        GoVersion: "",
        NodeVersion: process.version,
        Os: "linux",
        Arch: goArchitecture[arch()] ?? arch(),
        KernelVersion: release(),
        BuildTime: "",
      }),
    info: async (call) => {
      const [all, pictures, selections, plugins, cdi] = await Promise.all([
        containers.list(call),
        images.list(call),
        engine.selections(call),
        engine.plugins(call),
        containers.cdi(call),
      ]);
      const chosen = (kind: string): string => selections.find((selection) => selection.kind === kind)?.id ?? "";
      const count = (status: string): number => all.filter((record) => record.status === status).length;
      const offered = (kind: string): readonly string[] =>
        plugins.flatMap((plugin) =>
          plugin.offers
            .filter((offer) => offer.state === "ok" && offer.offer.startsWith(`${kind}/`))
            .map((offer) => offer.offer.slice(kind.length + 1)),
        );
      const report = await storageReport(call, services, chosen("storage"));
      const facts = hostFacts(host.cgroups.layout, containers);
      const warnings = [...((facts.Warnings ?? []) as readonly string[]), ...report.warnings.map((warning) => `WARNING: ${warning}`)];
      return {
        ID: engineId,
        Containers: all.length,
        ContainersRunning: count("running"),
        ContainersPaused: count("paused"),
        ContainersStopped: all.length - count("running") - count("paused"),
        Images: pictures.length,
        Driver: chosen("storage"),
        DriverStatus: report.rows,
        DefaultRuntime: chosen("exec"),
        Runtimes: Object.fromEntries(offered("exec").map((id) => [id, { path: id }])),
        Plugins: { Volume: offered("volume"), Network: offered("network"), Authorization: null, Log: offered("log") },
        ...facts,
        Warnings: warnings.length === 0 ? null : warnings,
        Debug: false,
        LoggingDriver: chosen("log"),
        CgroupDriver: containers.cgroupDriver,
        CgroupVersion: host.cgroups.layout === "v2" ? "2" : "1",
        KernelVersion: release(),
        OperatingSystem: operatingSystem(),
        OSType: "linux",
        Architecture: machine[arch()] ?? arch(),
        IndexServerAddress: "https://index.docker.io/v1/",
        RegistryConfig: { InsecureRegistryCIDRs: ["127.0.0.0/8"], IndexConfigs: {}, Mirrors: [] },
        NCPU: cpus().length,
        MemTotal: totalmem(),
        DockerRootDir: rootDirectory,
        HttpProxy: "",
        HttpsProxy: "",
        NoProxy: "",
        Name: hostname(),
        Labels: [],
        ExperimentalBuild: false,
        ServerVersion: engineVersion,
        LiveRestoreEnabled: true,
        Isolation: "",
        InitBinary: "",
        Swarm: { NodeID: "", NodeAddr: "", LocalNodeState: "inactive", ControlAvailable: false, Error: "", RemoteManagers: null },
        CDISpecDirs: cdi.directories,
        DiscoveredDevices: cdi.devices.map((ID) => ({ Source: "cdi", ID })),
        TsboxDrivers: selections,
        TsboxPlugins: plugins,
      };
    },
    plugins: async (call) => {
      const [plugins, selections] = await Promise.all([engine.plugins(call), engine.selections(call)]);
      return plugins.map((plugin) => ({ ...plugin, offers: plugin.offers.map((offer) => ({ ...offer, ...choiceOf(selections, offer) })) }));
    },
    events: async (call, { since, until, filters }) => {
      const [from, to] = [since ? parseTime(since) : undefined, until ? parseTime(until) : undefined];
      if (from !== undefined && to !== undefined && to < from)
        throw fail("InvalidArgument", `\`since\` time (${since}) cannot be after \`until\` time (${until})`);
      return shownEvents(() => events.subscribe(call, { since: from, until: to }), filters);
    },
    networkList: async (call, { filters }) => {
      const used = new Set((await containers.list(call)).flatMap((record) => record.networks.map(({ network }) => network)));
      const wanted = matches<NetworkRecord>(filters, {
        name: (network, value) => network.name.includes(value),
        id: (network, value) => network.id.startsWith(value),
        driver: (network, value) => network.driver === value,
        label: (network, value) => hasLabel(network.labels, value),
        type: (network, value) => builtin(value) === network.predefined,
        scope: (_network, value) => value === "local",
        dangling: (network, value) => (!network.predefined && !used.has(network.name)) === truth("dangling", value),
      });
      return (await networks.list(call)).filter(wanted).map((network) => showNetwork(network, {}));
    },
    networkInspect: async (call, name) => {
      const network = await networks.get(call, name);
      const members = (await containers.list(call)).flatMap((record) =>
        record.endpoints
          .filter((endpoint) => endpoint.network === network.id)
          .map((endpoint) => [
            record.id,
            {
              Name: record.name,
              EndpointID: endpoint.id,
              MacAddress: endpoint.attachment.mac,
              IPv4Address: endpoint.attachment.addresses[0] ?? "",
              IPv6Address: "",
            },
          ]),
      );
      return showNetwork(network, Object.fromEntries(members) as Json);
    },
    networkCreate: async (call, body) => {
      const name = typeof body.Name === "string" ? body.Name : "";
      if (name === "") throw fail("InvalidArgument", "network name cannot be blank");
      refuseUnmet(body, name);
      const pool = ((body.IPAM as { Config?: readonly { Subnet?: string; Gateway?: string }[] | null } | undefined)?.Config ?? [])[0];
      const made = await networks.create(call, {
        name,
        driver: (body.Driver as string) || undefined,
        ...(pool?.Subnet ? { subnet: pool.Subnet } : {}),
        ...(pool?.Gateway ? { gateway: pool.Gateway } : {}),
        internal: body.Internal === true,
        labels: (body.Labels ?? {}) as Readonly<Record<string, string>>,
        options: (body.Options ?? {}) as Readonly<Record<string, string>>,
      });
      return { Id: made.id, Warning: "" };
    },
    networkRemove: (call, name, { force = false } = {}) => networks.remove(call, name, { force }),
  };
}

/** What is asked for in vain: a network without it would look as if it had it. Codes are Docker's. */
function refuseUnmet(body: Json, name: string): void {
  if (["bridge", "host", "none", "default"].includes(name))
    throw fail("PermissionDenied", `operation is not permitted on predefined ${name} network: choose another name`);
  if (body.Ingress === true || body.Scope === "swarm" || body.Scope === "global")
    throw fail("PermissionDenied", "cannot create a network for a swarm: this engine has none; leave out Ingress and Scope");
  if (body.ConfigOnly === true) throw fail("Unsupported", "networks with a configuration alone are not there: give each its own options");
  const ipam = (body.IPAM as { readonly Driver?: string | null } | null | undefined)?.Driver ?? "default";
  if (ipam !== "" && ipam !== "default") throw fail("InvalidArgument", `no IPAM driver is called ${ipam}: there is default alone`);
}

function builtin(value: string): boolean {
  if (value === "builtin" || value === "custom") return value === "builtin";
  throw fail("InvalidArgument", `invalid filter 'type=${value}': give builtin or custom`);
}

/** Whether an offer is the host's choice, and why. Null: it is no driver. */
function choiceOf(
  selections: readonly DriverSelection[],
  { offer }: OfferStatus,
): { readonly chosen: boolean | null; readonly why: string | null } {
  for (const { kind, id, why, others } of selections) {
    if (offer === `${kind}/${id}`) return { chosen: true, why };
    const other = others.find((one) => offer === `${kind}/${one.id}`);
    if (other !== undefined) return { chosen: false, why: other.why };
  }
  return { chosen: null, why: null };
}

function showNetwork(network: NetworkRecord, members: Json): Json {
  return {
    Name: network.name,
    Id: network.id,
    Created: time(network.createdAt),
    Scope: "local",
    Driver: network.driver,
    EnableIPv4: true,
    EnableIPv6: false,
    IPAM: { Driver: "default", Options: null, Config: network.subnets.map(({ cidr, gateway }) => ({ Subnet: cidr, Gateway: gateway })) },
    Internal: network.internal,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Containers: members,
    Options: network.options,
    Labels: network.labels,
  };
}

function operatingSystem(): string {
  try {
    return /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "Linux";
  } catch {
    return "Linux";
  }
}
