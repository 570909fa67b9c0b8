/** `linux.resources` and the limits of a process in the runtime spec's terms. Pure: the caller looks up block devices. */
import type { Container, ContainerConfig, DeviceLimit, Resources, Ulimit } from "@tsbox/kernel";

/** Major and minor number of a block device, by its path. */
export type BlockDevices = ReadonlyMap<string, { readonly major: number; readonly minor: number }>;

type Words = Readonly<Record<string, unknown>>;

const given = <T>(entries: Readonly<Record<string, T | null>>): Record<string, T> =>
  Object.fromEntries(Object.entries(entries).filter((entry): entry is [string, T] => entry[1] !== null));
const unlessEmpty = (name: string, words: Words): Words => (Object.keys(words).length > 0 ? { [name]: words } : {});

/** The largest number of JavaScript that fits into 63 bits. */
const largest = 2 ** 63 - 1024;

export function resourcesOf(resources: Resources, devices: BlockDevices): Words {
  const memory = given<number | boolean>({
    limit: resources.memory,
    // As in Docker: twice the memory by default.
    swap: resources.memorySwap ?? (resources.memory === null ? null : Math.min(resources.memory * 2, largest)),
    reservation: resources.memoryReservation,
    swappiness: resources.memorySwappiness,
    disableOOMKiller: resources.oomKillDisable ? true : null,
  });
  const cpu = given<number | string>({
    shares: resources.cpuShares,
    quota: resources.cpuQuota,
    period: resources.cpuPeriod,
    cpus: resources.cpusetCpus,
    mems: resources.cpusetMems,
    realtimePeriod: resources.cpuRealtimePeriod,
    realtimeRuntime: resources.cpuRealtimeRuntime,
  });
  const hugepages = Object.entries(resources.hugepages).map(([pageSize, limit]) => ({ pageSize, limit }));
  return {
    ...unlessEmpty("memory", memory),
    ...unlessEmpty("cpu", cpu),
    ...unlessEmpty("blockIO", blockOf(resources, devices)),
    ...(hugepages.length > 0 ? { hugepageLimits: hugepages } : {}),
    ...(resources.pids === null ? {} : { pids: { limit: resources.pids } }),
  };
}

function blockOf(resources: Resources, devices: BlockDevices): Words {
  const each = (limits: readonly DeviceLimit[], name: string): readonly Words[] | null =>
    limits.length === 0 ? null : limits.map(({ path, value }) => ({ ...devices.get(path), [name]: value }));
  return given<unknown>({
    weight: resources.blockWeight,
    weightDevice: each(resources.blockWeightDevices, "weight"),
    throttleReadBpsDevice: each(resources.blockReadBytes, "rate"),
    throttleWriteBpsDevice: each(resources.blockWriteBytes, "rate"),
    throttleReadIOPSDevice: each(resources.blockReadOperations, "rate"),
    throttleWriteIOPSDevice: each(resources.blockWriteOperations, "rate"),
  });
}

/** The paths of the devices whose numbers `resourcesOf` needs. */
export function blockDevicesOf(resources: Resources): readonly string[] {
  const { blockWeightDevices, blockReadBytes, blockWriteBytes, blockReadOperations, blockWriteOperations } = resources;
  const all = [...blockWeightDevices, ...blockReadBytes, ...blockWriteBytes, ...blockReadOperations, ...blockWriteOperations];
  return [...new Set(all.map(({ path }) => path))];
}

/**
 * "No limit" is the largest 64-bit number, which JavaScript can only approximate. The runtime takes every value from this one on as
 * unlimited (native/core/src/container/spec.rs).
 */
const unlimited = 2 ** 64;

export function rlimitsOf(ulimits: readonly Ulimit[]): readonly Words[] {
  const value = (limit: number): number => (limit < 0 ? unlimited : limit);
  return ulimits.map(({ name, soft, hard }) => ({ type: `RLIMIT_${name.toUpperCase()}`, soft: value(soft), hard: value(hard) }));
}

/** The path of a container's cgroup: in the engine's own cgroup, or, as in Docker, directly below `--cgroup-parent`. */
export function cgroupsPath(engineId: string, id: Container["id"], { cgroupParent }: Pick<ContainerConfig, "cgroupParent">): string {
  return cgroupParent === "" ? `/tsbox-${engineId}/${id}` : `/${cgroupParent.replace(/^\/+|\/+$/g, "")}/${id}`;
}
