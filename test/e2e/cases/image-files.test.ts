/**
 * diff, commit, export, import, save, load, history, rmi, the prunes and system df: compared with dockerd if it supports them, and with
 * skopeo as a reader of our output.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { docker } from "../src/docker.ts";
import { needsDockerd } from "../src/dockerd.ts";
import { binary, type Engine, engine, until } from "../src/engine.ts";
import { dockerFront, type Front, ourFronts } from "../src/fronts.ts";
import { needsTools } from "../src/images.ts";

const test = suite("files of images", { timeout: 240_000 });
const reason =
  needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? docker.reason ?? needsBusybox();
const beside = reason ?? needsDockerd();
type Loose = Readonly<Record<string, unknown>>;

/** Each kind of change once. */
const script = [
  "echo new > /new; mkdir /made /made/deep; echo x > /made/deep/x",
  "rm /bin/ls; rm -r /tmp; chmod 700 /root; chown 5:6 /etc/passwd",
  "rm -r /srv; mkdir /srv; echo again > /srv/again",
  "rm /bin/cat; mkdir /bin/cat; echo was-a-link > /bin/cat/x",
  "ln -s target /link; ln /new /hard; mkfifo /pipe; echo more >> /etc/passwd; touch /bin/busybox",
  "echo not-a-whiteout > /made/.x",
].join("; ");

async function both(t: Case): Promise<{ readonly own: Engine; readonly theirs: Front; readonly ours: Front; readonly cli: Front }> {
  const own = await engine(t);
  const theirs = await dockerFront(t);
  const [ours, cli] = ourFronts(own);
  if (!ours || !cli) throw new Error("no fronts");
  const image = busyboxTar(t);
  for (const front of [theirs, ours])
    front.ok(["import", "-c", "ENV FROM_BASE=1", "-c", 'CMD ["sh"]', "-c", "EXPOSE 7", "-", "bb:1"], image);
  return { own, theirs, ours, cli };
}

function sameLines(actual: readonly string[] = [], expected: readonly string[] = []): void {
  const different = expected.flatMap((line, at) => (actual[at] === line ? [] : [`docker: ${line}\n  ours: ${actual[at]}`]));
  assert.is(different.length + Math.abs(actual.length - expected.length), 0, different.join("\n"));
}

const sorted = (text: string): readonly string[] => text.split("\n").filter(Boolean).sort();

test.skipIf(beside, "diff says what dockerd says, of every kind of change, running and stopped, with and without a network", async (t) => {
  const { own, theirs, ours, cli } = await both(t);
  for (const network of ["none", "bridge"]) {
    for (const front of [theirs, ours])
      front.ok(["run", "--net", network === "bridge" && front === theirs ? "none" : network, "--name", "box", "bb:1", "sh", "-c", script]);
    const expected = sorted(theirs.ok(["diff", "box"]));
    assert.equal(sorted(ours.ok(["diff", "box"])), expected, network);
    assert.equal(sorted(cli.ok(["diff", "box"])), expected, network);
    for (const front of [theirs, ours]) front.ok(["rm", "box"]);
  }
  await own.ok(["run", "-d", "--net", "none", "--name", "box", "bb:1", "sh", "-c", "mkdir /w; echo 1 > /w/a; sleep 1000"]);
  await own.ok(["exec", "box", "sh", "-c", "echo 2 > /w/b"]);
  assert.equal(sorted(await own.ok(["diff", "box"])), ["A /w", "A /w/a", "A /w/b"]);
  await own.ok(["exec", "box", "rm", "-r", "/w"]);
  assert.is(await own.ok(["diff", "box"]), "");
});

