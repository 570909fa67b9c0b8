/** Health checks: from flags and images, how inspect, ps and events report them, and how the engine handles unhealthy containers. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { docker, dockerClient } from "../src/docker.ts";
import { alive, binary, type Engine, engine, until } from "../src/engine.ts";
import { busyboxLayout, needsTools } from "../src/images.ts";

const test = suite("health checks", { timeout: 180_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");

interface Health {
  readonly Status: string;
  readonly FailingStreak: number;
  readonly Log: readonly { readonly Start: string; readonly End: string; readonly ExitCode: number; readonly Output: string }[];
}
const healthOf = async (own: Engine, name: string): Promise<Health | undefined> =>
  ((await own.inspect(name)) as unknown as { readonly State: { readonly Health?: Health } }).State.Health;
const becomes = (own: Engine, name: string, status: string): Promise<void> =>
  until(async () => (await healthOf(own, name))?.Status === status, `${name} to be ${status}`);

/** Fast, and healthy as long as /d/ok exists. */
const quick = ["--health-interval", "100ms", "--health-retries", "2"] as const;
const check = ["--health-cmd", "echo looked; test -e /d/ok", ...quick] as const;
const sleeping = ["host:/", "sh", "-c", "echo x >> /d/starts; exec sleep 1000"] as const;
const startsIn = (directory: string): number =>
  existsSync(join(directory, "starts")) ? readFileSync(join(directory, "starts"), "utf8").split("\n").length - 1 : 0;

test.skipIf(reason, "starting, healthy, unhealthy, healthy again: in inspect, ps, filters and events", async (t) => {
  const own = await engine(t);
  const directory = temporaryDirectory(t);
  const since = Date.now() / 1000 - 1;
  await own.ok(["run", "-d", "--name", "web", "--net", "none", "-v", `${directory}:/d`, ...check, ...sleeping]);
  await own.ok(["run", "-d", "--name", "plain", "--net", "none", "host:/", "sleep", "1000"]);
  assert.is(await healthOf(own, "plain"), undefined);
  await becomes(own, "web", "unhealthy");
  assert.match(await own.ok(["ps", "--format", "{{.Names}} {{.Status}}"]), /^web Up .* \(unhealthy\)$/m);
  writeFileSync(join(directory, "ok"), "");
  await becomes(own, "web", "healthy");
  await until(async () => (await healthOf(own, "web"))?.Log.length === 5, "five results");
  const health = await healthOf(own, "web");
  assert.is(health?.FailingStreak, 0);
  const last = health?.Log.at(-1);
  assert.equal([last?.ExitCode, last?.Output], [0, "looked\n"]);
  assert.ok((last?.Start ?? "") <= (last?.End ?? ""));
  assert.match(await own.ok(["ps"]), /Up .*\(healthy\)/);
  assert.is(await own.ok(["ps", "-q", "--no-trunc", "-f", "health=healthy"]), `${(await own.inspect("web")).Id}\n`);
  assert.is(await own.ok(["ps", "-f", "health=none", "--format", "{{.Names}}"]), "plain\n");
  rmSync(join(directory, "ok"));
  await becomes(own, "web", "unhealthy");
  const events = await own.ok([
    "events",
    "--since",
    String(since),
    "--until",
    "0s",
    "-f",
    "event=health_status",
    "--format",
    "{{.Action}}",
  ]);
  assert.is(events, "health_status: unhealthy\nhealth_status: healthy\nhealth_status: unhealthy\n");
  assert.is(
    await own.ok(["inspect", "-f", "{{json .Config.Healthcheck}}", "web"]),
    '{"Test":["CMD-SHELL","echo looked; test -e /d/ok"],"Interval":100000000,"Timeout":30000000000,"Retries":2}\n',
  );
});

