/** `commit`: the container's changes become a layer on top of its image, and its config becomes the new image's. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import {
  type Call,
  type CommitImage,
  type Container,
  cleanupCall,
  type Digest,
  fail,
  isTsboxError,
  type LayerFile,
  supports,
  withCleanup,
  withMounts,
} from "@tsbox/kernel";
import { withLook } from "./changes.ts";
import { configOf, merge } from "./config.ts";
import { baseOf, type FilesEngine, own, publish } from "./engine.ts";

let count = 0;

export async function commit(engine: FilesEngine, call: Call, record: Container, options: CommitImage): Promise<Digest> {
  if (record.status === "dead") throw fail("FailedPrecondition", `You cannot commit container ${record.id} which is Dead`);
  if (record.status === "removing") throw fail("FailedPrecondition", `You cannot commit container ${record.id} which is being removed`);
  const image = await engine.images.get(call, record.imageId);
  count += 1;
  const file: LayerFile = {
    path: join(engine.workDirectory, `commit-${process.pid}-${count}.tar`),
    mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
  };
  return withCleanup(async (cleanup) => {
    cleanup.always(() => rm(file.path, { force: true }));
    await paused(engine, call, record, options.pause ?? true, () => diff(engine, call, record, file));
    const config = configOf(record, image);
    const made = await engine.images.create(call, {
      parent: image.id,
      layer: file.path,
      changes: options.changes ?? [],
      config: options.config === undefined ? config : merge(options.config, config),
      author: options.author ?? "",
      comment: options.comment ?? "",
      createdBy: (record.config.command ?? []).join(" "),
      platform: null,
      reference: options.reference ?? null,
    });
    await publish(engine, call, record, "commit", {
      comment: options.comment ?? "",
      imageID: made.id,
      imageRef: options.reference ?? "",
    });
    return made.id;
  });
}

/**
 * Pauses the container while its tree is read: otherwise the image would mix states of different times. A container that has ended or is
 * already paused is not being written to.
 */
async function paused(engine: FilesEngine, call: Call, record: Container, wanted: boolean, work: () => Promise<void>): Promise<void> {
  if (!wanted || record.status !== "running") return work();
  await withCleanup(async (cleanup) => {
    try {
      await engine.containers.pause(call, record.id);
      cleanup.always(() => engine.containers.resume(cleanupCall(call), record.id).catch(unlessChanged));
    } catch (error) {
      unlessChanged(error);
    }
    await work();
  });
}

/** Ignores that the container was ended, paused, resumed or removed meanwhile. */
function unlessChanged(error: unknown): void {
  const changed = ["containers/not-running", "containers/already-paused", "containers/not-paused"];
  if (!isTsboxError(error) || (error.code !== "NotFound" && !changed.includes(error.reason ?? ""))) throw error;
}

async function diff(engine: FilesEngine, call: Call, record: Container, into: LayerFile): Promise<void> {
  const storage = await engine.storage(record.drivers.storage);
  const base = await baseOf(engine, call, record);
  if (supports(storage, "diff")) {
    await storage.diff(call, base, record.layer, into, { own });
    return;
  }
  const upper = await storage.mounts(call, record.layer, { readOnly: true });
  await withMounts(call, engine.host, upper, (root) =>
    base === null
      ? engine.host.diff(call, null, root, into, { own })
      : withLook(engine, call, storage, base, (below) => engine.host.diff(call, below, root, into, { own })),
  );
}
