/** Docker's volume operations. */
import {
  type ApiService,
  type Call,
  type ContainerId,
  type EventsService,
  isTsboxError,
  type Json,
  type Strings,
  type Volume,
  type VolumesService,
} from "@tsbox/kernel";
import { hasLabel, matches, truth } from "./filters.ts";
import { seconds } from "./time.ts";

type VolumeVerbs = Pick<ApiService, "volumeList" | "volumeInspect" | "volumeCreate" | "volumeRemove" | "volumePrune">;

export function volumeVerbs(volumes: VolumesService, events: EventsService): VolumeVerbs {
  return {
    volumeList: async (call, { filters }) => {
      const all = await volumes.list(call);
      const used = new Map<string, readonly ContainerId[]>();
      for (const { name } of all) used.set(name, await volumes.users(call, name));
      const wanted = matches<Volume>(filters, {
        name: (volume, value) => volume.name.includes(value),
        driver: (volume, value) => volume.driver === value,
        label: (volume, value) => hasLabel(volume.labels, value),
        dangling: (volume, value) => ((used.get(volume.name) ?? []).length === 0) === truth("dangling", value),
      });
      return { Volumes: all.filter(wanted).map(showVolume), Warnings: null };
    },
    volumeInspect: async (call, name) => showVolume(await volumes.get(call, name)),
    volumeCreate: async (call, body) => {
      const text = (key: string): string => (typeof body[key] === "string" ? body[key] : "");
      const strings = (key: string): Strings => (body[key] ?? {}) as Strings;
      const name = text("Name");
      const made = await volumes.create(call, {
        name: name === "" ? null : name,
        ...(text("Driver") === "" ? {} : { driver: text("Driver") }),
        options: strings("DriverOpts"),
        labels: strings("Labels"),
      });
      return showVolume(made);
    },
    volumeRemove: (call, name, { force = false }) => volumes.remove(call, name, { force }),
    volumePrune: async (call, { filters = {} }) => {
      const { all = [], ...rest } = filters;
      const wanted = matches<Volume>(rest, {
        label: (volume, value) => hasLabel(volume.labels, value),
        "label!": (volume, value) => !hasLabel(volume.labels, value),
      });
      const everything = all.some((value) => truth("all", value));
      const going = (await volumes.list(call)).filter((volume) => (everything || volume.anonymous) && wanted(volume));
      const deleted: string[] = [];
      let reclaimed = 0;
      for (const { name } of going) {
        const bytes = await removed(volumes, call, name);
        if (bytes === null) continue;
        deleted.push(name);
        reclaimed += bytes;
      }
      await events.publish(call, { type: "volume", action: "prune", id: "", attributes: { reclaimed: String(reclaimed) } });
      return { VolumesDeleted: deleted.length > 0 ? deleted : null, SpaceReclaimed: reclaimed };
    },
  };
}

/** The bytes that were freed; null: the volume is in use. */
async function removed(volumes: VolumesService, call: Call, name: string): Promise<number | null> {
  if ((await volumes.users(call, name)).length > 0) return null;
  try {
    const usage = await volumes.usage(call, name);
    await volumes.remove(call, name, {});
    return usage?.bytes ?? 0;
  } catch (error) {
    if (isTsboxError(error) && (error.code === "Conflict" || error.code === "NotFound")) return null;
    throw error;
  }
}

export function showVolume(volume: Volume): Json {
  return {
    CreatedAt: seconds(volume.createdAt),
    Driver: volume.driver,
    Labels: Object.keys(volume.labels).length > 0 ? volume.labels : null,
    Mountpoint: volume.mountpoint,
    Name: volume.name,
    Options: Object.keys(volume.options).length > 0 ? volume.options : null,
    Scope: "local",
  };
}
