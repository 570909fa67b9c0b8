/** Trees that are deeper than any path, and endless archives: each request gets one answer, and the engine goes on. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { binary, type Engine, engine, until } from "../src/engine.ts";

const test = suite("depth", { timeout: 180_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? needsBusybox();
const line = /^(tsbox|Error)[^\n]{1,500}\n$/;

/** An engine with the image `bb`, and a check that its daemon was not restarted. */
async function world(t: Case): Promise<{ readonly own: Engine; readonly same: () => void }> {
  const own = await engine(t);
  const tar = join(temporaryDirectory(t), "bb.tar");
  writeFileSync(tar, busyboxTar(t));
  await own.ok(["import", tar, "bb"]);
  const pid = own.daemonPid();
  return { own, same: () => assert.is(own.daemonPid(), pid, "the daemon has died") };
}

/** Makes `levels` nested directories below `directory` of this host. */
function nest(directory: string, levels: number): void {
  const script = `for (let at = 0; at < ${levels}; at += 1) { fs.mkdirSync("d"); process.chdir("d"); }`;
  execFileSync(process.execPath, ["-e", script], { cwd: directory });
}

/** A member of an archive whose name is in a PAX record. */
function member(name: string, type: "0" | "5", content = ""): Buffer {
  const block = (size: number, flag: string): Buffer => {
    const header = Buffer.alloc(512);
    header.write("name", 0);
    header.write(["0000755", "0000000", "0000000", size.toString(8).padStart(11, "0"), "00000000000", ""].join("\0"), 100);
    header.write("        ", 148);
    header.write(flag, 156);
    header.write("ustar\x0000", 257);
    header.write(
      `${header
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, "0")}\0 `,
      148,
    );
    return header;
  };
  const filled = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
  let length = name.length + 8;
  while (`${length} path=${name}\n`.length !== length) length = `${length} path=${name}\n`.length;
  const record = Buffer.from(`${length} path=${name}\n`);
  return Buffer.concat([block(record.length, "x"), filled(record), block(content.length, type), filled(Buffer.from(content))]);
}
const deep = (levels: number): string => Array(levels).fill("d").join("/");

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** `PUT …/archive`. Zeros follow the archive until their number is reached or the connection ends. */
function put(own: Engine, path: string, archive: Buffer, zeros: number): { readonly answer: Promise<Answer>; readonly leave: () => void } {
  const sending = request({ socketPath: own.socket, method: "PUT", path: `/v1.41/containers/box/archive?path=${path}`, agent: false });
  const answer = new Promise<Answer>((resolve, reject) => {
    sending.on("error", reject).on("response", (response) => {
      let body = "";
      response
        .setEncoding("utf8")
        .on("data", (text: string) => {
          body += text;
        })
        .on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
  });
  answer.catch(() => {});
  sending.write(archive);
  const chunk = Buffer.alloc(1 << 20);
  let left = zeros;
  const more = (): void => {
    while (left > 0 && !sending.destroyed) {
      left -= chunk.length;
      if (!sending.write(chunk)) {
        sending.once("drain", more);
        return;
      }
    }
    if (!sending.destroyed) sending.end();
  };
  more();
  return { answer, leave: () => void sending.destroy() };
}

test.skipIf(reason, "a layer of a few bytes with thousands of levels ends its own load, and no daemon", async (t) => {
  const { own, same } = await world(t);
  const directory = temporaryDirectory(t);
  for (const [levels, works] of [
    [8000, false],
    [2000, true],
  ] as const) {
    const layer = gzipSync(Buffer.concat([member(`${deep(levels)}/`, "5"), member(".wh.d", "0"), Buffer.alloc(1024)]));
    const path = join(directory, `${levels}.tar.gz`);
    writeFileSync(path, layer);
    const ran = await own.run(["import", path, `deep${levels}`]);
    same();
    assert.is(ran.code === 0, works, ran.stderr);
    if (!works) assert.match(ran.stderr, line);
  }
});

test.skipIf(
  reason,
  "a container's tree as deep as paths go is exported, copied and replaced; a deeper one fails alone, and is removed",
  async (t) => {
    const { own, same } = await world(t);
    for (const name of ["box", "deeper"]) await own.ok(["create", "--net", "none", "--name", name, "bb", "sleep", "100"]);
    const layers = join(own.root, "storage-overlay/active");
    const uppers: string[] = [];
    // Each tree is made through the container's own layer; a marker file shows which layer belongs to which container.
    for (const name of ["box", "deeper"]) {
      const marker = join(temporaryDirectory(t), name);
      writeFileSync(marker, "");
      await own.ok(["cp", marker, `${name}:/srv/`]);
      const upper = execFileSync("find", [layers, "-path", `*/srv/${name}`], { encoding: "utf8" }).trim();
      uppers.push(join(upper, ".."));
    }
    nest(uppers[0] as string, 2040);
    nest(uppers[1] as string, 2100);
    for (const argv of [
      ["export", "-o", "/dev/null", "box"],
      ["cp", "box:/srv/d", "-"],
      ["diff", "box"],
    ])
      assert.is((await own.run(argv)).code, 0, argv.join(" "));
    same();
    for (const argv of [
      ["export", "-o", "/dev/null", "deeper"],
      ["diff", "deeper"],
    ]) {
      const ran = await own.run(argv);
      assert.is(ran.code, 1);
      assert.match(ran.stderr, line);
    }
    same();
    // Its size is unknown; the sizes of the others are known.
    const sizes = await own.ok(["ps", "-as", "--format", "{{.Names}} {{.Size}}"]);
    assert.match(sizes, /^deeper N\/A$/m);
    assert.match(sizes, /^box \d/m);
    const verbose = await own.ok(["system", "df", "-v"]);
    assert.match(verbose, /N\/A.*deeper/);
    assert.match(await own.ok(["system", "df"]), /Containers +2 /);
    // A deep tree is not reported as damage.
    assert.is(await own.ok(["system", "check"]), "");
    const flat = Buffer.concat([member("d", "0", "flat"), Buffer.alloc(1024)]);
    assert.equal((await put(own, "/srv", flat, 0).answer).status, 200);
    const there = await own.run(["cp", "box:/srv/d", "-"]);
    assert.match(there.stdout, /flat/);
    await own.ok(["rm", "box", "deeper"]);
    same();
    assert.equal(readdirSync(layers), []);
  },
);

test.skipIf(reason, "what follows an archive without end is not read for ever, and not at all when its client is gone", async (t) => {
  const { own, same } = await world(t);
  await own.ok(["create", "--net", "none", "--name", "box", "bb", "sleep", "100"]);
  const archive = Buffer.concat([member("one", "0", "1"), Buffer.alloc(1024)]);
  const gzip = gzipSync(archive);
  for (const start of [archive, gzip]) {
    const { status, body } = await put(own, "/srv", start, 200 << 20).answer;
    assert.is(status, 400, body);
    assert.match(body, /64 MiB/);
  }
  const working = (): number =>
    readdirSync(`/proc/${own.daemonPid()}/task`).filter((id) => {
      try {
        return /^(inflate|tsbox-call)$/.test(readFileSync(`/proc/${own.daemonPid()}/task/${id}/comm`, "utf8").trim());
      } catch {
        return false;
      }
    }).length;
  const { answer, leave } = put(own, "/srv", archive, 16 << 20);
  await answer;
  const leaving = put(own, "/srv", Buffer.concat([archive.subarray(0, 2048)]), 0);
  leaving.leave();
  await until(() => working() === 0, "native code still works for a client that is gone");
  leave();
  same();
});
