/** Docker's `GET /images/json`: its filters, the images that it shows without them, and the names that it shows. */
import {
  type ApiService,
  type Call,
  type ContainersService,
  type Filters,
  fail,
  fits,
  type Image,
  type ImagesService,
} from "@tsbox/kernel";
import { hasLabel, matches } from "./filters.ts";
import { listImage } from "./show.ts";
import { parseTime } from "./times.ts";

export function imageList(images: ImagesService, containers: ContainersService): ApiService["imageList"] {
  return async (call, { all = false, filters = {} }) => {
    const [list, users] = await Promise.all([images.list(call), containers.list(call)]);
    const wanted = matches(filters, await rules(call, images, list, filters));
    const isParent = (image: Image): boolean => list.some((other) => other.parent === image.id);
    return list
      .filter((image) => wanted(image) && (all || image.tags.length > 0 || image.digests.length > 0 || !isParent(image)))
      .map((image) => underNames(image, filters.reference))
      .sort((a, b) => b.createdAt - a.createdAt)
      .map((image) => listImage(image, users.filter((container) => container.imageId === image.id).length));
  };
}

async function rules(
  call: Call,
  images: ImagesService,
  list: readonly Image[],
  filters: Filters,
): Promise<Readonly<Record<string, (image: Image, value: string) => boolean>>> {
  const moments = new Map<string, number>();
  // As in Docker, an image that does not exist is an error.
  for (const reference of [...(filters.before ?? []), ...(filters.since ?? [])])
    moments.set(reference, (await images.get(call, reference)).createdAt);
  for (const value of filters.dangling ?? [])
    if (!["true", "1", "false", "0"].includes(value)) throw fail("InvalidArgument", `invalid filter 'dangling=[${value}]'`);
  const until = new Map((filters.until ?? []).map((value) => [value, parseTime(value)]));
  return {
    dangling: (image, value) =>
      (image.tags.length === 0 && !list.some((other) => other.parent === image.id)) === (value === "true" || value === "1"),
    label: (image, value) => hasLabel(image.config.labels, value),
    reference: (image, value) => namesOf(image).some((name) => nameMatches(name, value)),
    before: (image, value) => image.createdAt < (moments.get(value) ?? 0),
    since: (image, value) => image.createdAt > (moments.get(value) ?? 0),
    until: (image, value) => image.createdAt < (until.get(value) ?? 0),
  };
}

const namesOf = (image: Image): readonly string[] => [...image.tags, ...image.digests];

/** A filter by name only shows the names that match. */
function underNames(image: Image, patterns: readonly string[] | undefined): Image {
  if (patterns === undefined || patterns.length === 0) return image;
  const fits = (name: string): boolean => patterns.some((pattern) => nameMatches(name, pattern));
  return { ...image, tags: image.tags.filter(fits), digests: image.digests.filter(fits) };
}

/** `debian`, `debian:1*`, `host/*`: like Go's path.Match, on the whole name or on the part before its tag. */
export function nameMatches(name: string, pattern: string): boolean {
  const source = pattern.replace(/\[[^\]]*\]|[.+^${}()|\\\]*?[]/g, (part) => {
    if (part === "*") return "[^/]*";
    if (part === "?") return "[^/]";
    // A class without an end is passed on, and refused as one.
    if (part === "[") return part;
    return part.startsWith("[") && part.length > 1 ? part.replace(/^\[!/, "[^") : `\\${part}`;
  });
  let expression: RegExp;
  try {
    expression = new RegExp(`^${source}$`);
  } catch (error) {
    throw fail("InvalidArgument", `invalid filter 'reference=${pattern}': syntax error in pattern`, { cause: error });
  }
  const bare = name.includes("@") ? name.slice(0, name.indexOf("@")) : name.slice(0, Math.max(name.lastIndexOf(":"), 0));
  return fits(expression, name) || fits(expression, bare);
}
