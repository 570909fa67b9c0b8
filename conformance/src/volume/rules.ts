/** The rules of the volume contract, one for each promise. */
import { isTsboxError, type Mount } from "@tsbox/kernel";
import { expect, expectCode, type Rule } from "../rule.ts";
import type { VolumeWorld } from "./world.ts";

const same = (found: unknown, wanted: unknown, what: string): void =>
  expect(JSON.stringify(found) === JSON.stringify(wanted), `${what}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);

async function listed({ driver, call }: VolumeWorld): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const name of await driver.list(call)) names.push(name);
  return names.sort();
}
/** Everything that the driver reports. */
async function reported(world: VolumeWorld): Promise<string> {
  const states = [];
  for (const name of await listed(world)) states.push([name, (await world.driver.stat(world.call, name)).users]);
  return JSON.stringify(states);
}
async function made(world: VolumeWorld, name: string, content?: string): Promise<Mount> {
  const { driver, call, users, write } = world;
  await driver.create(call, name, {});
  const mount = await driver.attach(call, name, users[0]);
  if (content !== undefined) await write(mount, "file", content);
  return mount;
}

export const volumeRules: readonly Rule<VolumeWorld>[] = [
  {
    id: "volume/fresh-is-empty",
    contract: "VolumeDriver.create",
    title: "a new volume is there, empty, and has no user",
    async run(world) {
      const { driver, call, users } = world;
      same(await listed(world), [], "before");
      await driver.create(call, "one", {});
      same(await listed(world), ["one"], "list");
      same((await driver.stat(call, "one")).users, [], "users");
      const mount = await driver.attach(call, "one", users[0]);
      same(await world.read(mount), {}, "content");
      expect(mount.target === null, "a volume's mount has no target of its own: the container's is the engine's business");
    },
  },
  {
    id: "volume/name-unsafe",
    contract: "Names are safe as file names",
    title: "a name that is not safe as a file name is InvalidArgument",
    async run(world) {
      const { driver, call } = world;
      for (const bad of ["", "a", ".", "..", ".hidden", "-a", "a/b", "../a", "/abs", "a b", "a\n", "a\0b", "x".repeat(201)])
        await expectCode(driver.create(call, bad, {}), "InvalidArgument");
      same(await listed(world), [], "list");
      for (const good of ["ab", "A-Z.a_z-0", "0".repeat(64), "x".repeat(200)]) await driver.create(call, good, {});
    },
  },
  {
    id: "volume/name-taken",
    contract: "a taken one `AlreadyExists`",
    title: "a name that is taken is AlreadyExists, and what is there stays",
    async run(world) {
      const { driver, call } = world;
      const mount = await made(world, "one", "kept");
      await expectCode(driver.create(call, "one", {}), "AlreadyExists");
      same(await world.read(mount), { file: "kept" }, "content");
    },
  },
  {
    id: "volume/name-unknown",
    contract: "An unknown name is `NotFound`",
    title: "what is not there is NotFound for every verb",
    async run({ driver, call, users }) {
      await expectCode(driver.remove(call, "none"), "NotFound");
      await expectCode(driver.attach(call, "none", users[0]), "NotFound");
      await expectCode(driver.detach(call, "none", users[0]), "NotFound");
      await expectCode(driver.stat(call, "none"), "NotFound");
      await expectCode(driver.usage(call, "none"), "NotFound");
    },
  },
  {
    id: "volume/option-unknown",
    contract: "an option that the driver does not know or can't carry out",
    title: "an option that the driver does not know is InvalidArgument, and nothing is made",
    async run(world) {
      const { driver, call } = world;
      await expectCode(driver.create(call, "one", { "tsbox-conformance-nonsense": "1" }), "InvalidArgument");
      same(await listed(world), [], "list");
    },
  },
  {
    id: "volume/no-quota",
    contract: "an option that the driver does not know or can't carry out",
    title: "a driver without quotas refuses a size instead of forgetting it",
    without: ["quota"],
    async run(world) {
      await expectCode(world.driver.create(world.call, "one", { size: "1m" }), "InvalidArgument", "Unsupported");
      same(await listed(world), [], "list");
    },
  },
  {
    id: "volume/quota",
    contract: "VolumePowers.quota",
    title: "with quotas, a write beyond the size is refused",
    needs: ["quota"],
    async run(world) {
      const { driver, call, users } = world;
      await driver.create(call, "one", { size: "1m" });
      const mount = await driver.attach(call, "one", users[0]);
      await world.write(mount, "small", "x");
      const refused = await world.write(mount, "big", "x".repeat(4 << 20)).then(
        () => false,
        () => true,
      );
      expect(refused, "four megabytes went into one");
    },
  },
  {
    id: "volume/outlives-users",
    contract: "A volume driver keeps named trees that outlive containers",
    title: "what one user wrote the next one reads, after the first has gone",
    async run(world) {
      const { driver, call, users } = world;
      await made(world, "one", "left behind");
      await driver.detach(call, "one", users[0]);
      same(await world.read(await driver.attach(call, "one", users[1])), { file: "left behind" }, "content");
    },
  },
  {
    id: "volume/shared",
    contract: "many users may have a volume attached at a time",
    title: "several users at a time see one tree, and it stays while one is left",
    async run(world) {
      const { driver, call, users } = world;
      const first = await made(world, "one", "from the first");
      const second = await driver.attach(call, "one", users[1]);
      same(await world.read(second), { file: "from the first" }, "the second user");
      await world.write(second, "other", "from the second");
      same(await world.read(first), { file: "from the first", other: "from the second" }, "the first user");
      same([...(await driver.stat(call, "one")).users].sort(), [users[0], users[1]].sort(), "users");
      await driver.detach(call, "one", users[0]);
      same(
        await world.read(await driver.attach(call, "one", users[1])),
        { file: "from the first", other: "from the second" },
        "afterwards",
      );
    },
  },
  {
    id: "volume/apart",
    contract: "VolumeDriver.create",
    title: "two volumes are two trees",
    async run(world) {
      await made(world, "one", "mine");
      same(await world.read(await made(world, "two")), {}, "the other");
    },
  },
  {
    id: "volume/attach-again",
    contract: "the same user may repeat `attach` and `detach` any number of times",
    title: "a user may attach and detach again: it counts once",
    async run(world) {
      const { driver, call, users } = world;
      await made(world, "one", "kept");
      same(await world.read(await driver.attach(call, "one", users[0])), { file: "kept" }, "attached again");
      same((await driver.stat(call, "one")).users, [users[0]], "users");
      await driver.detach(call, "one", users[0]);
      same((await driver.stat(call, "one")).users, [], "users");
      await driver.detach(call, "one", users[0]);
      await driver.detach(call, "one", users[2]);
    },
  },
  {
    id: "volume/remove-attached",
    contract: "VolumeDriver.remove",
    title: "an attached volume is not removed, and loses nothing",
    async run(world) {
      const { driver, call, users } = world;
      const mount = await made(world, "one", "in use");
      await driver.attach(call, "one", users[1]);
      await driver.detach(call, "one", users[0]);
      await expectCode(driver.remove(call, "one"), "FailedPrecondition");
      same(await world.read(mount), { file: "in use" }, "content");
      await driver.detach(call, "one", users[1]);
      await driver.remove(call, "one");
      same(await listed(world), [], "list");
    },
  },
  {
    id: "volume/remove-once",
    contract: "a finished `remove` is `NotFound`",
    title: "what was removed is NotFound, and its name is free again and empty",
    async run(world) {
      const { driver, call, users } = world;
      await made(world, "one", "old");
      await driver.detach(call, "one", users[0]);
      await driver.remove(call, "one");
      await expectCode(driver.remove(call, "one"), "NotFound");
      await expectCode(driver.attach(call, "one", users[0]), "NotFound");
      same(await world.read(await made(world, "one")), {}, "made again");
    },
  },
  {
    id: "volume/refused-changes-nothing",
    contract: "A refused verb changes nothing",
    title: "a refused verb leaves everything as it was",
    async run(world) {
      const { driver, call, users } = world;
      await made(world, "one");
      const before = await reported(world);
      await expectCode(driver.create(call, "one", {}), "AlreadyExists");
      await expectCode(driver.create(call, "../two", {}), "InvalidArgument");
      await expectCode(driver.remove(call, "one"), "FailedPrecondition");
      await expectCode(driver.attach(call, "two", users[0]), "NotFound");
      expect((await reported(world)) === before, `it reports ${await reported(world)} instead of ${before}`);
    },
  },
  {
    id: "volume/crash-keeps",
    contract: "Attachments outlive the daemon",
    title: "after the engine's death everything is where it was, users too",
    async run(world) {
      const { call, users } = world;
      await made(world, "one", "kept");
      await world.driver.create(call, "gone", {});
      await world.driver.remove(call, "gone");
      const before = await reported(world);
      await world.crash();
      expect((await reported(world)) === before, `it reports ${await reported(world)} instead of ${before}`);
      await expectCode(world.driver.remove(call, "one"), "FailedPrecondition");
      await expectCode(world.driver.create(call, "one", {}), "AlreadyExists");
      await expectCode(world.driver.remove(call, "gone"), "NotFound");
      same(await world.read(await world.driver.attach(call, "one", users[0])), { file: "kept" }, "content");
    },
  },
  {
    id: "volume/reboot-forgets-users",
    contract: "after a restart of the host there are none",
    title: "after a restart of the host nothing is attached, and the data is there",
    async run(world) {
      const { call, users } = world;
      await made(world, "one", "kept");
      await world.reboot();
      same((await world.driver.stat(call, "one")).users, [], "users");
      same(await world.read(await world.driver.attach(call, "one", users[1])), { file: "kept" }, "content");
      await world.driver.detach(call, "one", users[1]);
      await world.driver.remove(call, "one");
    },
  },
  {
    id: "volume/create-race",
    contract: "a taken one `AlreadyExists`",
    title: "of two that create one name at the same time, one is refused",
    async run(world) {
      const { driver, call } = world;
      for (let round = 0; round < 10; round += 1) {
        const results = await Promise.allSettled([driver.create(call, `v${round}`, {}), driver.create(call, `v${round}`, {})]);
        const done = results.filter(({ status }) => status === "fulfilled").length;
        expect(done === 1, `${done} of the two were done`);
      }
    },
  },
  {
    id: "volume/remove-race",
    contract: "VolumeDriver.remove",
    title: "of a remove and an attach at the same time, one is refused, or the attach came after a remove and finds nothing",
    async run(world) {
      const { driver, call, users } = world;
      for (let round = 0; round < 10; round += 1) {
        const name = `v${round}`;
        await driver.create(call, name, {});
        const verbs: (() => Promise<unknown>)[] = [() => driver.remove(call, name), () => driver.attach(call, name, users[0])];
        const results = await Promise.allSettled((round % 2 === 0 ? verbs : verbs.reverse()).map((verb) => verb()));
        const done = results.filter(({ status }) => status === "fulfilled").length;
        expect(done === 1, `${done} of the two were done`);
        if ((await listed(world)).includes(name)) await driver.detach(call, name, users[0]);
      }
    },
  },
  {
    id: "volume/side-by-side",
    contract: "VolumeDriver.create",
    title: "verbs for different names run at the same time",
    async run(world) {
      const { driver, call, users } = world;
      const names = Array.from({ length: 16 }, (_, at) => `volume-${at}`);
      await Promise.all(names.map((name) => made(world, name, name)));
      for (const name of names) same(await world.read(await driver.attach(call, name, users[0])), { file: name }, name);
      await Promise.all(names.map((name) => driver.detach(call, name, users[0])));
      await Promise.all(names.map((name) => driver.remove(call, name)));
      same(await listed(world), [], "list");
    },
  },
  {
    id: "volume/usage",
    contract: "VolumeDriver.usage",
    title: "usage grows with what is written, or is said to be unknown",
    async run(world) {
      const { driver, call } = world;
      const mount = await made(world, "one");
      const ask = (): Promise<number | null> =>
        driver.usage(call, "one").then(
          ({ bytes }) => bytes,
          (error: unknown) => {
            expect(isTsboxError(error) && error.code === "Unsupported", `usage is neither a number nor Unsupported: ${String(error)}`);
            return null;
          },
        );
      const before = await ask();
      await world.write(mount, "big", "x".repeat(1_000_000));
      const after = await ask();
      if (before !== null && after !== null)
        expect(after - before >= 1_000_000, `a megabyte more, but usage grew by ${after - before} bytes`);
    },
  },
  {
    id: "volume/leaves-no-mount",
    contract: "VolumeState.mountpoint",
    title: "nothing is mounted on the host for a volume that is not attached",
    async run(world) {
      const { driver, call, users } = world;
      await made(world, "one", "x");
      await driver.detach(call, "one", users[0]);
      same(world.onHost(), [], "mounts");
      await driver.remove(call, "one");
      same(world.onHost(), [], "mounts");
    },
  },
];
