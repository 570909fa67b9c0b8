/** `cp`, with docker's client and with ours: each of Docker's rules, compared with Debian's dockerd; and attacks. */
import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { type Case, isFullRun, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { docker } from "../src/docker.ts";
import { needsDockerd } from "../src/dockerd.ts";
import { binary, type Engine, engine, until } from "../src/engine.ts";
import { dockerFront, type Front, ourFronts } from "../src/fronts.ts";

const test = suite("cp", { timeout: 300_000 });
const reason =
  needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? docker.reason ?? needsBusybox();
const beside = reason ?? needsDockerd();

/** A source tree: a directory with a subdirectory, a file, links to both. */
function sources(directory: string): void {
  mkdirSync(join(directory, "d/s"), { recursive: true });
  writeFileSync(join(directory, "d/a"), "a\n", { mode: 0o640 });
  writeFileSync(join(directory, "d/s/b"), "b\n");
  writeFileSync(join(directory, "f"), "file\n", { mode: 0o755 });
  symlinkSync("f", join(directory, "lf"));
  symlinkSync("d", join(directory, "ld"));
  symlinkSync("nowhere", join(directory, "ln"));
}
/** A target tree: an existing directory, a file, links to both and a broken link. */
function places(directory: string): void {
  mkdirSync(join(directory, "there"), { recursive: true });
  writeFileSync(join(directory, "there/x"), "x\n");
  writeFileSync(join(directory, "file"), "old\n");
  symlinkSync("there", join(directory, "ldir"));
  symlinkSync("file", join(directory, "lfile"));
  symlinkSync("missing", join(directory, "lnone"));
}
const tarOf = (directory: string): Buffer => execFileSync("tar", ["-C", directory, "--sort=name", "-c", "."], { maxBuffer: 1 << 28 });

/** Kind, mode, link target and content of all files in a directory of this host. */
function listing(directory: string): readonly string[] {
  const rows: string[] = [];
  const walk = (path: string): void => {
    for (const name of readdirSync(join(directory, path)).sort()) {
      const here = path === "" ? name : `${path}/${name}`;
      const stat = lstatSync(join(directory, here));
      const mode = (stat.mode & 0o7777).toString(8);
      if (stat.isSymbolicLink()) rows.push(`${here} -> ${readlinkSync(join(directory, here))}`);
      else if (stat.isDirectory()) {
        rows.push(`${here}/ ${mode}`);
        walk(here);
      } else rows.push(`${here} ${mode} ${readFileSync(join(directory, here), "utf8").trim()}`);
    }
  };
  walk("");
  return rows;
}

const sourceForms = ["f", "d", "d/", "d/.", "lf", "ld", "ld/", "ld/.", "ln", "f/", "nope"];
const destinationForms = [
  "",
  "/",
  "/there",
  "/there/",
  "/there/.",
  "/file",
  "/file/",
  "/ldir",
  "/ldir/",
  "/lfile",
  "/lnone",
  "/new",
  "/new/",
  "/no/new",
];
const everyOperation = sourceForms.flatMap((source) =>
  destinationForms.flatMap((destination) => [
    { source, destination, flags: [] as readonly string[] },
    ...(/^l/.test(source) ? [{ source, destination, flags: ["-L"] }] : []),
  ]),
);

/** All of them in the full run; otherwise every sixteenth, different ones each day. */
const day = Math.floor(Date.now() / 86_400_000);
const operations = everyOperation.filter((_, at) => isFullRun || (at + day) % 16 === 0);

async function fronts(t: Case): Promise<readonly Front[]> {
  const own = await engine(t);
  const all = [await dockerFront(t), ...ourFronts(own)];
  const image = busyboxTar(t);
  all[0]?.ok(["import", "-", "bb"], image);
  all[1]?.ok(["import", "-", "bb"], image);
  return all;
}

/** Fails with a list of the results that differ from docker's. */
function compare(results: ReadonlyMap<string, readonly { readonly front: string; readonly seen: string }[]>): void {
  const different: string[] = [];
  for (const [what, [first, ...others]] of results)
    for (const other of others)
      if (other.seen !== first?.seen) different.push(`${what}\n  docker: ${first?.seen}\n  ${other.front}: ${other.seen}`);
  assert.is(different.length, 0, `${different.length} of ${results.size} differ:\n${different.slice(0, 8).join("\n")}`);
}

test.skipIf(beside, "into a container that was never started: every form of source and destination ends as Docker's does", async (t) => {
  const all = await fronts(t);
  const local = temporaryDirectory(t);
  sources(local);
  const prepared = temporaryDirectory(t);
  for (const at of operations.keys()) places(join(prepared, String(at)));
  const tar = tarOf(prepared);
  const results = new Map<string, { front: string; seen: string }[]>();
  for (const client of all) {
    client.ok(["create", "--net", "none", "--name", "box", "bb", "true"]);
    client.ok(["cp", "-", "box:/srv"], tar);
    const codes = operations.map(({ source, destination, flags }, at) => {
      const target = `box:/srv/${at}${destination}`;
      return client.run(["cp", ...flags, `${local}/${source}`, target]).code;
    });
    const directory = temporaryDirectory(t);
    execFileSync("tar", ["-C", directory, "-xpf", "-", "--strip-components=1"], { input: client.run(["cp", "box:/srv", "-"]).stdout });
    for (const [at, { source, destination, flags }] of operations.entries()) {
      const what = `cp ${flags.join(" ")} ${source} BOX${destination}`;
      const seen = `${codes[at] === 0 ? "done" : "refused"} ${listing(join(directory, String(at))).join(", ")}`;
      results.set(what, [...(results.get(what) ?? []), { front: client.name, seen }]);
    }
    client.ok(["rm", "box"]);
  }
  compare(results);
});

test.skipIf(beside, "out of a container that runs: every form ends as Docker's does", async (t) => {
  const all = await fronts(t);
  const prepared = temporaryDirectory(t);
  sources(prepared);
  const tar = tarOf(prepared);
  const results = new Map<string, { front: string; seen: string }[]>();
  for (const client of all) {
    client.ok(["run", "-d", "--net", "none", "--name", "box", "bb", "sleep", "1000"]);
    client.ok(["cp", "-", "box:/srv"], tar);
    for (const { source, destination, flags } of operations) {
      const local = temporaryDirectory(t);
      places(local);
      const { code } = client.run(["cp", ...flags, `box:/srv/${source}`, `${local}${destination}`]);
      const what = `cp ${flags.join(" ")} BOX/${source} HERE${destination}`;
      // Docker's client takes a link with a trailing slash for the directory to which it leads, but for a link when the source ends with
      // `.`.
      if (destination === "/ldir/" && source.endsWith("/.")) continue;
      const seen = `${code === 0 ? "done" : "refused"} ${listing(local).join(", ")}`;
      results.set(what, [...(results.get(what) ?? []), { front: client.name, seen }]);
    }
    client.ok(["rm", "-f", "box"]);
  }
  compare(results);
});

interface Reply {
  readonly status: number;
  readonly stat: unknown;
  readonly body: Buffer;
}

function ask(socket: string, method: string, path: string, body?: Buffer, headers: Readonly<Record<string, string>> = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath: socket, method, path: `/v1.41${path}`, headers, agent: false }, (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.on("end", () => {
        const header = response.headers["x-docker-container-path-stat"];
        const stat = typeof header === "string" ? JSON.parse(Buffer.from(header, "base64").toString()) : null;
        resolve({ status: response.statusCode ?? 0, stat, body: Buffer.concat(parts) });
      });
      // The connection was aborted: an error in the middle can't be reported in another way.
      response.on("error", () => resolve({ status: 0, stat: null, body: Buffer.concat(parts) }));
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

test.skipIf(beside, "the API's answers about a path, kinds and bits and links and all, are dockerd's", async (t) => {
  const all = await fronts(t);
  const prepared = temporaryDirectory(t);
  sources(prepared);
  execFileSync(
    "sh",
    [
      "-c",
      "mkfifo p; mknod c c 1 3; mknod b b 7 0; touch s; chmod 7755 s; mkdir t; chmod 1777 t; ln -s /srv/d abs; ln -s ../../../../etc/passwd out; ln -s ld/s two; find . -exec touch -h -d @1600000000.123456789 {} +",
    ],
    {
      cwd: prepared,
    },
  );
  const tar = execFileSync("tar", ["-C", prepared, "--sort=name", "--transform=s,^\\./,./srv/,", "-c", "."], { maxBuffer: 1 << 28 });
  for (const client of all.slice(0, 2)) {
    // As an image: dockerd's cp refuses links that lead out of the target directory.
    client.ok(["import", "-", "tree"], tar);
    client.ok(["create", "--net", "none", "--name", "box", "tree", "true"]);
  }
  const names = [
    ...sourceForms.filter((name) => name !== "f/"),
    "p",
    "c",
    "b",
    "s",
    "t",
    "abs",
    "abs/",
    "out",
    "two",
    "two/.",
    "../srv/d",
    "ld/../f",
  ];
  for (const name of names) {
    const [theirs, ours] = await Promise.all(
      all.slice(0, 2).map((client) => ask(client.socket, "HEAD", `/containers/box/archive?path=${encodeURIComponent(`/srv/${name}`)}`)),
    );
    // The size of a directory depends on the file system.
    const plain = (stat: unknown): unknown =>
      stat === null ? null : { ...(stat as object), size: Number((stat as { size: number }).size) % 4096 };
    assert.equal({ status: ours?.status, stat: plain(ours?.stat) }, { status: theirs?.status, stat: plain(theirs?.stat) }, name);
  }
  const missing = await ask(all[1]?.socket ?? "", "GET", "/containers/box/archive?path=/srv/nope");
  assert.equal(
    [missing.status, JSON.parse(missing.body.toString())],
    [404, { message: "Could not find the file /srv/nope in container box" }],
  );
  const nobody = await ask(all[1]?.socket ?? "", "HEAD", "/containers/nobody/archive?path=/");
  assert.is(nobody.status, 404);
});

test.skipIf(
  reason,
  "archives packed with gzip, bzip2, xz and zstd, owners and times; what is no archive is refused in a line",
  async (t) => {
    const own = await engine(t);
    const [client] = ourFronts(own);
    client?.ok(["import", "-", "bb"], busyboxTar(t));
    await own.ok(["create", "--net", "none", "--name", "box", "bb", "true"]);
    const directory = temporaryDirectory(t);
    writeFileSync(join(directory, "f"), "content");
    for (const [option, tool] of [
      ["--gzip", "gzip"],
      ["--bzip2", "bzip2"],
      ["--xz", "xz"],
      ["--zstd", "zstd"],
    ] as const) {
      if (![`/usr/bin/${tool}`, `/bin/${tool}`].some(existsSync)) continue;
      const name = `from-${tool}`;
      const packed = execFileSync("tar", [
        "-C",
        directory,
        option,
        `--transform=s,f,${name},`,
        "--owner=300000",
        "--group=5",
        "--mtime=@1500000000.25",
        "--format=pax",
        "-c",
        "f",
      ]);
      assert.is(
        (await ask(own.socket, "PUT", "/containers/box/archive?path=/srv", packed, { "content-type": "application/x-tar" })).status,
        200,
      );
      const back = execFileSync("tar", ["--numeric-owner", "--full-time", "--utc", "-tvf", "-"], {
        input: (await ask(own.socket, "GET", `/containers/box/archive?path=/srv/${name}`)).body,
        encoding: "utf8",
      });
      assert.match(back, new RegExp(`300000/5 +7 2017-07-14 02:40:00.25 ${name}`));
    }
    const wrong = await ask(own.socket, "PUT", "/containers/box/archive?path=/srv", Buffer.alloc(2048, 7));
    assert.equal([wrong.status, Object.keys(JSON.parse(wrong.body.toString()))], [400, ["message"]]);
    const cut = await ask(
      own.socket,
      "PUT",
      "/containers/box/archive?path=/srv",
      execFileSync("tar", ["-C", directory, "-c", "f"]).subarray(0, 700),
    );
    assert.is(cut.status, 400);
    const file = await ask(own.socket, "PUT", "/containers/box/archive?path=/etc/passwd", tarOf(directory));
    assert.equal([file.status, JSON.parse(file.body.toString())], [400, { message: "extraction point is not a directory" }]);
    const nowhere = await ask(own.socket, "PUT", "/containers/box/archive?path=/no/where", tarOf(directory));
    assert.is(nowhere.status, 404);
  },
);

test.skipIf(reason, "volumes and binds are seen, running or not; what is read-only stays so; a mounted file is not replaced", async (t) => {
  const own = await engine(t);
  const [client] = ourFronts(own);
  client?.ok(["import", "-", "bb"], busyboxTar(t));
  const bound = temporaryDirectory(t);
  writeFileSync(join(bound, "here"), "bound\n");
  const source = temporaryDirectory(t);
  writeFileSync(join(source, "new"), "new\n");
  writeFileSync(join(source, "hosts"), "mine\n");
  const flags = ["--net", "bridge", "-v", `${bound}:/bind`, "-v", `${bound}:/bind-ro:ro`, "-v", "named:/named", "--tmpfs", "/scratch"];
  await own.ok(["create", "--name", "box", ...flags, "bb", "sleep", "1000"]);
  const read = async (path: string): Promise<string> => {
    const to = temporaryDirectory(t);
    await own.ok(["cp", `box:${path}`, join(to, "got")]);
    return readFileSync(join(to, "got"), "utf8");
  };
  const both = async (when: string): Promise<void> => {
    assert.is(await read("/bind/here"), "bound\n", when);
    await own.ok(["cp", join(source, "new"), `box:/bind/${when}`]);
    assert.is(readFileSync(join(bound, when), "utf8"), "new\n", when);
    await own.ok(["cp", join(source, "new"), `box:/named/${when}`]);
    assert.is(await read(`/named/${when}`), "new\n", when);
    const refused = await own.run(["cp", join(source, "new"), "box:/bind-ro/"]);
    assert.equal([refused.code, refused.stderr], [1, "tsbox: mounted volume is marked read-only\n"], `${when} ${refused.stderr}`);
    assert.is(existsSync(join(bound, "new")), false);
  };
  await both("stopped");
  await own.ok(["start", "box"]);
  await both("running");
  assert.is(await own.ok(["exec", "box", "cat", "/named/stopped", "/named/running"]), "new\nnew\n");
  await own.ok(["cp", join(source, "new"), "box:/scratch/x"]);
  assert.is(await own.ok(["exec", "box", "cat", "/scratch/x"]), "new\n", "a tmpfs of a running container is there");
  const before = await own.ok(["exec", "box", "cat", "/etc/hosts"]);
  const busy = await own.run(["cp", join(source, "hosts"), "box:/etc/hosts"]);
  assert.equal([busy.code, /device or resource busy/.test(busy.stderr)], [1, true], busy.stderr);
  assert.is(await own.ok(["exec", "box", "cat", "/etc/hosts"]), before);
  await own.ok(["rm", "-f", "box"]);
  await own.ok(["create", "--name", "box", "--net", "none", "--read-only", "bb", "true"]);
  const readOnly = await own.run(["cp", join(source, "new"), "box:/srv/"]);
  assert.equal([readOnly.code, readOnly.stderr], [1, "tsbox: container rootfs is marked read-only\n"]);
  // A link in a volume leads out of it.
  symlinkSync("/srv", join(bound, "out"));
  for (const [start, rootfs] of [
    ["create", ["--read-only"]],
    ["run", ["--read-only", "-d"]],
    ["create", ["-v", `${source}:/srv:ro`]],
  ] as const) {
    await own.ok(["rm", "-f", "box"]);
    await own.ok([start, "--name", "box", "--net", "none", "-v", `${bound}:/bind`, ...rootfs, "bb", "sleep", "1000"]);
    const through = await own.run(["cp", join(source, "new"), "box:/bind/out/"]);
    assert.is(through.code, 1, `${start} ${rootfs.join(" ")}`);
    assert.match(
      through.stderr,
      rootfs[0] === "--read-only" ? /container rootfs is marked read-only/ : /mounted volume is marked read-only/,
    );
  }
});

/** The peak memory use of the daemon, in KiB. */
const peak = (own: Engine): number => Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${own.daemonPid()}/status`, "utf8"))?.[1] ?? 0);

test.skipIf(reason, "half a gigabyte each way goes through, and does not stay in the daemon's memory", async (t) => {
  const own = await engine(t);
  const [client] = ourFronts(own);
  client?.ok(["import", "-", "bb"], busyboxTar(t));
  await own.ok(["run", "-d", "--net", "none", "--name", "box", "bb", "sleep", "1000"]);
  const directory = temporaryDirectory(t, "/var/tmp");
  execFileSync("sh", ["-c", "head -c 536870912 /dev/zero | tr '\\0' x > big"], { cwd: directory });
  await own.ok(["cp", join(directory, "big"), "box:/srv/big"]);
  const before = peak(own);
  await own.ok(["cp", join(directory, "big"), "box:/srv/big"]);
  await own.ok(["cp", "box:/srv/big", join(directory, "back")]);
  execFileSync("cmp", [join(directory, "big"), join(directory, "back")]);
  const grown = (peak(own) - before) / 1024;
  assert.ok(grown < 64, `the daemon grew by ${grown} MiB`);
});

test.skipIf(
  reason,
  "archives that mean harm stay in the container: .., absolute names, links and what is written through them",
  async (t) => {
    const own = await engine(t);
    const [client] = ourFronts(own);
    client?.ok(["import", "-", "bb"], busyboxTar(t));
    const [outside, inside] = [temporaryDirectory(t), temporaryDirectory(t)];
    writeFileSync(join(outside, "secret"), "the host's\n");
    writeFileSync(join(inside, "escaped"), "mine now");
    const tar = (...args: readonly string[]): Buffer => execFileSync("tar", ["-cPf", "-", "-C", inside, ...args]);
    symlinkSync(outside, join(inside, "link"));
    symlinkSync("../../../../../../..", join(inside, "up"));
    const head = (name: string): Buffer => tar(name).subarray(0, 512);
    const archives: readonly (readonly [string, Buffer, number])[] = [
      ["climbing", tar(`--transform=s,^escaped$,../../../../../..${outside}/escaped,`, "escaped"), 400],
      ["absolute", tar(`--transform=s,^escaped$,${outside}/escaped,`, "escaped"), 200],
      ["through an absolute link", Buffer.concat([head("link"), tar("--transform=s,^escaped$,link/escaped,", "escaped")]), 200],
      ["through a climbing link", Buffer.concat([head("up"), tar(`--transform=s,^escaped$,up${outside}/escaped,`, "escaped")]), 200],
      ["over a link", Buffer.concat([head("link"), tar("--transform=s,^escaped$,link,", "escaped")]), 200],
    ];
    for (const state of ["stopped", "running"]) {
      for (const [what, archive, expected] of archives) {
        await own.ok(["create", "--net", "none", "--name", "box", "bb", "sleep", "1000"]);
        if (state === "running") await own.ok(["start", "box"]);
        // The targets of links are looked up in the container, so some of them are made there.
        client?.run(["cp", "-", "box:/"], tar("--transform=s,^,made,", "--exclude=*", "."));
        const made = execFileSync("tar", ["-cPf", "-", "--no-recursion", `--transform=s,^/,,`, "-C", "/", outside]);
        assert.is((await ask(own.socket, "PUT", "/containers/box/archive?path=/", made)).status, 200);
        const { status } = await ask(own.socket, "PUT", "/containers/box/archive?path=/srv", archive);
        assert.is(status, expected, `${what}, ${state}`);
        assert.equal(readdirSync(outside), ["secret"], `${what}, ${state}`);
        assert.is(readFileSync(join(outside, "secret"), "utf8"), "the host's\n");
        await own.ok(["rm", "-f", "box"]);
      }
    }
    // A hard link to a file outside of the container.
    const hard = Buffer.from(tar("escaped").subarray(0, 512));
    hard.write(`../../../../..${outside}/secret\0`, 157);
    hard.write("1", 156);
    hard.write("00000000000\0", 124);
    hard.write("        ", 148);
    hard.write(
      `${[...hard]
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, "0")}\0 `,
      148,
    );
    await own.ok(["create", "--net", "none", "--name", "box", "bb", "true"]);
    assert.is((await ask(own.socket, "PUT", "/containers/box/archive?path=/srv", Buffer.concat([hard, Buffer.alloc(1024)]))).status, 400);
    // In the other direction: reading a file through a link to a file of the host.
    await own.ok(["cp", "-", "box:/srv"], { input: Buffer.concat([head("link"), Buffer.alloc(1024)]) });
    const read = await own.run(["cp", "box:/srv/link/secret", join(inside, "got")]);
    assert.is(read.code, 1);
    assert.is(existsSync(join(inside, "got")), false);
    const followed = await own.run(["cp", "-L", "box:/srv/link", join(inside, "got")]);
    assert.is(followed.code, 1);
  },
);

test.skipIf(reason, "a process that swaps a directory for a link to / while files go in and out gains nothing", async (t) => {
  const own = await engine(t);
  const [client] = ourFronts(own);
  client?.ok(["import", "-", "bb"], busyboxTar(t));
  const host = temporaryDirectory(t, "/var/tmp");
  mkdirSync(join(host, "deep"));
  writeFileSync(join(host, "deep/secret"), "the host's\n");
  // In the container the same path is alternately a directory and a link to the root (CVE-2018-15664).
  const swap = `mkdir -p /w/real${host}/deep /w/side; echo contained > /w/real${host}/deep/secret; mkdir -p ${host}/deep; echo contained > ${host}/deep/secret; echo up; ln -s / /w/side/x; cd /w; while :; do mv real kept; mv side/x real; mv real side/x; mv kept real; done`;
  await own.ok(["run", "-d", "--net", "none", "--name", "box", "bb", "sh", "-c", swap]);
  const source = temporaryDirectory(t);
  writeFileSync(join(source, "secret"), "from the archive\n");
  const archive = tarOf(source);
  const statuses = new Set<number>();
  for (let at = 0; at < 150; at += 1) {
    statuses.add(
      (await ask(own.socket, "PUT", `/containers/box/archive?path=${encodeURIComponent(`/w/real${host}/deep`)}`, archive)).status,
    );
    const { status, body } = await ask(
      own.socket,
      "GET",
      `/containers/box/archive?path=${encodeURIComponent(`/w/real${host}/deep/secret`)}`,
    );
    statuses.add(status);
    assert.not.match(body.toString(), /the host's/);
  }
  assert.ok(statuses.has(200), `nothing went through: ${[...statuses].join(", ")}`);
  assert.is(readFileSync(join(host, "deep/secret"), "utf8"), "the host's\n");
  assert.equal(readdirSync(join(host, "deep")), ["secret"]);
});

test.skipIf(reason, "a start waits for a copy into the stopped container, and a copy that is broken off leaves nothing open", async (t) => {
  const own = await engine(t);
  const [client] = ourFronts(own);
  client?.ok(["import", "-", "bb"], busyboxTar(t));
  await own.ok(["create", "--net", "none", "--name", "box", "bb", "cat", "/srv/f"]);
  const open = (): number => readdirSync(`/proc/${own.daemonPid()}/fd`).length;
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, "f"), "whole\n");
  const archive = tarOf(directory);
  const sending = request({ socketPath: own.socket, method: "PUT", path: "/v1.41/containers/box/archive?path=/srv", agent: false });
  const answered = new Promise<number>((resolve) => sending.on("response", (response) => resolve(response.resume().statusCode ?? 0)));
  const idle = open();
  sending.write(archive.subarray(0, 512));
  // The connection, and the container's tree that the engine has opened.
  await until(() => open() > idle + 1, "the copy to be under way");
  const started = own.run(["start", "-a", "box"]);
  sending.end(archive.subarray(512));
  assert.is(await answered, 200);
  assert.is((await started).stdout, "whole\n");
  const before = open();
  for (let at = 0; at < 5; at += 1) {
    const broken = request({ socketPath: own.socket, method: "PUT", path: "/v1.41/containers/box/archive?path=/srv", agent: false });
    broken.on("error", () => {});
    broken.write(archive.subarray(0, 512));
    await until(() => open() > before + 1, "the copy to be under way");
    broken.destroy();
    await until(() => open() <= before + 1, "the copy that was broken off to let go");
  }
  assert.is(await own.ok(["start", "-a", "box"]), "whole\n", "the container starts");
  assert.ok(open() <= before + 1, `${open()} descriptors instead of ${before}`);
});

test.skipIf(reason, "in a user namespace owners are the container's, running or stopped, in its layer and in volumes", async (t) => {
  const own = await engine(t);
  const [client] = ourFronts(own);
  client?.ok(["import", "-", "bb"], busyboxTar(t));
  await own.ok(["run", "-d", "--net", "none", "--userns", "private", "--name", "box", "-v", "vol:/data", "bb", "sleep", "1000"]);
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, "f"), "x");
  const archive = execFileSync("tar", ["-C", directory, "--owner=1000", "--group=5", "-c", "f"]);
  for (const state of ["running", "stopped"]) {
    for (const place of ["/srv", "/data"]) {
      const { status } = await ask(own.socket, "PUT", `/containers/box/archive?path=${place}`, archive);
      assert.is(status, 200, `${state} ${place}`);
      const { body } = await ask(own.socket, "GET", `/containers/box/archive?path=${place}/f`);
      const listed = execFileSync("tar", ["--numeric-owner", "-tvf", "-"], { input: body, encoding: "utf8" });
      assert.match(listed, / 1000\/5 /, `${state} ${place}`);
      if (state === "running") assert.is(await own.ok(["exec", "box", "stat", "-c", "%u %g", `${place}/f`]), "1000 5\n");
    }
    await own.ok(["stop", "-t", "0", "box"]);
  }
});

test.skipIf(
  beside,
  "cp -a gives all to the user that the container runs as, as Docker's does; without it, and without a user, owners stay",
  async (t) => {
    const all = await fronts(t);
    const directory = temporaryDirectory(t);
    sources(directory);
    const [passwd, etc] = [readFileSync("/etc/passwd"), temporaryDirectory(t)];
    // Docker looks names up on the host, tsbox in the container. Here both have the same accounts.
    writeFileSync(join(etc, "passwd"), passwd);
    execFileSync("chown", ["-hR", "1234:55", directory]);
    const seen = all.map((client) =>
      [["--user", "daemon"], ["--user", "0"], []].map((user) => {
        client.ok(["create", "--net", "none", "--name", "box", ...user, "bb", "true"]);
        client.ok(["cp", join(etc, "passwd"), "box:/etc/passwd"]);
        const answers = [["-a"], []].map((flags) => {
          client.ok(["cp", ...flags, `${directory}/.`, "box:/srv"]);
          const { stdout } = client.run(["cp", "box:/srv/.", "-"]);
          return execFileSync("tar", ["--numeric-owner", "-tvf", "-"], { input: stdout, encoding: "utf8" })
            .split("\n")
            .filter((row) => / (\.\/)?(d|d\/a|d\/s\/b|f|lf -> f|ld -> d)\/?$/.test(row))
            .map((row) => row.split(/\s+/)[1]);
        });
        client.ok(["rm", "box"]);
        return answers;
      }),
    );
    assert.equal(seen[0]?.[0], [Array(6).fill("1/1"), Array(6).fill("1234/55")]);
    for (const [at, { name }] of all.entries()) assert.equal(seen[at], seen[0], name);
  },
);

test.skipIf(reason, "cp -a knows the user by the container's own files, in a user namespace too", async (t) => {
  const own = await engine(t);
  const [client] = ourFronts(own);
  client?.ok(["import", "-", "bb"], busyboxTar(t));
  const file = join(temporaryDirectory(t), "f");
  writeFileSync(file, "x");
  for (const userns of ["host", "private"]) {
    await own.ok(["run", "-d", "--net", "none", "--userns", userns, "-u", "app:50", "--name", "box", "bb", "sleep", "1000"]);
    await own.ok(["cp", "-a", file, "box:/srv"]);
    assert.is(await own.ok(["exec", "box", "stat", "-c", "%u %g", "/srv/f"]), "1000 50\n", userns);
    await own.ok(["rm", "-f", "box"]);
  }
  await own.ok(["create", "--net", "none", "-u", "nobody-here", "--name", "box", "bb", "true"]);
  const refused = await own.run(["cp", "-a", file, "box:/srv"]);
  assert.equal([refused.code, refused.stderr], [1, "tsbox: unable to find user nobody-here: no matching entries in passwd file\n"]);
});