test.skipIf(beside, "commit: layers, config and history as dockerd makes them; the container's changes are in it", async (t) => {
  const { theirs, ours } = await both(t);
  const flags = ["-e", "OWN=2", "-u", "root", "-w", "/etc", "--expose", "9/udp", "-l", "made=here", "--stop-signal", "INT"];
  const changes = [
    'CMD ["head", "/new"]',
    "ENV A=1 B=\"two words\" C='x y'",
    "ENV OLD style",
    "EXPOSE 80 81/udp",
    "LABEL a=b c='d e'",
    'ENTRYPOINT exec "$@"',
    "ONBUILD RUN true",
    "USER app",
    "VOLUME /data /more",
    "WORKDIR below",
    "HEALTHCHECK --interval=5s --retries=2 CMD true",
  ];
  const inspect = (front: Front, name: string): Loose => (JSON.parse(front.ok(["inspect", name])) as [Loose])[0];
  const plain = (config: unknown): Loose => {
    // Fields of the former container, not of the image.
    const { Hostname, Image, AttachStdout, AttachStderr, ...rest } = config as Loose;
    return Object.fromEntries(
      Object.entries(rest)
        .map(([key, value]): [string, unknown] => [key, Array.isArray(value) && key === "Env" ? [...value].sort() : value])
        // A missing and an empty value mean the same to every reader.
        .filter(
          ([, value]) =>
            value !== null && value !== "" && value !== false && !(typeof value === "object" && Object.keys(value ?? {}).length === 0),
        ),
    );
  };
  for (const front of [theirs, ours]) {
    front.ok(["create", "--net", "none", ...flags, "--name", "box", "bb:1", "sh", "-c", script]);
    front.ok(["start", "-a", "box"].slice(0, 3));
    front.ok(["commit", "box", "plain:1"]);
    front.ok(["commit", "-a", "me", "-m", "why", ...changes.flatMap((change) => ["-c", change]), "box", "changed:1"]);
  }
  for (const name of ["plain:1", "changed:1"]) {
    const [expected, actual] = [inspect(theirs, name), inspect(ours, name)];
    assert.equal(
      plain(actual.Config),
      plain(expected.Config),
      `${name}: ${JSON.stringify(plain(actual.Config))} is not ${JSON.stringify(plain(expected.Config))}`,
    );
    assert.equal([actual.Author, actual.Comment], [expected.Author, expected.Comment]);
    assert.is((actual.RootFS as { Layers: unknown[] }).Layers.length, (expected.RootFS as { Layers: unknown[] }).Layers.length);
    assert.is(actual.Parent, inspect(ours, "bb:1").Id);
    const steps = (front: Front): readonly string[] =>
      sorted(front.ok(["history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}", name]));
    assert.equal(steps(ours), steps(theirs), name);
  }
  const changed = ours.ok([
    "run",
    "--rm",
    "--net",
    "none",
    "--entrypoint",
    "sh",
    "-u",
    "0",
    "changed:1",
    "-c",
    "cat /new /srv/again; ls -A /tmp /bin/ls /root 2>&1 | head -3; stat -c '%a %u' /root /etc/passwd; pwd",
  ]);
  assert.match(changed, /^new\nagain\n/);
  assert.match(changed, /700 0\n644 5\n\/etc\/below\n$/);
  // An unchanged container adds no layer, and its history shows that.
  ours.ok(["create", "--net", "none", "--name", "idle", "bb:1", "true"]);
  ours.ok(["commit", "idle", "same:1"]);
  assert.equal((inspect(ours, "same:1").RootFS as Loose).Layers, (inspect(ours, "bb:1").RootFS as Loose).Layers);
  const refused = ours.run(["commit", "-c", "RUN x", "box", "no:1"]);
  assert.equal([refused.code, /RUN is not a valid change command/.test(refused.stderr)], [1, true]);
});

