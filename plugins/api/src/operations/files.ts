/** Docker's operations on a container's files. */
import { posix } from "node:path";
import {
  type Call,
  type Change,
  type Container,
  type ContainersService,
  type FilesApi,
  type FilesService,
  fail,
  isTsboxError,
  type Json,
  type PathStat,
} from "@tsbox/kernel";

type FileVerbs = Pick<
  FilesApi,
  "containerPathStat" | "containerArchive" | "containerExtract" | "containerChanges" | "containerExport" | "containerCommit"
>;

export function fileVerbs(containers: ContainersService, files: FilesService): FileVerbs {
  const find = (call: Call, id: string): Promise<Container> => containers.get(call, id);
  const stat = async (call: Call, id: string, record: Container, path: string): Promise<Json> =>
    showStat(path, await named(files.stat(call, record.id, path), id, path));
  return {
    containerPathStat: async (call, id, asked) => {
      const path = containerPath(asked);
      return stat(call, id, await find(call, id), path);
    },
    containerArchive: async (call, id, asked) => {
      const path = containerPath(asked);
      const record = await find(call, id);
      const shown = await stat(call, id, record, path);
      return { stat: shown, tar: await files.read(call, record.id, path) };
    },
    containerExtract: async (call, id, asked, tar, { noOverwriteDirNonDir, copyUIDGID }) => {
      const path = containerPath(asked);
      const record = await find(call, id);
      const options = { keepKinds: noOverwriteDirNonDir ?? false, toUser: copyUIDGID ?? false };
      await named(files.write(call, record.id, path, tar, options), id, path);
    },
    containerChanges: async (call, id) => {
      const found: Json[] = [];
      for await (const { kind, path } of await files.changes(call, (await find(call, id)).id))
        found.push({ Path: path, Kind: kinds[kind] });
      return found;
    },
    containerExport: async (call, id) => files.export(call, (await find(call, id)).id),
    containerCommit: async (call, id, body, { repo, tag, comment, author, pause, changes }) => ({
      Id: await files.commit(call, (await find(call, id)).id, {
        ...(repo ? { reference: tag ? `${repo}:${tag}` : repo } : {}),
        ...(body === null || Object.keys(body).length === 0 ? {} : { config: body }),
        comment: comment ?? "",
        author: author ?? "",
        pause: pause ?? true,
        changes: changes ?? [],
      }),
    }),
  };
}

const kinds: Readonly<Record<Change["kind"], number>> = { modified: 0, added: 1, deleted: 2 };

/** As in Docker: absolute, without `..`, but the path's end keeps its meaning: `/` a directory, `/.` its contents. */
export function containerPath(path: string): string {
  if (path === "") throw fail("InvalidArgument", "bad parameter: path cannot be empty");
  const clean = posix.join("/", path);
  const bare = clean.length > 1 && clean.endsWith("/") ? clean.slice(0, -1) : clean;
  if (path === "." || path.endsWith("/.")) return bare === "/" ? "/." : `${bare}/.`;
  return path.endsWith("/") && bare !== "/" ? `${bare}/` : bare;
}

async function named<T>(work: Promise<T>, id: string, path: string): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!isTsboxError(error)) throw error;
    if (error.syscall !== undefined && error.errno === notADirectory)
      throw fail("InvalidArgument", `${path}: not a directory`, { cause: error });
    if (error.code !== "NotFound" || error.syscall === undefined) throw error;
    throw fail("NotFound", `Could not find the file ${path} in container ${id}`, { cause: error });
  }
}

const notADirectory = 20;

/** The kinds and bits of Go's os.FileMode, by stat(2)'s file type. */
const goKinds: ReadonlyMap<number, number> = new Map([
  [0o040000, 2 ** 31],
  [0o120000, 2 ** 27],
  [0o060000, 2 ** 26],
  [0o020000, 2 ** 26 + 2 ** 21],
  [0o010000, 2 ** 25],
  [0o140000, 2 ** 24],
]);
const goBits: readonly (readonly [number, number])[] = [
  [0o4000, 2 ** 23],
  [0o2000, 2 ** 22],
  [0o1000, 2 ** 20],
];

export function goMode(mode: number): number {
  const bits = goBits.reduce((sum, [bit, go]) => sum + (mode & bit ? go : 0), 0);
  return (goKinds.get(mode & 0o170000) ?? 0) + bits + (mode & 0o777);
}

/** The seconds of the first and the last year that Go's time has in JSON. A file on a tmpfs may have any 64-bit time. */
const [firstSecond, lastSecond] = [-62_135_596_800, 253_402_300_799];

export function showStat(path: string, { mode, size, mtime, target }: PathStat): Json {
  const seconds = Math.min(Math.max(mtime.seconds, firstSecond), lastSecond);
  const fraction = String(mtime.nanoseconds).padStart(9, "0").replace(/0+$/, "");
  return {
    name: path.endsWith("/.") ? "." : posix.basename(path) || "/",
    size,
    mode: goMode(mode),
    mtime: `${new Date(seconds * 1000).toISOString().slice(0, 19)}${fraction === "" ? "" : `.${fraction}`}Z`,
    linkTarget: target ?? "",
  };
}
