/** The driver with Debian's docker-registry and images that skopeo pushed. */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { type Case, suite, temporaryDirectory } from "@tsbox/harness";
import { type Descriptor, isTsboxError } from "@tsbox/kernel";
import { anonymous, call, digestOf, manifestType, open, read } from "./fake-registry.ts";

const missing = ["docker-registry", "skopeo", "openssl"].find((name) => spawnSync("which", [name]).status !== 0);
const test = suite("registry-http with docker-registry");
const run = promisify(execFile);

/** Starts a registry, and returns `localhost:PORT`. */
async function serve(t: Case, tls: { readonly certificate: string; readonly key: string } | null): Promise<string> {
  const directory = temporaryDirectory(t);
  const config = {
    version: "0.1",
    storage: { filesystem: { rootdirectory: directory } },
    http: { addr: "127.0.0.1:0", ...(tls ? { tls } : {}) },
  };
  writeFileSync(`${directory}/config.yml`, JSON.stringify(config));
  const child: ChildProcess = spawn("docker-registry", ["serve", `${directory}/config.yml`], { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  t.cleanup(() => {
    child.kill("SIGKILL");
    return ended;
  });
  if (!child.stderr) throw new Error("no stderr");
  return new Promise((resolve, reject) => {
    const lines = createInterface({ input: child.stderr as NodeJS.ReadableStream });
    lines.on("line", (line) => {
      const port = /listening on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
      if (port !== undefined) resolve(`localhost:${port}`);
    });
    lines.on("close", () => reject(new Error("docker-registry ended before it listened")));
  });
}

/** Makes an OCI layout with one layer of random-looking bytes. */
function layout(t: Case): { readonly directory: string; readonly layer: Buffer } {
  const directory = temporaryDirectory(t);
  mkdirSync(`${directory}/blobs/sha256`, { recursive: true });
  const store = (mediaType: string, bytes: Buffer): Descriptor => {
    const digest = digestOf(bytes);
    writeFileSync(`${directory}/blobs/${digest.replace(":", "/")}`, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const layer = Buffer.concat(Array.from({ length: 10_000 }, (_, at) => createHash("sha256").update(String(at)).digest()));
  const config = { architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [digestOf(layer)] } };
  const manifest = {
    schemaVersion: 2,
    mediaType: manifestType,
    config: store("application/vnd.oci.image.config.v1+json", Buffer.from(JSON.stringify(config))),
    layers: [store("application/vnd.oci.image.layer.v1.tar", layer)],
  };
  const top = store(manifestType, Buffer.from(JSON.stringify(manifest)));
  const index = { schemaVersion: 2, manifests: [{ ...top, annotations: { "org.opencontainers.image.ref.name": "1" } }] };
  writeFileSync(`${directory}/index.json`, JSON.stringify(index));
  writeFileSync(`${directory}/oci-layout`, JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  return { directory, layer };
}

test.skipIf(missing === undefined ? null : `needs ${missing}`, "what skopeo pushed comes back with skopeo's digest", async (t) => {
  const host = await serve(t, null);
  const { directory } = layout(t);
  await run("skopeo", ["copy", "--dest-tls-verify=false", `oci:${directory}:1`, `docker://${host}/team/image:1`]);
  const inspected = await run("skopeo", ["inspect", "--tls-verify=false", "--format", "{{.Digest}}", `docker://${host}/team/image:1`]);
  const driver = open(t);
  const top = await driver.resolve(call, `${host}/team/image:1`, anonymous);
  assert.equal(top.digest, inspected.stdout.trim());
  const { layers } = JSON.parse((await read(await driver.fetch(call, `${host}/team/image:1`, top, 0, anonymous))).toString()) as {
    readonly layers: readonly [Descriptor];
  };
  const whole = await read(await driver.fetch(call, `${host}/team/image:1`, layers[0], 0, anonymous));
  assert.equal(digestOf(whole), layers[0].digest);
  const rest = await read(await driver.fetch(call, `${host}/team/image:1`, layers[0], 1000, anonymous));
  assert.ok(rest.equals(whole.subarray(1000)));
  for (const reference of [`${host}/team/image:2`, `${host}/nobody/nothing:1`])
    await assert.rejects(driver.resolve(call, reference, anonymous), (error) => isTsboxError(error) && error.code === "NotFound");
});

test.skipIf(
  missing === undefined ? null : `needs ${missing}`,
  "over TLS with an authority of the operator's own, and not without",
  async (t) => {
    const own = temporaryDirectory(t);
    const [certificate, key] = [`${own}/cert.pem`, `${own}/key.pem`];
    const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    await run("openssl", [
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-days",
      "1",
      "-keyout",
      key,
      "-out",
      certificate,
      ...subject,
    ]);
    const host = await serve(t, { certificate, key });
    const { directory } = layout(t);
    await run("skopeo", ["copy", "--dest-tls-verify=false", `oci:${directory}:1`, `docker://${host}/team/image:1`]);
    mkdirSync(`${own}/certs.d/${host}`, { recursive: true });
    const strict = open(t, `${own}/certs.d`);
    await assert.rejects(
      strict.resolve(call, `${host}/team/image:1`, anonymous),
      (error) => isTsboxError(error) && error.code === "Unavailable" && /no secure connection/.test(error.message),
    );
    writeFileSync(`${own}/certs.d/${host}/ca.crt`, readFileSync(certificate));
    assert.equal((await open(t, `${own}/certs.d`).resolve(call, `${host}/team/image:1`, anonymous)).mediaType, manifestType);
    const lenient = { ...anonymous, endpoints: [{ url: `https://${host}`, insecure: true, certificates: null }] };
    assert.equal((await open(t).resolve(call, `${host}/team/image:1`, lenient)).mediaType, manifestType);
  },
);
