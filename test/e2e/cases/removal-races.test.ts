/** Networks and volumes that are removed while containers claim them: acknowledged results hold, and no answer is a 500. */
import { existsSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { type Case, needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { binary, engine } from "../src/engine.ts";
import { Api } from "../src/life.ts";

const test = suite("removal races", { timeout: 180_000 });
const reason = needsRoot() ?? needsBusybox() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");
const rounds = 40;

interface World {
  /** Fails unless the answer's status is one of these. */
  ask(
    method: string,
    path: string,
    body: unknown,
    ...statuses: readonly number[]
  ): Promise<{ readonly status: number; readonly body: string }>;
}

async function world(t: Case): Promise<World> {
  const own = await engine(t);
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  const api = new Api(own);
  return {
    async ask(method, path, body, ...statuses) {
      const answer = await api.ask(method, path, body);
      assert.ok(answer !== null && statuses.includes(answer.status), `${method} ${path}: ${answer?.status} ${answer?.body}`);
      return answer;
    },
  };
}

/** Starts all at once. Each round delays the removal by some tenths of a millisecond more, so that it meets each stage of the others. */
async function meet<T>(round: number, removal: () => Promise<T>, others: readonly (() => Promise<T>)[]): Promise<readonly T[]> {
  const late = pause(round % 20).then(removal);
  return [await late, ...(await Promise.all(others.map((other) => other())))].slice(1) as T[];
}

test.skipIf(reason, "a network that containers join is there afterwards, or they were refused", async (t) => {
  const { ask } = await world(t);
  const config = { Image: "bb", Cmd: ["sleep", "1000"], HostConfig: { NetworkMode: "lan" } };
  for (let round = 0; round < rounds; round += 1) {
    const made = await Promise.all([1, 2].map(() => ask("POST", "/networks/create", { Name: "lan" }, 201, 409)));
    assert.equal(made.map(({ status }) => status).sort(), [201, 409], "one name, one network");
    await ask("POST", "/networks/create", { Name: "other" }, 201);
    for (const name of ["one", "two"]) await ask("POST", `/containers/create?name=${name}`, config, 201);
    const [one, two] = await meet(round, () => ask("DELETE", "/networks/lan", undefined, 204, 403), [
      () => ask("POST", "/containers/one/start", undefined, 204, 404),
      () => ask("POST", "/containers/two/start", undefined, 204, 404),
      () => ask("DELETE", "/networks/other", undefined, 204),
      () => ask("POST", "/networks/create", { Name: "lan" }, 201, 409),
      () => ask("POST", "/networks/prune", undefined, 200),
    ]);
    const there = (JSON.parse((await ask("GET", "/networks", undefined, 200)).body) as readonly { Id: string; Name: string }[]).filter(
      ({ Name }) => Name === "lan",
    );
    assert.ok(there.length <= 1, "one name, one network");
    for (const [name, answer] of [
      ["one", one],
      ["two", two],
    ] as const) {
      if (answer?.status !== 204) continue;
      const { NetworkSettings } = JSON.parse((await ask("GET", `/containers/${name}/json`, undefined, 200)).body) as {
        readonly NetworkSettings: { readonly Networks: Readonly<Record<string, { readonly NetworkID: string }>> };
      };
      assert.is(NetworkSettings.Networks.lan?.NetworkID, there[0]?.Id, `round ${round}: ${name} runs on a network that is not there`);
      await ask("DELETE", "/networks/lan", undefined, 403);
    }
    for (const name of ["one", "two"]) await ask("DELETE", `/containers/${name}?force=1`, undefined, 204);
    await ask("DELETE", "/networks/lan", undefined, 204, 404);
  }
});

test.skipIf(reason, "a volume that a container was made with is there afterwards", async (t) => {
  const { ask } = await world(t);
  const config = { Image: "bb", Cmd: ["sleep", "1000"], HostConfig: { NetworkMode: "none", Binds: ["data:/data"] } };
  for (let round = 0; round < rounds; round += 1) {
    await ask("POST", "/volumes/create", { Name: "data" }, 201);
    await meet(round, () => ask("DELETE", "/volumes/data", undefined, 204, 409), [
      () => ask("POST", "/containers/create?name=one", config, 201),
      () => ask("POST", "/containers/create?name=two", config, 201),
      () => ask("POST", "/volumes/create", { Name: "data" }, 201),
      () => ask("POST", "/volumes/prune", undefined, 200),
    ]);
    await ask("GET", "/volumes/data", undefined, 200);
    await ask("DELETE", "/volumes/data", undefined, 409);
    for (const name of ["one", "two"]) await ask("DELETE", `/containers/${name}`, undefined, 204);
    await ask("DELETE", "/volumes/data", undefined, 204);
  }
});

test.skipIf(reason, "a container that takes another one's volumes while that one is removed has them, or is refused", async (t) => {
  const { ask } = await world(t);
  for (let round = 0; round < rounds; round += 1) {
    const host = { NetworkMode: "none" };
    await ask("POST", "/containers/create?name=one", { Image: "bb", Cmd: ["true"], Volumes: { "/data": {} }, HostConfig: host }, 201);
    const heir = { Image: "bb", Cmd: ["true"], HostConfig: { ...host, VolumesFrom: ["one"] } };
    const [made] = await meet(round % 8, () => ask("DELETE", "/containers/one?v=1", undefined, 204), [
      () => ask("POST", "/containers/create?name=two", heir, 201, 400, 404),
    ]);
    if (made?.status !== 201) continue;
    const { Mounts } = JSON.parse((await ask("GET", "/containers/two/json", undefined, 200)).body) as {
      readonly Mounts: readonly { readonly Name: string }[];
    };
    for (const { Name } of Mounts) await ask("GET", `/volumes/${Name}`, undefined, 200);
    await ask("DELETE", "/containers/two?v=1", undefined, 204);
  }
});