test.skipIf(reason, "failures in the start period do not count; a check that hangs is cut off; output is cut at 4096", async (t) => {
  const own = await engine(t);
  const run = (name: string, ...flags: readonly string[]): Promise<string> =>
    own.ok(["run", "-d", "--name", name, "--net", "none", ...flags, "host:/", "sleep", "1000"]);
  await run("early", "--health-cmd", "false", ...quick, "--health-start-period", "1h", "--health-start-interval", "50ms");
  await run("short", "--health-cmd", "true", ...quick, "--health-start-period", "200ms", "--health-start-interval", "1h");
  await run("hangs", "--health-cmd", "sleep 1000", ...quick, "--health-timeout", "200ms");
  await run("talks", "--health-cmd", "head -c 10000 /dev/zero | tr '\\0' x", ...quick);
  await run("absent", "--health-cmd", "/no/such/command", ...quick);
  await becomes(own, "short", "healthy");
  await becomes(own, "hangs", "unhealthy");
  const hung = (await healthOf(own, "hangs"))?.Log.at(-1);
  assert.equal([hung?.ExitCode, hung?.Output], [-1, "Health check exceeded timeout (200ms)"]);
  await becomes(own, "talks", "healthy");
  assert.is((await healthOf(own, "talks"))?.Log.at(-1)?.Output, `${"x".repeat(4096)}...`);
  await becomes(own, "absent", "unhealthy");
  assert.is((await healthOf(own, "absent"))?.Log.at(-1)?.ExitCode, 127);
  await until(async () => (await healthOf(own, "early"))?.Log.length === 5, "five failures");
  assert.equal([(await healthOf(own, "early"))?.Status, (await healthOf(own, "early"))?.FailingStreak], ["starting", 0]);
});

test.skipIf(reason, "a daemon that dies: its successor goes on watching, from what was known", async (t) => {
  const own = await engine(t);
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, "ok"), "");
  await own.ok(["run", "-d", "--name", "web", "--net", "none", "-v", `${directory}:/d`, ...check, ...sleeping]);
  await becomes(own, "web", "healthy");
  const daemon = own.daemonPid();
  process.kill(daemon, "SIGKILL");
  await until(() => !alive(daemon), "the daemon to die");
  assert.is((await healthOf(own, "web"))?.Status, "healthy");
  rmSync(join(directory, "ok"));
  await becomes(own, "web", "unhealthy");
  await own.ok(["pause", "web"]);
  const before = (await healthOf(own, "web"))?.Log.at(-1)?.Start;
  await own.ok(["unpause", "web"]);
  await until(async () => (await healthOf(own, "web"))?.Log.at(-1)?.Start !== before, "the next look after the pause");
  await own.ok(["stop", "-t", "0", "web"]);
  assert.is((await healthOf(own, "web"))?.Status, "unhealthy");
});

test.skipIf(reason, "a look that hangs does not outlive its daemon", async (t) => {
  const own = await engine(t);
  await own.ok([
    "run",
    "-d",
    "--name",
    "hangs",
    "--net",
    "none",
    "--health-cmd",
    "exec sleep 987",
    "--health-interval",
    "100ms",
    "host:/",
    "sleep",
    "1000",
  ]);
  const looking = async (): Promise<readonly number[]> =>
    (await own.ok(["top", "hangs", "-o", "pid,args"]))
      .split("\n")
      .filter((line) => line.endsWith("sleep 987"))
      .map((line) => Number.parseInt(line, 10));
  await until(async () => (await looking()).length === 1, "it to look");
  const [first = 0] = await looking();
  const daemon = own.daemonPid();
  process.kill(daemon, "SIGKILL");
  await until(() => !alive(daemon), "the daemon to die");
  assert.ok(alive(first));
  await until(() => !alive(first), "the next daemon to end it");
  await until(async () => (await looking()).length === 1, "its own look");
  await own.ok(["stop", "-t", "0", "hangs"]);
});

