/** What a container takes on disk, for those who ask: it is a walk over its layer. */
import type { ApiService, Call, FilesService, ImagesService, Json } from "@tsbox/kernel";
import { parseContainerId } from "@tsbox/kernel";

type Sized = Pick<ApiService, "containerInspect" | "containerList">;

export function withSizes(verbs: Sized, images: ImagesService, files: FilesService): Sized {
  const sizes = async (call: Call, row: Json, image: unknown): Promise<Json> => {
    const own = await files.size(call, parseContainerId(String(row.Id)));
    // An image that was removed by force has no size any more.
    const below = await images.get(call, String(image)).then(
      ({ size }) => size,
      () => 0,
    );
    return { SizeRw: own, SizeRootFs: own + below };
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
