/**
 * The engine's containers and images in Docker's JSON. Go's zero values are present where Docker has them: clients distinguish null, [] and
 * "".
 */
import { ago, type Container, type EndpointRecord, type Exec, type Image, type Json, type PortMap } from "@tsbox/kernel";
import { healthWords, showHealth, showHealthCheck } from "./health.ts";
import { showMounts } from "./mounts.ts";
import { hostConfigOf } from "./show-host-config.ts";
import { time, zeroTime } from "./time.ts";

export function inspectContainer(record: Container, storageData: Json, execs: readonly Exec[]): Json {
  const { config } = record;
  const exit = record.exit;
  return {
    Id: record.id,
    Created: time(record.createdAt),
    Path: record.argv[0] ?? "",
    Args: record.argv.slice(1),
    State: {
      Status: record.status,
      // As in Docker, a restarting container counts as running.
      Running: record.status === "running" || record.status === "paused" || record.status === "restarting",
      Paused: record.status === "paused",
      Restarting: record.status === "restarting",
      OOMKilled: exit?.outOfMemory ?? false,
      Dead: record.status === "dead",
      Pid: record.pid ?? 0,
      ExitCode: exit?.code ?? 0,
      Error: record.error,
      StartedAt: time(record.startedAt),
      // A failed start has an exit code, but no end.
      FinishedAt: time(exit?.at || null),
      ...showHealth(record),
    },
    Image: record.imageId,
    ResolvConfPath: "",
    HostnamePath: "",
    HostsPath: "",
    LogPath: record.log.path,
    Name: `/${record.name}`,
    RestartCount: record.restartCount,
    Driver: record.drivers.storage,
    Platform: record.platform,
    MountLabel: record.selinux?.mount ?? "",
    ProcessLabel: record.selinux?.process ?? "",
    AppArmorProfile: "",
    ExecIDs: execs.length === 0 ? null : execs.map((exec) => exec.id),
    HostConfig: hostConfigOf(record),
    GraphDriver: { Name: record.drivers.storage, Data: storageData },
    SizeRw: undefined,
    Mounts: showMounts(record.mounts),
    Config: {
      Hostname: config.hostname,
      Domainname: config.domainname,
      User: config.user,
      AttachStdin: config.attach.stdin,
      AttachStdout: config.attach.stdout,
      AttachStderr: config.attach.stderr,
      ...(config.exposedPorts.length > 0 ? { ExposedPorts: Object.fromEntries(config.exposedPorts.map((port) => [port, {}])) } : {}),
      Tty: config.terminal,
      OpenStdin: config.openStdin,
      StdinOnce: config.stdinOnce,
      Env: config.env,
      Cmd: config.command,
      Image: record.imageName,
      Volumes: config.volumes.length > 0 ? Object.fromEntries(config.volumes.map((target) => [target, {}])) : null,
      WorkingDir: config.workingDirectory,
      Entrypoint: config.entrypoint,
      OnBuild: null,
      Labels: config.labels,
      ...showHealthCheck(record),
      StopSignal: config.stopSignal,
      StopTimeout: config.stopTimeout,
    },
    NetworkSettings: networkSettings(record),
  };
}

function networkSettings(record: Container): Json {
  const first = record.endpoints[0];
  return {
    Bridge: "",
    SandboxID: first?.id ?? "",
    SandboxKey: "",
    Ports: portMap(record),
    EndpointID: first?.id ?? "",
    Gateway: first?.gateway ?? "",
    GlobalIPv6Address: "",
    GlobalIPv6PrefixLen: 0,
    ...addressOf(first),
    IPv6Gateway: "",
    MacAddress: first?.attachment.mac ?? "",
    Networks: Object.fromEntries(
      shownNetworks(record).map(([name, endpoint]) => [
        name,
        {
          IPAMConfig: null,
          Links: null,
          Aliases: null,
          MacAddress: endpoint?.attachment.mac ?? "",
          DriverOpts: null,
          NetworkID: endpoint?.network ?? "",
          EndpointID: endpoint?.id ?? "",
          Gateway: endpoint?.gateway ?? "",
          ...addressOf(endpoint ?? undefined),
          IPv6Gateway: "",
          GlobalIPv6Address: "",
          GlobalIPv6PrefixLen: 0,
          DNSNames: null,
        },
      ]),
    ),
  };
}

/** A running container's endpoints; for another container, the networks that it will join. */
function shownNetworks(record: Container): readonly (readonly [string, EndpointRecord | null])[] {
  if (record.endpoints.length > 0) return record.endpoints.map((endpoint) => [endpoint.networkName, endpoint]);
  const wanted = record.networks.map(({ network }) => network);
  return (wanted.length > 0 || record.status !== "created" ? wanted : [record.config.network]).map((name) => [name, null]);
}

function addressOf(endpoint: EndpointRecord | undefined): Json {
  const [address = "", length = "0"] = (endpoint?.attachment.addresses[0] ?? "").split("/");
  return { IPAddress: address, IPPrefixLen: Number(length) };
}

export function publishedPorts(record: Container): readonly PortMap[] {
  return record.endpoints.flatMap((endpoint) => endpoint.attachment.ports);
}

