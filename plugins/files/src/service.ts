/** The verbs of kernel/src/contract/services/files.ts. */
import { constants } from "node:os";
import { posix } from "node:path";
import { type Call, type Container, type ContainerId, type FilesService, fail, type IdMaps, isTsboxError } from "@tsbox/kernel";
import { changes } from "./changes.ts";
import { commit } from "./commit.ts";
import { type FilesEngine, publish, streamFiles, withFiles } from "./engine.ts";

export function filesService(engine: FilesEngine): FilesService {
  const { containers, host } = engine;
  const record = (call: Call, id: ContainerId): Promise<Container> => containers.get(call, id);
  return {
    stat: (call, id, path) => withFiles(engine, call, id, "read", (root) => host.lookUp(call, root, path)),
    read: async (call, id, path) => {
      const container = await record(call, id);
      await publish(engine, call, container, "archive-path");
      const options = { name: memberName(path), acrossMounts: true, ...mapsOf(container) };
      return streamFiles(engine, call, id, (root) => host.pack(call, root, path, options));
    },
    write: async (call, id, path, tar, options) => {
      const container = await record(call, id);
      refuseReadOnly(container, path);
      const { keepKinds = false, toUser = false } = options;
      await withFiles(engine, call, id, "write", async (root) => {
        const owner = toUser ? await containers.userIn(call, id, root) : null;
        await host.extract(call, root, path, tar, { keepKinds, ...(owner === null ? {} : { owner }), ...mapsOf(container) });
      }).catch((error: unknown) => {
        // A link led there, or a mount that the container has made.
        throw isTsboxError(error) && error.errno === constants.errno.EROFS ? readOnly(container.config.readOnlyRoot, error) : error;
      });
      await publish(engine, call, container, "extract-to-dir");
    },
    changes: async (call, id) => changes(engine, call, await record(call, id)),
    export: async (call, id) => {
      const container = await record(call, id);
      await publish(engine, call, container, "export");
      return streamFiles(engine, call, id, (root) => host.pack(call, root, "/.", mapsOf(container)));
    },
    size: async (call, id) => {
      const container = await record(call, id);
      return (await (await engine.storage(container.drivers.storage)).usage(call, container.layer)).bytes;
    },
    commit: async (call, id, options) => commit(engine, call, await record(call, id), options),
  };
}

/** Through the processes of a container in a user namespace, its files have host ids; these maps turn them back. */
const mapsOf = ({ idMaps }: Container): { readonly idMaps?: IdMaps } => (idMaps === null || idMaps === undefined ? {} : { idMaps });

/** As in Docker: the last name of the path; an empty name for the root. */
function memberName(path: string): string {
  const name = posix.basename(path);
  return name === "/" ? "" : name;
}

/** Refuses before anything is unpacked. Inside a mount, only the mount's own mode counts. */
function refuseReadOnly({ config, mounts }: Container, path: string): void {
  const inside = (target: string): boolean => path === target || path.startsWith(`${target.replace(/\/$/, "")}/`);
  const [mount] = mounts.filter((point) => inside(point.target)).sort((a, b) => b.target.length - a.target.length);
  if (mount?.readOnly === true) throw readOnly(false);
  if (config.readOnlyRoot && mount === undefined) throw readOnly(true);
}

const readOnly = (isRoot: boolean, cause?: unknown): Error =>
  fail("InvalidArgument", isRoot ? "container rootfs is marked read-only" : "mounted volume is marked read-only", { cause });
