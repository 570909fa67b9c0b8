/** `import`: a root file system as an image, from a file on this host or from a URL that the engine fetches. */
import { createWriteStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Call, type EventsService, type FilesApi, fail, type ImagesService, type ProgressLine } from "@tsbox/kernel";

type Options = Parameters<FilesApi["imageImport"]>[2];
interface Services {
  readonly images: ImagesService;
  readonly events: EventsService;
}
let count = 0;

export function importVerb(images: ImagesService, events: EventsService, workDirectory: string): FilesApi["imageImport"] {
  return async (call, source, options) => {
    const platform = options.platform || null;
    const services = { images, events };
    if (!/^https?:\/\//.test(source)) return finish(services, call, source, platform, options);
    return fromUrl(services, call, source, platform, options, workDirectory);
  };
}

async function* fromUrl(
  services: Services,
  call: Call,
  source: string,
  platform: string | null,
  options: Options,
  workDirectory: string,
): AsyncGenerator<ProgressLine> {
  const url = URL.parse(source);
  if (url === null)
    throw fail("InvalidArgument", `${JSON.stringify(source.slice(0, 200))} is no address to fetch from: give http://HOST/PATH`);
  yield { status: "Downloading from", progressDetail: {}, id: source };
  await mkdir(workDirectory, { recursive: true, mode: 0o700 });
  count += 1;
  const path = join(workDirectory, `import-${process.pid}-${count}.tar`);
  try {
    const response = await fetch(url, { signal: call.signal }).catch((error: unknown) => {
      call.signal.throwIfAborted();
      throw fail("Unavailable", `can't fetch ${source}: ${reasonOf(error)}`, { cause: error });
    });
    if (!response.ok || response.body === null) throw fail("Unavailable", `can't fetch ${source}: the server answers ${response.status}`);
    const total = Number(response.headers.get("content-length") ?? 0);
    const body = Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0]);
    await pipeline(body, createWriteStream(path, { mode: 0o600 }), { signal: call.signal });
    yield { status: "Importing", progressDetail: total > 0 ? { current: total, total } : {} };
    yield* finish(services, call, path, platform, { ...options, shown: options.shown || source });
  } finally {
    await rm(path, { force: true });
  }
}

const reasonOf = (error: unknown): string => {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  return cause instanceof Error ? cause.message || String((cause as NodeJS.ErrnoException).code) : String(cause);
};

async function* finish(
  { images, events }: Services,
  call: Call,
  path: string,
  platform: string | null,
  { repo, tag, message, changes, shown }: Options,
): AsyncGenerator<ProgressLine> {
  const made = await images.create(call, {
    parent: null,
    layer: path,
    changes: changes ?? [],
    config: {},
    author: "",
    comment: message || `Imported from ${shown || "-"}`,
    createdBy: "",
    platform,
    reference: repo ? (tag ? `${repo}:${tag}` : repo) : null,
  });
  await events.publish(call, { type: "image", action: "import", id: made.id, attributes: { ...made.config.labels, name: made.id } });
  yield { status: made.id };
}
