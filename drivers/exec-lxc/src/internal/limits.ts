/** `linux.resources` of the OCI spec as files of cgroups: LXC writes them before the container's first process runs. */
import { fail, type OciResources } from "@tsbox/kernel";

/** What the driver reads of the spec. */
interface Resources {
  readonly devices?: readonly { allow: boolean; type?: string; major?: number | null; minor?: number | null; access?: string }[] | null;
  readonly memory?: { readonly disableOOMKiller?: boolean } & Numbers;
  readonly cpu?: Numbers & { readonly cpus?: string; readonly mems?: string };
  readonly pids?: { readonly limit?: number | null };
  readonly blockIO?: { readonly weight?: number | null; readonly [list: string]: unknown };
  readonly hugepageLimits?: readonly { readonly pageSize: string; readonly limit: number }[] | null;
  readonly unified?: Readonly<Record<string, string>> | null;
  readonly [key: string]: unknown;
}
type Numbers = { readonly [name: string]: number | null | undefined };
type Lines = readonly (readonly [file: string, value: string | number])[];
type Layout = "v1" | "hybrid" | "v2";

/** The lines of LXC's configuration. */
export function limitLines(asked: OciResources, layout: Layout): readonly string[] {
  const resources: Resources = asked;
  refuse(resources, layout);
  const [prefix, lines] = layout === "v2" ? (["lxc.cgroup2", unified(resources)] as const) : (["lxc.cgroup", legacy(resources)] as const);
  return [...lines, ...devices(resources)].map(([file, value]) => `${prefix}.${file} = ${value}`);
}

/** LXC itself needs these, and runc allows them always: null, zero, full, random, urandom, tty, ptmx, terminals. */
const always: NonNullable<Resources["devices"]> = (
  [
    [1, 3],
    [1, 5],
    [1, 7],
    [1, 8],
    [1, 9],
    [5, 0],
    [5, 2],
    [136, null],
  ] as const
).map(([major, minor]) => ({ allow: true, type: "c", major, minor, access: "rwm" }));

/** The device rules, in order; the same words for v1 and v2. */
function devices({ devices: rules = [] }: Resources): Lines {
  if (rules === null || rules.length === 0) return [];
  return [...rules, ...always].map(({ allow, type, major, minor, access }) => {
    const kind = type ?? "a";
    const number = (value: number | null | undefined): string => (value === undefined || value === null || value < 0 ? "*" : String(value));
    const rule = kind === "a" ? "a" : `${kind} ${number(major)}:${number(minor)} ${access ?? "rwm"}`;
    return [allow ? "devices.allow" : "devices.deny", rule] as const;
  });
}

function legacy({ memory, cpu, pids, blockIO, hugepageLimits }: Resources): Lines {
  return given([
    ["memory.limit_in_bytes", memory?.limit],
    ["memory.memsw.limit_in_bytes", memory?.swap],
    ["memory.soft_limit_in_bytes", memory?.reservation],
    ["memory.swappiness", memory?.swappiness],
    ["memory.oom_control", memory?.disableOOMKiller === true ? 1 : undefined],
    ["cpu.shares", cpu?.shares],
    ["cpu.cfs_period_us", cpu?.period],
    ["cpu.cfs_quota_us", cpu?.quota],
    ["cpu.rt_period_us", cpu?.realtimePeriod],
    ["cpu.rt_runtime_us", cpu?.realtimeRuntime],
    ["cpuset.cpus", cpu?.cpus],
    ["cpuset.mems", cpu?.mems],
    ["pids.max", maximum(pids?.limit)],
    ["blkio.weight", blockIO?.weight],
    ...throttles(blockIO).map(([kind, { major, minor, rate }]) => [`blkio.throttle.${kind}_device`, `${major}:${minor} ${rate}`] as const),
    ...(hugepageLimits ?? []).map(({ pageSize, limit }) => [`hugetlb.${pageSize}.limit_in_bytes`, limit] as const),
  ]);
}

