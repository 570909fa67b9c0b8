/** Connections that carry a process's stdio: output and exit code are complete, whatever happens to the input. */
import { existsSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { docker, dockerClient } from "../src/docker.ts";
import { binary, type Engine, engine } from "../src/engine.ts";

const test = suite("hijacked connections", { timeout: 120_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");
const times = 20;
/** More than all buffers between container and client hold. */
const much = "0123456789abcdef\n".repeat(60_000);

async function machine(own: Engine): Promise<void> {
  await own.ok(["create", "--name", "maker", "--net", "none", "host:/", "true"]);
  await own.ok(["tag", "host:/", "machine:1"]);
}

test.skipIf(reason ?? docker.reason, "input that the process does not read costs neither output nor exit code", async (t) => {
  const own = await engine(t);
  await machine(own);
  for (let at = 0; at < times; at += 1) {
    const ran = await dockerClient(own, ["run", "-i", "--rm", "--net", "none", "machine:1", "head", "-n1"], much);
    assert.equal(ran, { code: 0, stdout: "0123456789abcdef\n", stderr: "" }, `run ${at}`);
  }
  await own.ok(["run", "-d", "--name", "box", "--net", "none", "host:/", "sleep", "1000"]);
  for (let at = 0; at < times; at += 1) {
    const ran = await dockerClient(own, ["exec", "-i", "box", "sh", "-c", "head -n1; exit 7"], much);
    assert.equal(ran, { code: 7, stdout: "0123456789abcdef\n", stderr: "" }, `exec ${at}`);
  }
  const long = await dockerClient(own, ["exec", "-i", "box", "sh", "-c", "exec 0<&-; seq 200000; exit 3"], much);
  assert.equal([long.code, long.stdout.length], [3, 1_288_895]);
});

/** An exec of `words` whose connection is hijacked; the answer's head is read. */
async function taken(
  own: Engine,
  words: readonly string[],
  upgrade: boolean,
  [terminal, startedWithOne]: readonly [boolean, boolean] = [false, false],
): Promise<{ readonly socket: Socket; readonly head: string; readonly id: string }> {
  const streams = { AttachStdin: true, AttachStdout: true, AttachStderr: true };
  const created = await request(own, "/containers/box/exec", { ...streams, Tty: terminal, Cmd: words });
  const body = JSON.stringify({ Detach: false, Tty: startedWithOne });
  const socket = connect(own.socket);
  const headers = upgrade ? "Connection: Upgrade\r\nUpgrade: tcp\r\n" : "";
  socket.write(
    `POST /v1.41/exec/${created.Id}/start HTTP/1.1\r\nHost: x\r\n${headers}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  let head = "";
  while (!head.includes("\r\n\r\n")) {
    const byte = socket.read(1) as Buffer | null;
    if (byte !== null) head += byte.toString("latin1");
    else await new Promise((resolve, reject) => socket.once("readable", resolve).once("error", reject));
  }
  return { socket, head, id: created.Id };
}

async function request(own: Engine, path: string, body: unknown): Promise<{ readonly Id: string }> {
  const socket = connect(own.socket);
  const text = JSON.stringify(body);
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
  );
  let answer = "";
  for await (const part of socket.setEncoding("utf8") as AsyncIterable<string>) answer += part;
  return JSON.parse(answer.slice(answer.indexOf("{"), answer.lastIndexOf("}") + 1)) as { readonly Id: string };
}

async function rest(socket: Socket): Promise<string> {
  let all = "";
  for await (const part of socket.setEncoding("latin1") as AsyncIterable<string>) all += part;
  return all;
}

/** The content of Docker's frames, however the output was split. */
function unframed(frames: string): string {
  let [text, at] = ["", 0];
  while (at < frames.length) {
    assert.is(frames.slice(at, at + 4), "\x01\0\0\0");
    const length = Buffer.from(frames.slice(at + 4, at + 8), "latin1").readUInt32BE(0);
    text += frames.slice(at + 8, at + 8 + length);
    at += 8 + length;
  }
  return text;
}

test.skipIf(
  reason,
  "half-closed, and without an upgrade as Docker takes it; a client that breaks off leaves the process alone",
  async (t) => {
    const own = await engine(t);
    await own.ok(["run", "-d", "--name", "box", "--net", "none", "host:/", "sleep", "1000"]);
    for (const upgrade of [true, false]) {
      const { socket, head } = await taken(own, ["sh", "-c", "cat; echo over"], upgrade);
      assert.match(
        head,
        upgrade ? /^HTTP\/1\.1 101 UPGRADED\r\n/ : /^HTTP\/1\.1 200 OK\r\nContent-Type: application\/vnd\.docker\.raw-stream\r\n/,
      );
      socket.end("in\n");
      assert.is(unframed(await rest(socket)), "in\nover\n");
    }
    const { socket } = await taken(own, ["sh", "-c", "cat >/dev/null; echo seen > /run/end"], true);
    socket.write("x");
    socket.destroy();
    assert.is((await own.run(["exec", "box", "sh", "-c", "until [ -e /run/end ]; do sleep 0.02; done; cat /run/end"])).stdout, "seen\n");
  },
);

test.skipIf(reason, "an exec's frames follow its start, as Docker's do; the detach keys leave a process that goes on", async (t) => {
  const own = await engine(t);
  await own.ok(["run", "-d", "--name", "box", "--net", "none", "host:/", "sleep", "1000"]);
  const hello = ["sh", "-c", "echo hi"];
  assert.is(await rest((await taken(own, hello, true, [false, true])).socket), "hi\n");
  assert.is(await rest((await taken(own, hello, true, [true, false])).socket), "\x01\0\0\0\0\0\0\x04hi\r\n");
  assert.is(await rest((await taken(own, hello, true, [true, true])).socket), "hi\r\n");
  const { socket, id } = await taken(own, ["sleep", "1000"], true, [true, true]);
  socket.write("\x10\x11");
  assert.match(await rest(socket), /^(\^P)?$/);
  const inspect = async (): Promise<string> => (await own.run(["exec", "box", "sh", "-c", "pgrep -f 'sleep 1000' | wc -l"])).stdout;
  assert.is(Number(await inspect()) >= 2, true, `exec ${id} goes on`);
});