test.skipIf(reason, "a running container is paused while it is committed, and goes on", async (t) => {
  const own = await engine(t);
  const [front] = ourFronts(own);
  front?.ok(["import", "-", "bb"], busyboxTar(t));
  await own.ok([
    "run",
    "-d",
    "--net",
    "none",
    "--name",
    "box",
    "bb",
    "sh",
    "-c",
    "i=0; while :; do i=$((i+1)); echo $i > /t; mv /t /a; echo $i > /t; mv /t /b; done",
  ]);
  await until(async () => (await own.run(["exec", "box", "test", "-e", "/b"])).code === 0, "both files to be there");
  const events = own.client(["events", "--filter", "container=box", "--format", "{{.Action}}"]);
  t.cleanup(() => events.process.kill("SIGKILL"));
  for (let at = 0; at < 3; at += 1) await own.ok(["commit", "box", `moment:${at}`]);
  assert.is((await own.inspect("box")).State.Status, "running");
  for (let at = 0; at < 3; at += 1) {
    const [a, b] = (await own.ok(["run", "--rm", "--net", "none", `moment:${at}`, "cat", "/a", "/b"])).split("\n").map(Number);
    assert.ok((a ?? 0) - (b ?? 0) <= 1 && (a ?? 0) >= (b ?? 0), `${a} and ${b} are of no moment`);
  }
  events.process.kill("SIGTERM");
  const seen = (await events.ended).stdout.split("\n");
  assert.equal(seen.filter((action) => ["pause", "unpause", "commit"].includes(action)).slice(0, 3), ["pause", "unpause", "commit"]);
});

