/** Docker's image operations. */
import type { ApiService, ContainersService, ImagesService, ProgressLine, PullProgress } from "@tsbox/kernel";
import { credentialsOf } from "./credentials.ts";
import { imageList } from "./image-list.ts";
import { inspectImage } from "./show.ts";
import { usersOf } from "./space.ts";

type ImageVerbs = Pick<
  ApiService,
  "imageList" | "imageInspect" | "imageHistory" | "imagePull" | "imageLoad" | "imageSave" | "imageTag" | "imageRemove"
>;

export function imageVerbs(images: ImagesService, containers: ContainersService): ImageVerbs {
  return {
    imageList: imageList(images, containers),
    imageInspect: async (call, name, { platform } = {}) => {
      const image = await images.get(call, name, platform ? { platform } : {});
      return inspectImage(image, await images.rawConfig(call, image.id));
    },
    imageHistory: async (call, name, { platform } = {}) => {
      const image = await images.get(call, name, platform ? { platform } : {});
      return (await images.history(call, image.id)).map((entry) => ({
        Id: entry.image?.id ?? "<missing>",
        Created: Math.floor(entry.createdAt / 1000),
        CreatedBy: entry.createdBy,
        Tags: entry.image !== null && entry.image.tags.length > 0 ? entry.image.tags : null,
        Size: entry.size,
        Comment: entry.comment,
      }));
    },
    imagePull: async (call, name, { tag, platform, auth }) => {
      const reference = tag ? `${name}${tag.includes(":") ? "@" : ":"}${tag}` : name;
      const access = { credentials: credentialsOf(auth) };
      return lines(await images.pull(call, reference, { ...(platform ? { platform } : {}), access }));
    },
    imageLoad: async (call, path, options = {}) =>
      loadLines(await images.load(call, path, options.platform ? { platform: options.platform } : {})),
    imageSave: (call, names, options) => images.save(call, names, options),
    imageTag: (call, name, repo, tag) => images.tag(call, name, tag ? `${repo}:${tag}` : repo),
    imageRemove: async (call, name, { force, noprune, platforms = [] }) => {
      // An image has one platform in this engine.
      for (const platform of platforms) await images.get(call, name, { platform });
      const users = usersOf(await containers.list(call));
      const gone = await images.remove(call, name, { force: force ?? false, keepParents: noprune ?? false, users });
      return gone.map((line) => ("untagged" in line ? { Untagged: line.untagged } : { Deleted: line.deleted }));
    },
  };
}

/** Docker's progress lines. */
export async function* lines(progress: AsyncIterable<PullProgress>): AsyncGenerator<ProgressLine> {
  for await (const { id, status, current, total } of progress)
    yield {
      status,
      ...(id === null ? {} : { id }),
      ...(current === null ? {} : { progressDetail: { current, ...(total === null ? {} : { total }) } }),
    };
}

async function* loadLines(progress: AsyncIterable<PullProgress>): AsyncGenerator<ProgressLine> {
  for await (const { status } of progress) yield { stream: `${status}\n` };
}