function unified({ memory, cpu, pids, blockIO, hugepageLimits, unified: own }: Resources): Lines {
  const swap = memory?.swap ?? undefined;
  const limit = memory?.limit ?? undefined;
  // v1 counts memory and swap together, v2 swap alone.
  const swapAlone = swap === undefined || swap < 0 || limit === undefined ? swap : Math.max(0, swap - limit);
  const quota = cpu?.quota ?? undefined;
  const period = cpu?.period ?? undefined;
  const names: Readonly<Record<string, string>> = { read_bps: "rbps", write_bps: "wbps", read_iops: "riops", write_iops: "wiops" };
  return given([
    ["memory.max", maximum(limit)],
    ["memory.swap.max", maximum(swapAlone)],
    ["memory.low", memory?.reservation],
    ["cpu.weight", cpu?.shares === undefined || cpu.shares === null ? undefined : weight(cpu.shares)],
    [
      "cpu.max",
      quota === undefined && period === undefined ? undefined : `${quota === undefined || quota < 0 ? "max" : quota} ${period ?? 100_000}`,
    ],
    ["cpuset.cpus", cpu?.cpus],
    ["cpuset.mems", cpu?.mems],
    ["pids.max", maximum(pids?.limit)],
    ["io.bfq.weight", blockIO?.weight],
    ...throttles(blockIO).map(([kind, { major, minor, rate }]) => ["io.max", `${major}:${minor} ${names[kind]}=${rate}`] as const),
    ...(hugepageLimits ?? []).map(({ pageSize, limit: most }) => [`hugetlb.${pageSize}.max`, most] as const),
    ...Object.entries(own ?? {}),
  ]);
}

type Throttle = { readonly major: number; readonly minor: number; readonly rate: number };

function throttles(blockIO: Resources["blockIO"]): readonly (readonly [string, Throttle])[] {
  const kinds = [
    ["read_bps", blockIO?.throttleReadBpsDevice],
    ["write_bps", blockIO?.throttleWriteBpsDevice],
    ["read_iops", blockIO?.throttleReadIOPSDevice],
    ["write_iops", blockIO?.throttleWriteIOPSDevice],
  ] as const;
  return kinds.flatMap(([kind, list]) => ((list ?? []) as readonly Throttle[]).map((one) => [kind, one] as const));
}

/** Docker's and runc's formula: 2…262144 shares become 1…10000. */
const weight = (shares: number): number => Math.floor(1 + ((Math.min(Math.max(shares, 2), 262_144) - 2) * 9999) / 262_142);

const maximum = (limit: number | null | undefined): number | string | undefined =>
  limit === undefined || limit === null || limit === 0 ? undefined : limit < 0 ? "max" : limit;

function given(lines: readonly (readonly [string, string | number | null | undefined])[]): Lines {
  return lines.flatMap(([file, value]) => (value === undefined || value === null || value === "" ? [] : [[file, value] as const]));
}

/** Limits that have no file of a cgroup, or none that the driver knows. */
function refuse(resources: Resources, layout: Layout): void {
  const has = (name: string, value: unknown): void => {
    const isEmpty = value === undefined || value === null || value === 0 || value === false || (Array.isArray(value) && value.length === 0);
    if (!isEmpty)
      throw fail("Unsupported", `exec-lxc does not carry out linux.resources.${name}; leave it out, or use the exec driver native`);
  };
  const { blockIO, cpu, memory } = resources;
  has("blockIO.weightDevice", blockIO?.weightDevice);
  has("blockIO.leafWeight", Reflect.get(blockIO ?? {}, "leafWeight"));
  has("cpu.burst", cpu?.burst);
  has("cpu.idle", cpu?.idle);
  has("memory.kernel", memory?.kernel);
  has("memory.kernelTCP", memory?.kernelTCP);
  has("memory.checkBeforeUpdate", Reflect.get(memory ?? {}, "checkBeforeUpdate"));
  has("network", resources.network);
  has("rdma", resources.rdma);
  // Its keys are files of cgroup v2.
  if (layout !== "v2") has("unified", Object.keys(resources.unified ?? {}));
}
