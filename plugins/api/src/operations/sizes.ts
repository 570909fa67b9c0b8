/** A container's size on disk, only on request: it takes a walk over its layer. */
import type { ApiService, Call, ContainerId, FilesService, ImagesService, Json } from "@tsbox/kernel";
import { asError, isTsboxError, parseContainerId } from "@tsbox/kernel";

type Sized = Pick<ApiService, "containerInspect" | "containerList">;

/**
 * The size of a container's own layer. As in Docker, -1 if it can't be determined; the error is shown for this container alone. Null: the
 * container was removed meanwhile.
 */
export async function ownSize(
  files: FilesService,
  call: Call,
  id: ContainerId,
): Promise<{ readonly bytes: number; readonly error?: string } | null> {
  try {
    return { bytes: await files.size(call, id) };
  } catch (error) {
    if (isTsboxError(error) && error.code === "NotFound") return null;
    call.signal.throwIfAborted();
    return { bytes: -1, error: asError(error).message };
  }
}

/** Both sizes in Docker's JSON; `TsboxSizeError` is an addition of tsbox. */
export const shownSizes = ({ bytes, error }: { readonly bytes: number; readonly error?: string }, below: number): Json => ({
  SizeRw: bytes,
  SizeRootFs: bytes < 0 ? -1 : bytes + below,
  ...(error === undefined ? {} : { TsboxSizeError: error }),
});

export function withSizes(verbs: Sized, images: ImagesService, files: FilesService): Sized {
  const sizes = async (call: Call, row: Json, image: unknown): Promise<Json> => {
    const own = (await ownSize(files, call, parseContainerId(String(row.Id)))) ?? { bytes: 0 };
    // An image that was removed by force has no size any more.
    const below = await images.get(call, String(image)).then(
      ({ size }) => size,
      () => 0,
    );
    return shownSizes(own, below);
  };
  return {
    containerInspect: async (call, id, options) => {
      const shown = await verbs.containerInspect(call, id, options);
      return options.size ? { ...shown, ...(await sizes(call, shown, shown.Image)) } : shown;
    },
    containerList: async (call, options) => {
      const rows = await verbs.containerList(call, options);
      if (!options.size) return rows;
      return Promise.all(rows.map(async (row) => ({ ...row, ...(await sizes(call, row, row.ImageID)) })));
    },
  };
}
