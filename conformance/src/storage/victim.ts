/**
 * The process that is killed: it opens the driver over a directory of the suite, repeats one verb with new keys, and reports its progress
 * on standard output: `begin N`, then `done N`. Arguments: the driver's module, its id, the directory, the verb, a layer file, the plugin's
 * config as JSON.
 */
import { writeSync } from "node:fs";
import { createCall, type Plugin, silentLog, supports, withMounts } from "@tsbox/kernel";
import { shareKernel } from "@tsbox/kernel/one-kernel";
import { openDriver } from "../plugin-subject.ts";
import { openToolkit } from "../toolkit.ts";
import { editDirectory } from "./plain.ts";
import { active, named, viewKey } from "./words.ts";

const [module = "", id = "", directory = "", verb = "", layer = "", config = "null"] = process.argv.slice(2);
shareKernel();
const { default: plugin } = (await import(module)) as { readonly default: Plugin };
const toolkit = await openToolkit();
if ("skip" in toolkit) throw new Error(toolkit.skip);
const { value: driver } = await openDriver(plugin, "storage", id, {
  directory,
  services: { host: toolkit.host },
  config: JSON.parse(config) ?? undefined,
});
const call = createCall(silentLog);
const parent = named("parent");
const say = (line: string): number => writeSync(1, `${line}\n`);

const verbs: Readonly<Record<string, (at: number) => Promise<unknown>>> = {
  prepare: (at) => driver.prepare(call, active(`prepare${at}`), parent),
  view: (at) => driver.view(call, viewKey(`view${at}`), parent),
  commit: (at) => driver.commit(call, named(`commit${at}`), active(`before${at}`)),
  remove: (at) => driver.remove(call, active(`before${at}`)),
  apply: async (at) => {
    if (supports(driver, "apply"))
      await driver.apply(call, active(`before${at}`), { path: layer, mediaType: "application/vnd.oci.image.layer.v1.tar" });
  },
};
for (let at = 0; ; at += 1) {
  if (verb !== "prepare" && verb !== "view") {
    const mounts = await driver.prepare(call, active(`before${at}`), verb === "apply" ? null : parent);
    if (verb !== "apply")
      await withMounts(call, toolkit.host, mounts, async (root) =>
        editDirectory(root, [{ op: "write", path: "mine", content: `number ${at}` }]),
      );
  }
  say(`begin ${at}`);
  await verbs[verb]?.(at);
  say(`done ${at}`);
}