test.skipIf(reason, "--on-unhealthy: restart, stop, kill", async (t) => {
  const own = await engine(t);
  const on = async (name: string, action: string, ...flags: readonly string[]): Promise<string> => {
    const directory = temporaryDirectory(t);
    await own.ok([
      "run",
      "-d",
      "--name",
      name,
      "--net",
      "none",
      "-v",
      `${directory}:/d`,
      ...check,
      "--on-unhealthy",
      action,
      "--stop-timeout",
      "0",
      ...flags,
      ...sleeping,
    ]);
    return directory;
  };
  const [again, stopped, killed, back] = [
    await on("again", "restart"),
    await on("stopped", "stop", "--restart", "always"),
    await on("killed", "kill"),
    await on("back", "kill", "--restart", "on-failure:1"),
  ];
  await until(() => startsIn(again) >= 3, "the unhealthy one to be started again, and again");
  writeFileSync(join(again, "ok"), "");
  await becomes(own, "again", "healthy");
  const now = startsIn(again);
  assert.is(await own.ok(["inspect", "-f", "{{.RestartCount}} {{.State.Status}}", "again"]), `${now - 1} running\n`);
  const state = (name: string): Promise<string> => own.ok(["inspect", "-f", "{{.State.Status}} {{.RestartCount}}", name]);
  await until(async () => (await state("stopped")) === "exited 0\n", "it to be stopped for good");
  await until(async () => (await state("killed")) === "exited 0\n", "it to be killed");
  await until(async () => (await state("back")) === "exited 1\n", "its policy to bring it back once");
  assert.equal([startsIn(stopped), startsIn(killed), startsIn(back)], [1, 1, 2]);
  for (const [flags, words] of [
    [["--on-unhealthy", "panic"], /invalid action on unhealthy: 'panic'/],
    [["--rm", "--on-unhealthy", "restart"], /can't restart an 'AutoRemove' container/],
    [["--no-healthcheck", "--health-cmd", "x"], /--no-healthcheck conflicts with --health-\* options/],
    [["--health-cmd", "x", "--health-interval", "1us"], /Interval in Healthcheck cannot be less than 1ms/],
    [["--health-cmd", "x", "--health-timeout", "-1s"], /--health-timeout cannot be negative/],
  ] as const) {
    const ran = await own.run(["run", ...flags, "--net", "none", "host:/", "true"]);
    assert.is(ran.code, 125, flags.join(" "));
    assert.match(ran.stderr, words);
  }
});

/** OCI has no field for health checks, and umoci no flag, so this rewrites the config. */
function withHealthCheck(layout: string, image: string, check: object): void {
  const blob = (digest: string): string => join(layout, "blobs", digest.replace(":", "/"));
  const read = (path: string): Record<string, unknown> => JSON.parse(readFileSync(path, "utf8"));
  const write = (value: object): { digest: string; size: number } => {
    const bytes = Buffer.from(JSON.stringify(value));
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    writeFileSync(blob(digest), bytes);
    return { digest, size: bytes.length };
  };
  type Entry = { digest: string; size: number; annotations: Record<string, string> };
  const index = read(join(layout, "index.json")) as { manifests: Entry[] };
  const entry = index.manifests.find((one) => one.annotations["org.opencontainers.image.ref.name"] === image);
  if (entry === undefined) throw new Error(`no image ${image}`);
  const manifest = read(blob(entry.digest)) as { config: { digest: string; size: number } };
  const config = read(blob(manifest.config.digest)) as { config: object };
  Object.assign(manifest.config, write({ ...config, config: { ...config.config, Healthcheck: check } }));
  Object.assign(entry, write(manifest));
  writeFileSync(join(layout, "index.json"), JSON.stringify(index));
}

test.skipIf(
  reason ?? needsTools("umoci", "skopeo", "busybox"),
  "an image's HEALTHCHECK, its parts overridden, and none at all",
  async (t) => {
    const own = await engine(t);
    const layout = busyboxLayout(t);
    withHealthCheck(layout, "bb", { Test: ["CMD", "echo", "of the image"], Interval: 100_000_000, Retries: 7 });
    const image = `oci:${layout}:bb`;
    const run = (name: string, ...flags: readonly string[]): Promise<string> =>
      own.ok(["run", "-d", "--name", name, "--net", "none", ...flags, image, "sleep", "1000"]);
    await run("image");
    await run("parts", "--health-cmd", "echo mine");
    await run("without", "--no-healthcheck");
    await becomes(own, "image", "healthy");
    assert.is((await healthOf(own, "image"))?.Log[0]?.Output, "of the image\n");
    await becomes(own, "parts", "healthy");
    assert.is(
      await own.ok(["inspect", "-f", "{{.Config.Healthcheck.Test}} {{.Config.Healthcheck.Retries}}", "parts"]),
      "[CMD-SHELL echo mine] 7\n",
    );
    assert.is(await healthOf(own, "without"), undefined);
  },
);

test.skipIf(reason ?? docker.reason, "docker's own client: run --health-cmd, ps, inspect, events", async (t) => {
  const own = await engine(t);
  await own.ok(["create", "--name", "maker", "--net", "none", "host:/", "true"]);
  await own.ok(["tag", "host:/", "machine:1"]);
  const started = await dockerClient(own, [
    ...["run", "-d", "--name", "web", "--net", "none", "--health-cmd", "true", "--health-interval", "100ms"],
    ...["machine:1", "sleep", "1000"],
  ]);
  assert.is(started.code, 0, started.stderr);
  await until(async () => (await dockerClient(own, ["inspect", "-f", "{{.State.Health.Status}}", "web"])).stdout === "healthy\n", "health");
  assert.match((await dockerClient(own, ["ps"])).stdout, /\(healthy\)/);
  const events = await dockerClient(own, [
    "events",
    "--since",
    "1m",
    "--until",
    String(Math.ceil(Date.now() / 1000) + 1),
    "--filter",
    "event=health_status",
  ]);
  assert.match(events.stdout, /container health_status: healthy [0-9a-f]{64} \(.*name=web/);
});