test.skipIf(reason, "export and import: the same files again, from a file, a stream and a URL, with the config's changes", async (t) => {
  const own = await engine(t);
  const [front, cli] = ourFronts(own);
  if (!front || !cli) return;
  front.ok(["import", "-", "bb"], busyboxTar(t));
  await own.ok(["run", "--net", "none", "--name", "box", "-v", "kept:/data", "bb", "sh", "-c", `${script}; echo 1 > /data/in-volume`]);
  const directory = temporaryDirectory(t, "/var/tmp");
  const file = join(directory, "box.tar");
  await own.ok(["export", "-o", file, "box"]);
  const names = execFileSync("tar", ["-tf", file], { encoding: "utf8" }).split("\n");
  for (const name of ["new", "made/deep/x", "srv/again", "data/"]) assert.ok(names.includes(name), name);
  assert.not.ok(names.includes("data/in-volume"), "what is in a volume is not the container's own");
  assert.equal(cli.run(["export", "box"]).stdout, readFileSync(file), "to a stream the same bytes");
  const flags = ["-c", 'CMD ["head","/new"]', "-m", "words"];
  const server = createServer((_request, response) => response.end(readFileSync(file)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.cleanup(() => new Promise((resolve) => server.close(resolve)));
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}/box.tar`;
  const ids = [
    (await own.ok(["import", ...flags, file, "one:1"])).trim(),
    (await own.ok(["import", ...flags, "-", "two:1"], { input: execFileSync("xz", ["-0c", file]) })).trim(),
    (await own.ok(["import", ...flags, url, "three:1"])).trim().split("\n").at(-1),
  ];
  for (const id of ids) assert.match(id ?? "", /^sha256:[0-9a-f]{64}$/);
  for (const name of ["one:1", "two:1", "three:1"]) {
    assert.is(await own.ok(["run", "--rm", "--net", "none", name]), "new\n", name);
    assert.is(
      await own.ok(["run", "--rm", "--net", "none", name, "sh", "-c", "stat -c '%a %u %h %F' /root /etc/passwd /hard /pipe"]),
      "700 0 2 directory\n644 5 1 regular file\n644 0 2 regular file\n644 0 1 fifo\n",
      name,
    );
    assert.match(await own.ok(["history", name]), /words/);
  }
  await own.ok(["import", "--platform", "linux/arm64", file, "far:1"]);
  assert.is(await own.ok(["inspect", "-f", "{{.Architecture}}", "far:1"]), "arm64\n");
  for (const command of [["history"], ["image", "inspect"], ["rmi"]]) {
    const other = await own.run([...command, "--platform", "linux/amd64", "far:1"]);
    assert.is(other.code, 1);
    assert.match(other.stderr, /No such image: far:1 for linux\/amd64: the one that is here is for linux\/arm64/);
    assert.is((await own.run([...command, "--platform", "linux/arm64", "far:1"])).code, 0, command.join(" "));
  }
  assert.is((await own.run(["image", "inspect", "far:1"])).code, 1);
  const wrong = join(directory, "wrong");
  writeFileSync(wrong, "no tar at all, and longer than nothing");
  const refused = await own.run(["import", wrong, "no:1"]);
  assert.equal([refused.code, /^tsbox: [^\n]+\n$/.test(refused.stderr)], [1, true], refused.stderr);
  assert.is((await own.run(["import", `${url.replace(/:\d+/, ":1")}`])).code, 1);
  assert.is((await own.run(["export", "nobody"])).code, 1);
});

const digestsIn = (archive: string): ReadonlyMap<string, string> => {
  const found = new Map<string, string>();
  for (const name of execFileSync("tar", ["-tf", archive], { encoding: "utf8" })
    .split("\n")
    .filter((line) => /^blobs\/sha256\/./.test(line)))
    found.set(
      name.slice("blobs/sha256/".length),
      createHash("sha256")
        .update(execFileSync("tar", ["-xOf", archive, name], { maxBuffer: 1 << 28 }))
        .digest("hex"),
    );
  return found;
};

test.skipIf(
  beside ?? needsTools("skopeo", "umoci"),
  "save: an archive that skopeo reads both ways and dockerd loads; load: what dockerd and skopeo write",
  async (t) => {
    const { own, theirs, ours, cli } = await both(t);
    ours.ok(["run", "--net", "none", "--name", "box", "bb:1", "sh", "-c", script]);
    ours.ok(["commit", "-c", 'CMD ["head","/new"]', "box", "mine/made:2"]);
    ours.ok(["tag", "bb:1", "bb:other"]);
    const directory = temporaryDirectory(t, "/var/tmp");
    const file = join(directory, "saved.tar");
    ours.ok(["save", "-o", file, "bb", "mine/made:2"]);
    assert.equal(cli.run(["save", "bb", "mine/made:2"]).stdout, readFileSync(file));
    for (const [named, actual] of digestsIn(file)) assert.is(actual, named);
    const listed = JSON.parse(execFileSync("tar", ["-xOf", file, "manifest.json"], { encoding: "utf8" })) as readonly {
      RepoTags: readonly string[];
      Layers: readonly string[];
    }[];
    assert.equal(
      listed.map(({ RepoTags, Layers }) => [[...RepoTags].sort(), Layers.length]),
      [
        [["bb:1", "bb:other"], 1],
        [["mine/made:2"], 2],
      ],
    );
    const layout = join(directory, "layout");
    execFileSync("skopeo", ["copy", "--quiet", `oci-archive:${file}:2`, `oci:${layout}:from-oci`]);
    execFileSync("skopeo", ["copy", "--quiet", `docker-archive:${file}:docker.io/mine/made:2`, `oci:${layout}:from-docker`]);
    for (const name of ["from-oci", "from-docker"]) {
      const bundle = join(directory, name);
      execFileSync("umoci", ["unpack", "--image", `${layout}:${name}`, bundle]);
      assert.is(readFileSync(join(bundle, "rootfs/new"), "utf8"), "new\n");
      assert.not.ok(existsSync(join(bundle, "rootfs/tmp")));
      assert.is(readFileSync(join(bundle, "rootfs/bin/cat/x"), "utf8"), "was-a-link\n");
    }
    theirs.ok(["load", "-i", file]);
    assert.is(theirs.ok(["run", "--rm", "--net", "none", "--entrypoint", "/bin/busybox", "mine/made:2", "head", "/new"]), "new\n");
    const id = ours.ok(["inspect", "-f", "{{.Id}}", "mine/made:2"]);
    assert.is(theirs.ok(["inspect", "-f", "{{.Id}}", "mine/made:2"]), id);
    const back = theirs.run(["save", "mine/made:2"]).stdout;
    ours.ok(["rm", "box"]);
    ours.ok(["rmi", "mine/made:2", "bb:1", "bb:other"]);
    assert.is(ours.ok(["images", "-aq"]), "");
    assert.equal(readdirSync(join(own.root, "storage-overlay/committed")), []);
    assert.equal(cli.ok(["load"], back).trim().split("\n"), ["Loaded image: mine/made:2"]);
    assert.is(ours.ok(["inspect", "-f", "{{.Id}}", "mine/made:2"]), id);
    assert.equal(sorted(ours.ok(["load", "-i", file])), ["Loaded image: bb:1", "Loaded image: bb:other", "Loaded image: mine/made:2"]);
    assert.is(ours.ok(["run", "--rm", "--net", "none", "--entrypoint", "/bin/busybox", "mine/made:2", "head", "/new"]), "new\n");
    const far = await own.run(["save", "--platform", "linux/arm64", "bb:1"]);
    assert.equal([far.code, far.stdout], [1, ""]);
    assert.match(far.stderr, /^tsbox: No such image: bb:1 for linux\/arm64[^\n]*\n$/);
    assert.is((await own.run(["save", "no-such:1"])).code, 1);
  },
);

test.skipIf(reason, "host:/: diff and commit of a copy of this machine; save writes it out only on request", async (t) => {
  const own = await engine(t);
  const base = temporaryDirectory(t, "/var/tmp");
  mkdirSync(join(base, "bin"));
  execFileSync("cp", ["/bin/busybox", join(base, "bin/busybox")]);
  for (const applet of ["sh", "cat", "rm", "true"]) execFileSync("ln", ["-s", "busybox", join(base, "bin", applet)]);
  writeFileSync(join(base, "old"), "old\n");
  for (const [name, image, command] of [
    ["machine", "host:/", "/bin/sh"],
    ["part", `host:${base}`, "/bin/sh"],
  ] as const) {
    const gone = name === "machine" ? "" : "; rm /old";
    await own.ok(["run", "--net", "none", "--name", name, image, command, "-c", `echo made > /made-in-${name}${gone}`]);
    assert.equal(sorted(await own.ok(["diff", name])), [`A /made-in-${name}`, ...(name === "part" ? ["D /old"] : [])]);
    await own.ok(["commit", name, `${name}:1`]);
    assert.is(await own.ok(["run", "--rm", "--net", "none", `${name}:1`, "cat", `/made-in-${name}`]), "made\n");
    const saved = await own.run(["save", `${name}:1`]);
    assert.equal([saved.code, /--materialize/.test(saved.stderr), saved.stdout], [1, true, ""]);
  }
  assert.is(existsSync("/made-in-machine"), false);
  assert.is(readFileSync(join(base, "old"), "utf8"), "old\n");
  const file = join(temporaryDirectory(t, "/var/tmp"), "whole.tar");
  await own.ok(["save", "--materialize", "-o", file, "part:1"]);
  for (const name of ["machine", "part"]) await own.ok(["rm", name]);
  await own.ok(["rmi", "part:1"]);
  rmSync(base, { recursive: true });
  await own.ok(["load", "-i", file]);
  assert.is(
    await own.ok(["run", "--rm", "--net", "none", "part:1", "/bin/sh", "-c", "cat /made-in-part; cat /old 2>/dev/null || true"]),
    "made\n",
  );
  assert.is(await own.ok(["inspect", "-f", "{{len .RootFS.Layers}}", "part:1"]), "1\n");
});

test.skipIf(reason, "host:/: a commit on a commit contains the changes since, removals too, and diff reports the same", async (t) => {
  const own = await engine(t);
  const run = (name: string, image: string, script: string): Promise<string> =>
    own.ok(["run", "--net", "none", "--name", name, image, "sh", "-c", script]);
  const members = async (image: string): Promise<readonly string[]> => {
    const [digest = ""] = JSON.parse(await own.ok(["inspect", "-f", "{{json .RootFS.Layers}}", image])).slice(-1) as string[];
    const manifests = readdirSync(join(own.root, "content"), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    for (const { parentPath, name } of manifests) {
      const path = join(parentPath, name);
      if (
        !readFileSync(path)
          .subarray(0, 2)
          .equals(Buffer.from([0x1f, 0x8b]))
      )
        continue;
      const plain = gunzipSync(readFileSync(path));
      if (`sha256:${createHash("sha256").update(plain).digest("hex")}` !== digest) continue;
      return execFileSync("tar", ["-tf", "-"], { input: plain, encoding: "utf8" }).split("\n").filter(Boolean);
    }
    throw new Error(`no blob has ${digest}`);
  };
  await run("first", "host:/", "mkdir /commit-test; echo 1 > /commit-test/one; echo 1 > /commit-test/gone; echo 1 > /commit-top");
  await own.ok(["commit", "first", "first:1"]);
  assert.equal(await members("first:1"), ["commit-test/", "commit-test/gone", "commit-test/one", "commit-top"]);
  await run("second", "first:1", "rm /commit-test/gone /commit-top; echo 2 > /commit-test/two");
  const changed = ["A /commit-test/two", "C /commit-test", "D /commit-test/gone", "D /commit-top"];
  assert.equal(sorted(await own.ok(["diff", "second"])), changed);
  await own.ok(["commit", "second", "second:1"]);
  assert.equal(await members("second:1"), ["commit-test/", "commit-test/.wh.gone", "commit-test/two", ".wh.commit-top"]);
  const seen = "cd /; ls -d commit*; ls commit-test; cat commit-test/*";
  assert.is(await own.ok(["run", "--rm", "--net", "none", "second:1", "sh", "-c", seen]), "commit-test\none\ntwo\n1\n2\n");
  await run("third", "second:1", "true");
  assert.is(await own.ok(["diff", "third"]), "");
});

test.skipIf(beside, "rmi: uses, names, parents and children, with dockerd's messages", async (t) => {
  const { theirs, ours } = await both(t);
  const one = execFileSync("tar", ["-C", "/etc", "-c", "hostname"]);
  const results: Record<string, string[]> = {};
  for (const front of [theirs, ours]) {
    const say = (...argv: readonly string[]): void => {
      const { code, stdout, stderr } = front.run(argv);
      const words = `${stdout}${stderr}`
        .replace(/sha256:[0-9a-f]{64}/g, "ID")
        .replace(/\b[0-9a-f]{12}\b/g, "SHORT")
        // The number of removed layers depends on the engine: an empty layer counts only for docker.
        .replace(/(Deleted: ID\n)+/g, "Deleted: ID\n")
        .replace(/(deleted: ID\n)+/g, "deleted: ID\n");
      results[front.name] = [...(results[front.name] ?? []), `${argv.join(" ").replace(/[0-9a-f]{64}/, "IMAGE")}: ${code} ${words}`];
    };
    const id = front.ok(["inspect", "-f", "{{.Id}}", "bb:1"]).trim().slice("sha256:".length);
    front.ok(["create", "--net", "none", "--name", "box", "bb:1", "sh", "-c", "sleep 1000"]);
    say("rmi", "bb:1");
    say("rmi", id);
    front.ok(["tag", "bb:1", "other/name:1"]);
    say("rmi", id);
    say("rmi", "bb:1");
    front.ok(["tag", "other/name:1", "bb:1"]);
    say("rmi", "other/name:1");
    front.ok(["start", "box"]);
    say("rmi", "-f", id);
    say("rmi", "-f", "bb:1");
    front.ok(["tag", id, "bb:1"]);
    front.ok(["cp", "-", "box:/root"], one);
    front.ok(["commit", "box", "child:1"]);
    front.ok(["rm", "-f", "box"]);
    say("rmi", "-f", id);
    say("rmi", "bb:1");
    front.ok(["tag", id, "bb:1"]);
    front.ok(["create", "--net", "none", "--name", "grown", "child:1", "true"]);
    front.ok(["commit", "grown", "leaf:1"]);
    front.ok(["rm", "grown"]);
    say("rmi", "child:1");
    say("images", "-q", "--filter", "dangling=true");
    say("rmi", "leaf:1");
    say("rmi", "nobody:1");
    say("rmi", "bb:1");
    say("images", "-aq");
  }
  sameLines(results["docker to tsbox"], results.docker);
});

test.skipIf(beside, "images: filters, digests and formats; prunes ask, filter, and remove unused images", async (t) => {
  const { own, theirs, ours, cli } = await both(t);
  const results: Record<string, string[]> = {};
  for (const front of [theirs, ours, cli]) {
    const say = (...argv: readonly string[]): void => {
      const { code, stdout, stderr } = front.run(argv);
      const words = `${stdout}${stderr}`
        .replace(/sha256:[0-9a-f]{64}/g, "ID")
        .replace(/[0-9a-f]{64}/g, "CONTAINER")
        .replace(/\d+(\.\d+)?[kMG]?B/g, "SIZE")
        .replace(/(deleted: ID\n)+/g, "deleted: ID\n");
      // Images that were made in the same second have no order.
      const lines = argv[0] === "images" ? sorted(words).join(" ") : words;
      results[front.name] = [...(results[front.name] ?? []), `${argv.join(" ")}: ${code} ${lines}`];
    };
    if (front !== cli) {
      front.ok(["import", "-c", "LABEL kind=b", "-", "aa/bb:2"], busyboxTar(t));
      front.ok(["import", "-c", "LABEL kind=c", "-", "cc:1"], busyboxTar(t));
      // A name that moves to another image leaves the old image without a name.
      front.ok(["import", "-c", "LABEL kind=d", "-", "cc:1"], busyboxTar(t));
    } else front.ok(["import", "-c", "LABEL kind=e", "-", "cc:1"], busyboxTar(t));
    const format = ["--format", "{{.Repository}}:{{.Tag}}"];
    for (const filter of [
      "reference=*b",
      "reference=*/*",
      "reference=bb:*",
      "reference=aa/bb",
      "label=kind",
      "label=kind=b",
      "dangling=true",
      "since=bb:1",
      "before=cc:1",
    ])
      say("images", ...format, "--filter", filter);
    say("images", ...format, "bb");
    front.ok(["create", "--net", "none", "--name", "stopped", "-l", "x=1", "bb:1", "true"]);
    say("container", "prune", "-f", "--filter", "label=x=2");
    say("container", "prune", "-f", "--filter", "until=24h");
    say("image", "prune");
    say("image", "prune", "-f");
    say("image", "prune", "-af", "--filter", "label=kind=b");
    say("image", "prune", "-af", "--filter", "label!=kind");
    say("container", "prune", "-f");
    say("image", "prune", "-a");
    say("system", "prune", "-a", "--volumes", "--filter", "label=kind=z");
    say("system", "prune", "-f", "--filter", "label=kind=z");
  }
  const plain = (lines: readonly string[] | undefined): readonly string[] | undefined =>
    lines?.map((line) => line.replace(/Error response from daemon: |tsbox: /, ""));
  sameLines(plain(results["docker to tsbox"]), plain(results.docker));
  await own.ok(["system", "prune", "-af"]);
  assert.is(ours.ok(["images", "-aq"]), "");
  assert.equal(readdirSync(join(own.root, "storage-overlay/committed")), []);
  assert.equal(
    readdirSync(join(own.root, "content"), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => entry.name),
    [],
  );
});

const du = (...paths: readonly string[]): number =>
  execFileSync("du", ["-s", "-B1", "--", ...paths], { encoding: "utf8" })
    .split("\n")
    .filter(Boolean)
    .reduce((sum, line) => sum + Number(line.split("\t")[0]), 0);

test.skipIf(reason, "system df is exact to the byte against du: layers, containers, volumes; shared layers count once", async (t) => {
  const own = await engine(t);
  const [front] = ourFronts(own);
  front?.ok(["import", "-", "bb"], busyboxTar(t));
  await own.ok([
    "run",
    "--net",
    "none",
    "--name",
    "one",
    "-v",
    "vol:/data",
    "bb",
    "sh",
    "-c",
    "head -c 5000000 /dev/urandom > /big; head -c 70000 /dev/urandom > /data/x; mkdir /a /b; dd if=/dev/zero of=/sparse bs=1 count=1 seek=50000000 2>/dev/null; ln /big /same",
  ]);
  await own.ok(["commit", "one", "grown"]);
  await own.ok(["create", "--net", "none", "--name", "two", "grown", "true"]);
  const usage = JSON.parse(
    spawnSync("curl", ["-s", "--unix-socket", own.socket, "http://d/v1.51/system/df"], { encoding: "utf8" }).stdout,
  ) as {
    readonly LayersSize: number;
    readonly Images: readonly {
      readonly RepoTags: readonly string[];
      readonly Size: number;
      readonly SharedSize: number;
      readonly Containers: number;
    }[];
    readonly Containers: readonly { readonly Names: readonly string[]; readonly SizeRw: number; readonly SizeRootFs: number }[];
    readonly Volumes: readonly { readonly Name: string; readonly UsageData: { readonly RefCount: number; readonly Size: number } }[];
    readonly BuildCache: readonly unknown[];
  };
  const store = join(own.root, "storage-overlay");
  const layers = readdirSync(join(store, "committed")).map((name) => join(store, "committed", name, "fs"));
  assert.is(layers.length, 2);
  assert.is(usage.LayersSize, du(...layers));
  for (const { Names, SizeRw, SizeRootFs } of usage.Containers) {
    const { Id } = await own.inspect(Names[0]?.slice(1) ?? "");
    assert.is(SizeRw, du(join(store, "active", `container-${Id}`, "fs")), Names[0]);
    assert.ok(SizeRootFs > SizeRw);
    const sized = (JSON.parse(await own.ok(["inspect", "--size", Id])) as [{ SizeRw: number; SizeRootFs: number }])[0];
    assert.equal([sized.SizeRw, sized.SizeRootFs], [SizeRw, SizeRootFs]);
  }
  const [volume] = usage.Volumes;
  const mountpoint = (JSON.parse(await own.ok(["volume", "inspect", "vol"])) as [{ Mountpoint: string }])[0].Mountpoint;
  assert.equal([volume?.Name, volume?.UsageData.RefCount, volume?.UsageData.Size], ["vol", 1, du(mountpoint)]);
  const [base] = usage.Images.filter((image) => image.RepoTags.includes("bb:latest"));
  const [grown] = usage.Images.filter((image) => image.RepoTags.includes("grown:latest"));
  assert.is(base?.SharedSize, base?.Size);
  assert.is(grown?.SharedSize, base?.Size);
  assert.is(grown?.Size, usage.LayersSize);
  assert.equal(usage.BuildCache, []);
  assert.match(
    await own.ok(["system", "df"]),
    /^TYPE +TOTAL +ACTIVE +SIZE +RECLAIMABLE\nImages +2 +2 .*\nContainers +2 +0 .*\(100%\)\nLocal Volumes +1 +1 .*\nBuild Cache +0 +0 +0B +0B\n$/,
  );
  const freed = await own.ok(["container", "prune", "-f"]);
  assert.match(freed, /^Deleted Containers:\n[0-9a-f]{64}\n[0-9a-f]{64}\n\nTotal reclaimed space: \d/);
  // An image that was removed by force while a container used it: its layers are removed with the container.
  await own.ok(["create", "--net", "none", "--name", "last", "grown", "true"]);
  await own.ok(["rmi", "-f", "grown", "bb"]);
  assert.is(await own.ok(["images", "-aq"]), "");
  assert.is(readdirSync(join(store, "committed")).length, 2);
  await own.ok(["rm", "last"]);
  assert.equal(readdirSync(join(store, "committed")), []);
});
