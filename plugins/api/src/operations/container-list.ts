/** Docker's `GET /containers/json`: its filters, and the containers that it shows without them. */
import {
  type ApiService,
  type Call,
  type Container,
  type ContainersService,
  type Filters,
  fail,
  type Image,
  type ImagesService,
  isTsboxError,
} from "@tsbox/kernel";
import { hasLabel, type Match, matches, namesMatch } from "./filters.ts";
import { listContainer, publishedPorts } from "./show.ts";

export function containerList(containers: ContainersService, images: ImagesService): Pick<ApiService, "containerList"> {
  return {
    containerList: async (call, { all, limit, filters = {} }) => {
      const records = await containers.list(call);
      const wanted = matches(filters, await rules(call, records, images, filters));
      // As in Docker, a filter for a state or an exit code, or a limit, includes containers that do not run.
      const any = all || limit !== undefined || [...ended, "before", "since"].some((key) => filters[key] !== undefined);
      const shown = records.filter((record) => (any || runs(record)) && wanted(record));
      const listed = limit !== undefined && limit > 0 ? shown.slice(0, limit) : shown;
      const ids = await imageIds(call, images, listed);
      return listed.map((record) => listContainer(record, ids.get(record.imageName) ?? null));
    },
  };
}

const ended: readonly string[] = ["status", "exited"];
const runs = ({ status }: Container): boolean => status === "running" || status === "paused" || status === "restarting";
const states: readonly string[] = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];

async function rules(
  call: Call,
  all: readonly Container[],
  images: ImagesService,
  filters: Filters,
): Promise<Readonly<Record<string, Match<Container>>>> {
  for (const status of filters.status ?? [])
    if (!states.includes(status)) throw fail("InvalidArgument", `invalid filter 'status=${status}': there are ${states.join(", ")}`);
  for (const code of filters.exited ?? [])
    if (!/^-?\d+$/.test(code)) throw fail("InvalidArgument", `invalid filter 'exited=${code}': give a number`);
  for (const health of filters.health ?? [])
    if (!["starting", "healthy", "unhealthy", "none"].includes(health)) throw fail("InvalidArgument", `invalid filter 'health=${health}'`);
  const moments = new Map<string, number>();
  for (const reference of [...(filters.before ?? []), ...(filters.since ?? [])]) moments.set(reference, createdAt(all, reference));
  const ancestors = await ancestorsOf(call, images, filters.ancestor ?? []);
  return {
    id: (record, value) => record.id.startsWith(value),
    name: (record, value) => namesMatch(record.name, value),
    label: (record, value) => hasLabel(record.config.labels, value),
    status: (record, value) => record.status === value,
    exited: (record, value) => record.status === "exited" && record.exit?.code === Number(value),
    ancestor: (record, value) => record.imageName === value || (ancestors.get(value)?.has(record.imageId) ?? false),
    network: (record, value) =>
      record.networks.some((wish) => wish.network === value) ||
      record.endpoints.some((endpoint) => endpoint.networkName === value || endpoint.network.startsWith(value)),
    publish: (record, value) => {
      const wanted = portRange("publish", value);
      return publishedPorts(record).some((port) => within(port.hostPort, port.count, port.protocol, wanted));
    },
    expose: (record, value) => {
      const wanted = portRange("expose", value);
      return record.config.exposedPorts.some((port) => {
        const [number = "", protocol = "tcp"] = port.split("/");
        return within(Number(number), 1, protocol, wanted);
      });
    },
    volume: (record, value) =>
      record.mounts.some(
        (point) =>
          point.target === value || (point.kind === "volume" && point.name === value) || (point.kind === "bind" && point.source === value),
      ),
    health: (record, value) => (record.health === null ? value === "none" : record.health.status === value),
    before: (record, value) => record.createdAt < (moments.get(value) ?? 0),
    since: (record, value) => record.createdAt > (moments.get(value) ?? 0),
    isolation: (_record, value) => value === "default",
    "is-task": (_record, value) => value === "false",
  };
}

function createdAt(all: readonly Container[], reference: string): number {
  const found = all.find((other) => other.name === reference.replace(/^\//, "")) ?? all.find((other) => other.id.startsWith(reference));
  if (found === undefined) throw fail("NotFound", `No such container: ${reference}`);
  return found.createdAt;
}

/** The image ids by the user's word: those of the image and of all images based on it. */
async function ancestorsOf(call: Call, images: ImagesService, names: readonly string[]): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const found = new Map<string, ReadonlySet<string>>();
  if (names.length === 0) return found;
  const all = await images.list(call);
  for (const name of names) {
    try {
      const base = await images.get(call, name);
      found.set(name, new Set(all.filter((image) => image.id === base.id || standsOn(image, base)).map((image) => image.id)));
    } catch (error) {
      // As in Docker, an image that does not exist has no containers.
      if (!isTsboxError(error) || (error.code !== "NotFound" && error.code !== "InvalidArgument")) throw error;
    }
  }
  return found;
}

const standsOn = (image: Image, base: Image): boolean =>
  base.diffIds.length > 0 && image.diffIds.length > base.diffIds.length && base.diffIds.every((id, at) => image.diffIds[at] === id);

interface PortRange {
  readonly first: number;
  readonly last: number;
  readonly protocol: string;
}

/** `80`, `80/udp`, `8000-8080/tcp`. For `publish` it is a host port, for `expose` a container port. */
function portRange(key: string, value: string): PortRange {
  const match = /^(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/.exec(value);
  if (!match) throw fail("InvalidArgument", `invalid filter '${key}=${value}': give PORT[-PORT][/PROTOCOL]`);
  const [, first = "", last = first, protocol = "tcp"] = match;
  return { first: Number(first), last: Number(last), protocol };
}

const within = (port: number, count: number, protocol: string, wanted: PortRange): boolean =>
  protocol === wanted.protocol && port <= wanted.last && port + count - 1 >= wanted.first;

/** The image ids that the names of the containers' images have now; null: the image does not exist. */
export async function imageIds(
  call: Call,
  images: ImagesService,
  records: readonly Container[],
): Promise<ReadonlyMap<string, string | null>> {
  const ids = new Map<string, string | null>();
  for (const { imageName } of records) {
    if (ids.has(imageName)) continue;
    const id = await images.get(call, imageName).then(
      (image) => image.id,
      () => null,
    );
    ids.set(imageName, id);
  }
  return ids;
}
