/** Lists, their filters and formats, events, and the network commands, with our client and docker's. */
import { existsSync } from "node:fs";
import { needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { docker, dockerClient } from "../src/docker.ts";
import { binary, type Engine, engine, until } from "../src/engine.ts";

const test = suite("lists and events", { timeout: 180_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");

/** Five containers: one that runs with all options that lists show, the others in other states. */
async function world(own: Engine): Promise<void> {
  await own.ok(["create", "--name", "first", "--net", "none", "--label", "tier=old", "host:/", "true"]);
  await own.ok(["tag", "host:/", "machine:1"]);
  await own.ok([
    ...["run", "-d", "--name", "web", "-p", "127.0.0.1:18473:80", "--expose", "9000", "-v", "data:/data"],
    ...["--label", "tier=front", "--label", "team=a", "machine:1", "sleep", "1000"],
  ]);
  await own.ok(["run", "-d", "--name", "db", "--net", "none", "--label", "tier=back", "host:/", "sleep", "1000"]);
  await own.run(["run", "--name", "failed", "--net", "none", "host:/", "sh", "-c", "exit 3"]);
  await own.ok(["run", "-d", "--name", "still", "--net", "none", "host:/", "sleep", "1000"]);
  await own.ok(["pause", "still"]);
}

const cases: readonly (readonly [flags: readonly string[], names: string])[] = [
  [[], "still db web"],
  [["-a"], "still failed db web first"],
  [["-n", "2"], "still failed"],
  [["-l"], "still"],
  [["-f", "status=exited"], "failed"],
  [["-f", "status=paused", "-f", "status=created"], "still first"],
  [["-a", "-f", "exited=3"], "failed"],
  [["-a", "-f", "exited=0"], ""],
  [["-f", "name=^db$"], "db"],
  [["-a", "-f", "name=i"], "still failed first"],
  [["-a", "-f", "label=tier"], "db web first"],
  [["-f", "label=tier=front", "-f", "label=team"], "web"],
  [["-f", "label=tier=front", "-f", "label=team=b"], ""],
  [["-f", "ancestor=machine:1"], "still db web"],
  [["-f", "ancestor=no-such-image"], ""],
  [["-a", "-f", "before=db"], "web first"],
  [["-a", "-f", "since=db"], "still failed"],
  [["-f", "volume=data"], "web"],
  [["-f", "volume=/data"], "web"],
  [["-f", "network=bridge"], "web"],
  [["-f", "publish=18473"], "web"],
  [["-f", "publish=18470-18480/tcp"], "web"],
  [["-f", "publish=18473/udp"], ""],
  [["-f", "expose=9000"], "web"],
  [["-f", "expose=8999-9001/tcp"], "web"],
  [["-f", "health=none"], "still db web"],
  [["-f", "is-task=true"], ""],
];

test.skipIf(reason ?? docker.reason, "ps: every filter, ours as docker's own", async (t) => {
  const own = await engine(t);
  await world(own);
  const format = ["--format", "{{.Names}}"];
  for (const [flags, names] of cases) {
    const wanted = names === "" ? "" : `${names.split(" ").join("\n")}\n`;
    assert.is(await own.ok(["ps", ...format, ...flags]), wanted, `tsbox ps ${flags.join(" ")}`);
    assert.is((await dockerClient(own, ["ps", ...format, ...flags])).stdout, wanted, `docker ps ${flags.join(" ")}`);
  }
  const { Id } = await own.inspect("web");
  assert.is(await own.ok(["ps", "-q", "-f", `id=${Id.slice(0, 20)}`]), `${Id.slice(0, 12)}\n`);
  assert.is(await own.ok(["ps", "-q", "--no-trunc", "-f", "name=web"]), `${Id}\n`);
  for (const wrong of ["status=nonsense", "exited=x", "health=well", "publish=x", "nonsense=1", "before=nobody"]) {
    const ran = await own.run(["ps", "-f", wrong]);
    assert.is(ran.code, 1, wrong);
    assert.match(ran.stderr, /^tsbox: (invalid filter|No such container)/);
  }
});

test.skipIf(reason ?? docker.reason, "ps: tables, templates and JSON are docker's to the letter", async (t) => {
  const own = await engine(t);
  await world(own);
  for (const flags of [
    ["--format", "{{.ID}} {{.Image}} {{.Command}} {{.Ports}} {{.State}} {{.Networks}} {{.LocalVolumes}} {{.Mounts}} {{.CreatedAt}}"],
    ["-a", "--no-trunc", "--format", "{{.ID}} {{.Command}} {{.Names}}"],
    ["--format", 'table {{.Names}}\t{{.Label "tier"}}\t{{.Ports}}'],
    ["-f", "name=web", "--format", "{{json .Ports}}"],
  ])
    assert.is(await own.ok(["ps", ...flags]), (await dockerClient(own, ["ps", ...flags])).stdout, flags.join(" "));
  const json = JSON.parse(await own.ok(["ps", "-f", "name=web", "--format", "json"])) as Readonly<Record<string, string>>;
  const theirs = JSON.parse((await dockerClient(own, ["ps", "-f", "name=web", "--format", "json"])).stdout) as Readonly<
    Record<string, string>
  >;
  for (const key of ["Command", "CreatedAt", "ID", "Image", "LocalVolumes", "Mounts", "Names", "Networks", "Ports", "State"])
    assert.is(json[key], theirs[key], key);
});

test.skipIf(reason ?? docker.reason, "volumes and networks: lists, filters, inspect, prune", async (t) => {
  const own = await engine(t);
  const both = async (...words: readonly string[]): Promise<string> => {
    const ours = await own.ok(words);
    assert.is(ours, (await dockerClient(own, words)).stdout, words.join(" "));
    return ours;
  };
  await own.ok(["volume", "create", "--label", "a=b", "one"]);
  await own.ok(["volume", "create", "two"]);
  assert.is(await both("volume", "ls", "-q"), "one\ntwo\n");
  assert.is(await both("volume", "ls", "-q", "-f", "label=a"), "one\n");
  assert.is(await both("volume", "ls", "-q", "-f", "name=w"), "two\n");
  await both("volume", "ls");
  await both("volume", "ls", "--format", "{{.Name}}:{{.Driver}}:{{.Scope}}:{{.Labels}}:{{.Mountpoint}}");
  await both("volume", "inspect", "one");
  const id = (await own.ok(["network", "create", "--subnet", "10.231.7.0/24", "--label", "of=test", "lan"])).trim();
  assert.match(id, /^[0-9a-f]{64}$/);
  assert.is(await both("network", "ls", "-q", "--no-trunc", "-f", "label=of=test"), `${id}\n`);
  await both("network", "ls");
  assert.match(
    await own.ok(["network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}} {{.Labels.of}}", "lan"]),
    /^10\.231\.7\.0\/24 test\n$/,
  );
  assert.is(await both("network", "ls", "-q", "--no-trunc", "-f", "dangling=true"), `${id}\n`);
  await own.ok(["create", "--name", "on", "--net", "lan", "host:/", "true"]);
  assert.is(await both("network", "ls", "-q", "-f", "dangling=true"), "");
  assert.is(await own.ok(["network", "prune", "-f"]), "");
  await own.ok(["rm", "on"]);
  assert.is(await own.ok(["network", "prune", "-f"]), "Deleted Networks:\nlan\n\n");
  assert.match((await own.run(["network", "rm", "bridge"])).stderr, /is a pre-defined network and cannot be removed/);
  assert.match((await own.run(["network", "rm", "lan"])).stderr, /network lan not found/);
  const asked = await own.run(["volume", "prune", "-a"], { input: "n\n" });
  assert.match(asked.stdout, /Are you sure you want to continue\? \[y\/N\] $/);
  assert.is(await own.ok(["volume", "ls", "-q"]), "one\ntwo\n");
  assert.match((await own.run(["volume", "prune", "-a"], { input: "y\n" })).stdout, /Deleted Volumes:\none\ntwo\n/);
  const prunes = await own.ok([
    "events",
    "--since",
    "1h",
    "--until",
    "0s",
    "-f",
    "event=prune",
    "--format",
    "{{.Type}} {{.Actor.Attributes.reclaimed}}",
  ]);
  assert.match(prunes, /^network 0\nnetwork 0\nvolume \d+\n$/);
});

test.skipIf(reason ?? docker.reason, "events: a life in order, filters, and docker's client gets them as they occur", async (t) => {
  const own = await engine(t);
  await own.ok(["create", "--name", "maker", "--net", "none", "host:/", "true"]);
  await own.ok(["tag", "host:/", "machine:1"]);
  const since = String(Date.now() / 1000);
  const live = dockerClient(own, [
    "events",
    "--since",
    since,
    "--until",
    String(Math.ceil(Date.now() / 1000) + 6),
    "--filter",
    "container=life",
  ]);
  await own.ok([
    "run",
    "-d",
    "--name",
    "life",
    "-v",
    "vol:/v",
    "machine:1",
    "sh",
    "-c",
    "trap 'exit 138' USR1; while :; do sleep 0.05; done",
  ]);
  await own.ok(["pause", "life"]);
  await own.ok(["unpause", "life"]);
  await own.ok(["kill", "-s", "USR1", "life"]);
  await until(async () => (await own.inspect("life")).State.Status === "exited", "its end");
  await own.ok(["start", "life"]);
  await own.ok(["restart", "-t", "0", "life"]);
  await own.ok(["rename", "life", "life2"]);
  await own.ok(["stop", "-t", "0", "life2"]);
  await own.ok(["rm", "life2"]);
  await own.ok(["volume", "rm", "vol"]);
  const actions = async (...flags: readonly string[]): Promise<string> =>
    (await own.ok(["events", "--since", since, "--until", "0s", "--format", "{{.Action}}", ...flags])).trim().split("\n").join(" ");
  assert.is(
    await actions("-f", "type=container"),
    "create start pause unpause kill die start kill kill die stop start restart rename kill kill die stop destroy",
  );
  assert.is(await actions("-f", "type=volume", "-f", "volume=vol"), "create mount unmount mount unmount mount unmount destroy");
  assert.is(await actions("-f", "type=network"), "connect disconnect connect disconnect connect disconnect");
  assert.is(await actions("-f", "event=rename", "-f", "event=destroy"), "rename destroy destroy", "of the container and of the volume");
  assert.is(await actions("-f", "container=life2"), "rename kill kill die stop destroy");
  assert.match(await actions("-f", "image=machine", "-f", "event=die"), /^die die die$/);
  const [die] = (await own.ok(["events", "--since", since, "--until", "0s", "-f", "event=die", "--format", "json"])).split("\n");
  const event = JSON.parse(die ?? "") as { Actor: { Attributes: Record<string, string> }; timeNano: number; from: string };
  assert.equal([event.Actor.Attributes.exitCode, event.Actor.Attributes.name, event.from], ["138", "life", "machine:1"]);
  assert.ok(event.timeNano > Number(since) * 1e9 - 1e9);
  assert.match(
    await own.ok(["events", "--since", since, "--until", "0s", "-f", "event=rename"]),
    /container rename [0-9a-f]{64} \(image=machine:1, name=life2, oldName=\/life\)\n$/,
  );
  await own.ok(["run", "-d", "--rm", "--name", "brief", "--net", "none", "machine:1", "sleep", "1000"]);
  await own.ok(["stop", "-t", "0", "brief"]);
  assert.match(await actions("-f", "container=brief"), /die .*stop/, "a container that is removed by its stop has been stopped");
  assert.match((await own.run(["events", "-f", "nonsense=1"])).stderr, /^tsbox: invalid filter 'nonsense'/);
  const followed = await live;
  assert.is(followed.code, 0, followed.stderr);
  for (const word of ["create", "start", "pause", "die", "rename", "destroy"])
    assert.match(followed.stdout, new RegExp(` container ${word} `));
});
