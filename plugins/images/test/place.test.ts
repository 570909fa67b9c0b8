/** References: which registry driver gets what, by the installed schemes and the drivers' powers. */
import { suite } from "@tsbox/harness";
import { fail, isTsboxError, type RegistryDriver, type RegistryPowers } from "@tsbox/kernel";
import * as assert from "uvu/assert";
import { isDockers, placeOf, type Registries } from "../src/place.ts";
import { call, drain, FakeRegistry, MemoryStorage, makeEngine, putImage } from "./engine.ts";

const test = suite("images: places");

const installed: Readonly<Record<string, readonly (keyof RegistryPowers)[]>> = {
  docker: ["names"],
  mirror: ["names"],
  host: ["local", "directories"],
  shelf: [],
};
const drivers = new Map(Object.entries(installed).map(([id, powers]) => [id, { id, powers } as unknown as RegistryDriver]));
const registries = (preferred: string | null = "docker"): Registries => ({
  schemes: Object.keys(installed),
  registry: async (scheme) => drivers.get(scheme) as RegistryDriver,
  preferredRegistry: async () => preferred,
});
const refusal = async (work: Promise<unknown>): Promise<readonly [string, string]> => {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  assert.ok(isTsboxError(error), String(error));
  return isTsboxError(error) ? [error.code, error.message] : ["", ""];
};

test("a reference goes to the driver of its scheme, or to the one for names", async () => {
  for (const [reference, id, ref, name] of [
    ["debian", "docker", "docker.io/library/debian:latest", "docker.io/library/debian:latest"],
    ["debian:12", "docker", "docker.io/library/debian:12", "docker.io/library/debian:12"],
    ["docker://debian", "docker", "docker.io/library/debian:latest", "docker.io/library/debian:latest"],
    ["mirror://debian", "mirror", "docker.io/library/debian:latest", "docker.io/library/debian:latest"],
    ["docker:20", "docker", "docker.io/library/docker:20", "docker.io/library/docker:20"],
    ["host:5000/a/b:1", "docker", "host:5000/a/b:1", "host:5000/a/b:1"],
    ["host:/", "host", "/", "host:/"],
    ["host:relative", "host", "relative", "host:relative"],
    ["shelf:QmABC", "shelf", "QmABC", "shelf:QmABC"],
    ["shelf://a b", "shelf", "//a b", "shelf://a b"],
  ] as const) {
    const place = await placeOf(registries(), reference);
    assert.equal([place.ref, place.name, await place.driver()], [ref, name, drivers.get(id)], reference);
    assert.is(isDockers(name), place.named !== null, name);
  }
  assert.is(await (await placeOf(registries("mirror"), "debian")).driver(), drivers.get("mirror"));
});

test("what nobody serves is refused in words", async () => {
  assert.equal(await refusal(placeOf(registries(), "ipfs:/x")), [
    "DriverMissing",
    "no registry driver is called ipfs; installed: docker, mirror, host, shelf",
  ]);
  assert.equal(await refusal(placeOf(registries(), "shelf:")), ["InvalidArgument", "shelf: names no image: give shelf:IMAGE"]);
  const pulled = async (preferred: string | null): Promise<unknown> => (await placeOf(registries(preferred), "debian")).driver();
  assert.equal((await refusal(pulled(null)))[0], "DriverMissing");
  assert.equal((await refusal(pulled("shelf")))[0], "FailedPrecondition");
});

test("a stranger's driver gets no logins; its image is pulled once, unless it is local", async (t) => {
  const [shelf, tray] = [new FakeRegistry([]), new FakeRegistry(["local"])];
  const { images } = await makeEngine(t, new MemoryStorage(), { shelf, tray });
  const access = { credentials: { username: "me", password: "secret" }, endpoints: [] };
  for (const other of [shelf, tray]) other.tops.set("a", putImage(other, ["one"]));
  assert.equal(await refusal(images.ensure(call, "shelf:a")), ["NotFound", "No such image: shelf:a"]);
  assert.equal(await refusal(images.get(call, "shelf:a")), ["NotFound", "No such image: shelf:a"]);
  await drain(images.pull(call, "shelf:a", { access }));
  assert.equal(shelf.access, { credentials: null, endpoints: [] });
  const first = await images.ensure(call, "tray:a");
  assert.is(first.id, (await images.get(call, "shelf:a")).id);
  assert.equal(first.tags, ["shelf:a", "tray:a"]);

  for (const other of [shelf, tray]) other.tops.set("a", putImage(other, ["two"]));
  assert.is((await images.ensure(call, "shelf:a")).id, first.id);
  assert.is.not((await images.ensure(call, "tray:a")).id, first.id);
  await images.remove(call, "shelf:a", { users: [] });
  assert.equal(
    (await images.list(call)).flatMap(({ tags }) => tags),
    ["tray:a"],
  );
});

test("an archive is offered to the drivers that read archives, one after another, and to no other", async (t) => {
  const [tray, zip] = [new FakeRegistry(["local"]), new FakeRegistry(["local", "archives"])];
  zip.resolve = async () => {
    throw fail("InvalidArgument", "no zip");
  };
  const { images, registry } = await makeEngine(t, new MemoryStorage(), { tray, zip });
  registry.tops.set("/a.tar", putImage(registry, ["one"]));
  const lines = await drain(images.load(call, "/a.tar"));
  assert.match(lines.join(), /^Loaded image ID: sha256:/);
  assert.is(tray.access, undefined);
  const none = await makeEngine(t, new MemoryStorage(), {}, []);
  assert.equal(await refusal(drain(none.images.load(call, "/a.tar"))), [
    "Unsupported",
    "no registry driver here reads archives: add the plugin of one",
  ]);
});
