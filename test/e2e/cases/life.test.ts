/**
 * A container's life under many requests at a time: each verb finds the state that the previous one left, and no container runs that the
 * list does not show.
 */
import { existsSync } from "node:fs";
import { type Case, needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { alive, binary, type Engine, engine, until } from "../src/engine.ts";
import { Api, sequence } from "../src/life.ts";

const test = suite("a container's life", { timeout: 180_000 });
const reason = needsRoot() ?? needsBusybox() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");
/** `LIFE_SEED=N` repeats one sequence, `LIFE_FROM=N` all sequences of the run that printed N. */
const { LIFE_SEED, LIFE_FROM } = process.env;

async function world(t: Case): Promise<{ readonly own: Engine; readonly api: Api }> {
  const own = await engine(t);
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  return { own, api: new Api(own) };
}

const config = { Image: "bb", Cmd: ["sleep", "1000"], HostConfig: { NetworkMode: "none" } };

test.skipIf(reason, "fifty sequences of random verbs from four clients: no answer that the model forbids, nothing left", async (t) => {
  const { own, api } = await world(t);
  const seed = Number(LIFE_SEED ?? LIFE_FROM ?? Math.floor(Math.random() * 2 ** 31));
  console.log(`LIFE_FROM=${seed}`);
  for (let at = 0; at < (LIFE_SEED === undefined ? 50 : 1); at += 1) await sequence(own, api, seed + at, "bb");
});

test.skipIf(reason, "kill answers when the container has ended, and the next request finds it so", async (t) => {
  const { api } = await world(t);
  const next: readonly (readonly [method: string, path: string, status: number])[] = [
    ["DELETE", "/containers/box", 204],
    ["POST", "/containers/box/stop", 304],
    ["POST", "/containers/box/restart", 204],
    ["POST", "/commit?container=box", 201],
    ["GET", "/containers/box/archive?path=/etc/passwd", 200],
    ["GET", "/containers/box/changes", 200],
    ["POST", "/containers/box/start", 204],
    ["POST", "/containers/box/kill", 409],
    ["POST", "/containers/box/pause", 409],
    ["POST", "/containers/box/update", 200],
  ];
  for (let round = 0; round < 3; round += 1)
    for (const [method, path, status] of next) {
      await api.ask("POST", "/containers/create?name=box", config);
      await api.ask("POST", "/containers/box/start");
      const before = JSON.parse((await api.ask("GET", "/containers/box/json"))?.body ?? "") as { State: { Pid: number } };
      assert.is((await api.ask("POST", "/containers/box/kill"))?.status, 204);
      assert.not(alive(before.State.Pid), "it is dead");
      const body = path.endsWith("update") ? { PidsLimit: 10 } : undefined;
      const answer = await api.ask(method, path, body);
      assert.is(answer?.status, status, `${method} ${path}: ${answer?.body}`);
      await api.ask("DELETE", "/containers/box?force=1");
    }
});

test.skipIf(reason, "a container that ends just then is committed, copied from and compared", async (t) => {
  const { api } = await world(t);
  const asked: readonly (readonly [method: string, path: string, status: number])[] = [
    ["POST", "/commit?container=box", 201],
    ["GET", "/containers/box/archive?path=/etc/passwd", 200],
    ["GET", "/containers/box/changes", 200],
    ["GET", "/containers/box/export", 200],
  ];
  for (let round = 0; round < 8; round += 1) {
    await api.ask("POST", "/containers/create?name=box", config);
    await api.ask("POST", "/containers/box/start");
    const killed = api.ask("POST", "/containers/box/kill");
    const answers = await Promise.all(asked.map(async ([method, path]) => (await api.ask(method, path))?.status));
    assert.is((await killed)?.status, 204);
    assert.equal(
      answers,
      asked.map(([, , status]) => status),
    );
    await api.ask("DELETE", "/containers/box?force=1");
  }
});

test.skipIf(reason, "rm beside start, rm -f beside restart: one of them wins, and nothing runs that no list shows", async (t) => {
  const { own, api } = await world(t);
  const pairs = [
    [
      ["DELETE", "/containers/box"],
      ["POST", "/containers/box/start"],
    ],
    [
      ["POST", "/containers/box/start"],
      ["DELETE", "/containers/box"],
    ],
    [
      ["POST", "/containers/box/restart?t=0"],
      ["DELETE", "/containers/box?force=1"],
    ],
    [
      ["DELETE", "/containers/box?force=1"],
      ["POST", "/containers/box/restart?t=0"],
    ],
  ] as const;
  for (let round = 0; round < 5; round += 1)
    for (const [one, other] of pairs) {
      await api.ask("POST", "/containers/create?name=box", config);
      if (other[1].includes("force") || one[1].includes("force")) await api.ask("POST", "/containers/box/start");
      const answers = await Promise.all([api.ask(one[0], one[1]), api.ask(other[0], other[1])]);
      for (const answer of answers) assert.ok([204, 404, 409].includes(answer?.status ?? 0), `${answer?.status} ${answer?.body}`);
      await api.ask("DELETE", "/containers/box?force=1");
      await until(() => own.shims().length === 0, "what runs to be what is listed");
    }
});

test.skipIf(reason, "one name belongs to one container, and every wait for an end is answered", async (t) => {
  const { api } = await world(t);
  for (let round = 0; round < 5; round += 1) {
    const made = await Promise.all(Array.from({ length: 6 }, () => api.ask("POST", "/containers/create?name=box", config)));
    assert.equal(made.map((answer) => answer?.status).sort(), [201, 409, 409, 409, 409, 409]);
    await Promise.all([api.ask("POST", "/containers/box/rename?name=other"), api.ask("DELETE", "/containers/box")]);
    await api.ask("DELETE", "/containers/other");
    assert.is((await api.ask("GET", "/containers/json?all=1"))?.body, "[]");
  }
  await api.ask("POST", "/containers/create?name=box", config);
  await api.ask("POST", "/containers/box/start");
  const patient = [
    api.ask("POST", "/containers/box/stop?t=-1"),
    api.ask("POST", "/containers/box/stop?t=100"),
    api.ask("POST", "/containers/box/wait"),
  ];
  assert.is((await api.ask("POST", "/containers/box/kill?signal=TERM"))?.status, 204, "whoever waits for the end stands in nobody's way");
  assert.is((await api.ask("POST", "/containers/box/kill"))?.status, 204);
  assert.equal(
    (await Promise.all(patient)).map((answer) => answer?.status),
    [204, 204, 200],
  );
});
