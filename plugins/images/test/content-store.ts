/** The content service as its contract has it, without fsync: broken downloads are kept by digest. */
import { createHash } from "node:crypto";
import { existsSync, linkSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BlobInfo, type ContentService, type Digest, fail } from "@tsbox/kernel";

export async function contentStore(directory: string): Promise<ContentService> {
  const file = (digest: Digest): string => join(directory, digest);
  const partial = (digest: Digest): string => `${file(digest)}.part`;
  const info = (digest: Digest): BlobInfo | null => (existsSync(file(digest)) ? { digest, size: statSync(file(digest)).size } : null);
  const known = (digest: Digest): string => {
    if (!existsSync(file(digest))) throw fail("NotFound", `no blob ${digest}`);
    return file(digest);
  };
  const arriving = new Map<Digest, number>();
  let followers = 0;
  return {
    stat: async (_call, digest) => info(digest),
    path: async (_call, digest) => known(digest),
    read: async (_call, digest) => readFileSync(known(digest)),
    offset: async (_call, digest) => (existsSync(partial(digest)) ? statSync(partial(digest)).size : 0),
    ingest: async (_call, { digest, size }, from, bytes) => {
      if (digest === undefined || size === undefined) throw fail("Unsupported", "images know what they ask for");
      const there = info(digest);
      if (there) return there;
      let got: Buffer = from === 0 ? Buffer.alloc(0) : readFileSync(partial(digest)).subarray(0, from);
      const write = (): void => writeFileSync(partial(digest), got);
      write();
      arriving.set(digest, size);
      try {
        for await (const part of bytes) {
          got = Buffer.concat([got, part]);
          write();
        }
      } finally {
        write();
        arriving.delete(digest);
      }
      if (got.length !== size || `sha256:${createHash("sha256").update(got).digest("hex")}` !== digest) {
        rmSync(partial(digest));
        throw fail("DataLoss", `what came for ${digest} is something else`);
      }
      renameSync(partial(digest), file(digest));
      return { digest, size };
    },
    follow: async (_call, digest) => {
      const size = arriving.get(digest);
      if (size === undefined) return null;
      followers += 1;
      linkSync(partial(digest), `${file(digest)}.${followers}.part`);
      return { path: `${file(digest)}.${followers}.part`, size };
    },
    unfollow: async (_call, path) => rmSync(path, { force: true }),
    remove: async (_call, digest) => rmSync(file(digest), { force: true }),
    unfinished: async () => ({ count: 0, bytes: 0 }),
    list: async () =>
      (async function* () {
        for (const name of readdirSync(directory)) {
          const found = name.endsWith(".part") ? null : info(name as Digest);
          if (found) yield found;
        }
      })(),
  };
}
