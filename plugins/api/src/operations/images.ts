/** Docker's image operations. */
import { type ApiService, type ContainersService, fail, type ImagesService, type ProgressLine, type PullProgress } from "@tsbox/kernel";
import { imageRules, matches } from "./filters.ts";
import { inspectImage, listImage } from "./show.ts";

type ImageVerbs = Pick<ApiService, "imageList" | "imageInspect" | "imageHistory" | "imagePull" | "imageLoad" | "imageTag" | "imageRemove">;

export function imageVerbs(images: ImagesService, containers: ContainersService): ImageVerbs {
  return {
    imageList: async (call, { filters }) => {
      const [all, users] = await Promise.all([images.list(call), containers.list(call)]);
      return all
        .filter(matches(filters, imageRules(all)))
        .sort((a, b) => b.createdAt - a.createdAt)
        .map((image) => listImage(image, users.filter((container) => container.imageId === image.id).length));
    },
    imageInspect: async (call, name) => inspectImage(await images.get(call, name)),
    imageHistory: async (call, name) => {
      const image = await images.get(call, name);
      return [
        { Id: image.id, Created: Math.floor(image.createdAt / 1000), CreatedBy: "", Tags: image.tags, Size: image.size, Comment: "" },
      ];
    },
    imagePull: async (call, name, { tag, platform, auth }) => {
      const reference = tag ? `${name}${tag.includes(":") ? "@" : ":"}${tag}` : name;
      const credentials = auth?.username
        ? { username: auth.username, password: auth.password ?? "" }
        : auth?.registrytoken
          ? { token: auth.registrytoken }
          : null;
      return lines(await images.pull(call, reference, { ...(platform ? { platform } : {}), access: { credentials } }));
    },
    imageLoad: async (call, path) => loadLines(await images.load(call, path)),
    imageTag: (call, name, repo, tag) => images.tag(call, name, tag ? `${repo}:${tag}` : repo),
    imageRemove: async (call, name, { force }) => {
      const users = await containers.list(call);
      const image = await images.get(call, name);
      const running = users.find(
        (container) => container.imageId === image.id && (container.status === "running" || container.status === "paused"),
      );
      if (running && image.tags.length <= 1)
        throw fail(
          "Conflict",
          `conflict: unable to remove repository reference "${name}" (${force ? "cannot be forced" : "must force"}) - container ${running.id.slice(0, 12)} is using its referenced image ${image.id.slice(7, 19)}`,
        );
      const gone = await images.remove(call, name, { force: force ?? false, inUse: users.map((container) => container.imageId) });
      return gone.map((line) => ("untagged" in line ? { Untagged: line.untagged } : { Deleted: line.deleted }));
    },
  };
}

/** Docker's progress lines. */
async function* lines(progress: AsyncIterable<PullProgress>): AsyncGenerator<ProgressLine> {
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