/** Null: the port is exposed, but not published. */
function portMap(record: Container): Json {
  const map: Record<string, { HostIp: string; HostPort: string }[] | null> = {};
  for (const port of record.config.exposedPorts) map[port.includes("/") ? port : `${port}/tcp`] = null;
  for (const port of publishedPorts(record))
    for (let at = 0; at < port.count; at += 1) {
      const key = `${port.containerPort + at}/${port.protocol}`;
      map[key] = [...(map[key] ?? []), { HostIp: port.hostAddress, HostPort: String(port.hostPort + at) }];
    }
  return map;
}

/** Published ports; for a running container also those that are exposed, but not published. */
function listPorts(record: Container): readonly Json[] {
  const published = publishedPorts(record).flatMap((port) =>
    Array.from({ length: port.count }, (_, at) => ({
      IP: port.hostAddress,
      PrivatePort: port.containerPort + at,
      PublicPort: port.hostPort + at,
      Type: port.protocol,
    })),
  );
  if (record.endpoints.length === 0) return published;
  const exposed = record.config.exposedPorts.map((entry) => {
    const [port = "", protocol = "tcp"] = entry.split("/");
    return { PrivatePort: Number(port), Type: protocol };
  });
  return [
    ...published,
    ...exposed.filter(({ PrivatePort, Type }) => !published.some((port) => port.PrivatePort === PrivatePort && port.Type === Type)),
  ];
}

/**
 * `image`: the id that the container's image name has now. If it differs from the container's image, the id is shown instead of the name.
 */
export function listContainer(record: Container, image: string | null): Json {
  return {
    Id: record.id,
    Names: [`/${record.name}`],
    Image: image === record.imageId ? record.imageName : record.imageId,
    ImageID: record.imageId,
    Command: record.argv.map((word) => (/[\s"'\\]/.test(word) ? `'${word}'` : word)).join(" "),
    Created: Math.floor(record.createdAt / 1000),
    Ports: listPorts(record),
    Labels: record.config.labels,
    State: record.status,
    Status: statusWords(record, Date.now()),
    HostConfig: { NetworkMode: record.config.network },
    NetworkSettings: { Networks: networkSettings(record).Networks },
    Mounts: showMounts(record.mounts),
  };
}

/** A running container has an error if its shim is dead or does not answer; `inspect` shows it. */
const unsupervised = ({ error }: Pick<Container, "error">): string => (error === "" ? "" : " (without its shim)");

export function statusWords(record: Container, now: number): string {
  switch (record.status) {
    case "running":
      return `Up ${ago(now - (record.startedAt ?? now))}${healthWords(record)}${unsupervised(record)}`;
    case "paused":
      return `Up ${ago(now - (record.startedAt ?? now))} (Paused)${unsupervised(record)}`;
    case "restarting":
      return `Restarting (${record.exit?.code ?? 0}) ${ago(now - (record.exit?.at ?? now))} ago`;
    case "exited":
      return `Exited (${record.exit?.code ?? 0}) ${ago(now - (record.exit?.at ?? now))} ago`;
    case "removing":
      return "Removal In Progress";
    case "dead":
      return "Dead";
    default:
      return "Created";
  }
}

export function listImage(image: Image, containers: number): Json {
  return {
    Id: image.id,
    ParentId: image.parent ?? "",
    RepoTags: image.tags,
    RepoDigests: image.digests,
    Created: Math.floor(image.createdAt / 1000),
    Size: image.size,
    SharedSize: -1,
    Labels: Object.keys(image.config.labels).length > 0 ? image.config.labels : null,
    Containers: containers,
  };
}

/** `raw`: OCI's config, with Docker's additional fields. */
export function inspectImage(image: Image, raw: Json): Json {
  const { config } = image;
  const own = (raw.config ?? {}) as Json;
  const steps = Array.isArray(raw.history) ? (raw.history as readonly Json[]) : [];
  return {
    Id: image.id,
    RepoTags: image.tags,
    RepoDigests: image.digests,
    Parent: image.parent ?? "",
    Comment: steps.at(-1)?.comment ?? "",
    Created: time(image.createdAt),
    DockerVersion: raw.docker_version ?? "",
    Author: raw.author ?? "",
    Config: {
      Hostname: "",
      Domainname: "",
      User: config.user,
      AttachStdin: false,
      AttachStdout: false,
      AttachStderr: false,
      ...(config.exposedPorts.length > 0 ? { ExposedPorts: Object.fromEntries(config.exposedPorts.map((port) => [port, {}])) } : {}),
      Tty: false,
      OpenStdin: false,
      StdinOnce: false,
      Env: config.env.length > 0 ? config.env : null,
      Cmd: config.command,
      ...(own.Healthcheck == null ? {} : { Healthcheck: own.Healthcheck }),
      Image: own.Image ?? "",
      Volumes: config.volumes.length > 0 ? Object.fromEntries(config.volumes.map((volume) => [volume, {}])) : null,
      WorkingDir: config.workingDirectory,
      Entrypoint: config.entrypoint,
      OnBuild: own.OnBuild ?? null,
      Labels: Object.keys(config.labels).length > 0 ? config.labels : null,
      ...(config.stopSignal === null ? {} : { StopSignal: config.stopSignal }),
      ...(own.Shell == null ? {} : { Shell: own.Shell }),
    },
    Architecture: image.platform.architecture,
    ...(image.platform.variant === null ? {} : { Variant: image.platform.variant }),
    Os: image.platform.os,
    Size: image.size,
    GraphDriver: { Data: null, Name: "" },
    RootFS: { Type: "layers", Layers: image.diffIds },
    Metadata: { LastTagTime: zeroTime },
  };
}
