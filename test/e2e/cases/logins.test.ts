/**
 * Registries that need a login: pulls use the data of docker's config.json and its credential helpers, which is not stored by the engine.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { alive, binary, type Engine, engine, until } from "../src/engine.ts";
import { type Guard, layer, registry } from "../src/held-registry.ts";

const test = suite("logins", { timeout: 120_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");

const password = "a-secret-that-nobody-else-sees";
const basic = `Basic ${Buffer.from(`me:${password}`).toString("base64")}`;
const denied = (words: string): string => JSON.stringify({ errors: [{ code: "UNAUTHORIZED", message: words }] });

/** Basic authentication. */
const byPassword: Guard = (request, response) => {
  if (request.headers.authorization === basic) return false;
  response.writeHead(401, { "www-authenticate": 'Basic realm="r"' }).end(denied("authentication required"));
  return true;
};

/** A token server that accepts the password or an identity token. */
const byToken: Guard = (request, response) => {
  if (request.headers.authorization === "Bearer granted") return false;
  if (!request.url?.startsWith("/token")) {
    const realm = `http://${request.headers.host}/token`;
    response.writeHead(401, { "www-authenticate": `Bearer realm="${realm}",service="s"` }).end(denied("authentication required"));
    return true;
  }
  let form = "";
  request.on("data", (part) => (form += part));
  request.on("end", () => {
    if (request.headers.authorization === basic || form.includes(`refresh_token=${password}`)) response.end('{"token":"granted"}');
    else response.writeHead(401).end(denied("incorrect username or password"));
  });
  return true;
};

/** A directory with config.json, and a folder of credential helpers on the PATH. */
function user(t: Case) {
  const directory = temporaryDirectory(t);
  const bin = join(directory, "bin");
  mkdirSync(bin);
  return {
    directory,
    environment: { DOCKER_CONFIG: directory, PATH: `${bin}:${process.env.PATH}` },
    configure: (configuration: unknown) => writeFileSync(join(directory, "config.json"), JSON.stringify(configuration)),
    helper: (name: string, script: string) => {
      writeFileSync(join(bin, `docker-credential-${name}`), `#!/bin/sh\nread registry\n${script}\n`);
      chmodSync(join(bin, `docker-credential-${name}`), 0o755);
    },
  };
}

async function untold(own: Engine): Promise<void> {
  const outputs = [own.log, await own.ok(["events", "--since", "1h", "--until", "0s", "--format", "json"]), await own.ok(["info"])];
  const found = execFileSync("sh", ["-c", `grep -rl -e '${password}' -e '${basic.slice(6)}' ${own.root} ${own.state} || true`]).toString();
  assert.is(
    outputs.some((text) => text.includes(password)),
    false,
  );
  assert.is(found, "");
}

test.skipIf(reason, "pull, run and create log in by a file, a helper or an identity token; nothing of it is kept", async (t) => {
  const [plain, tokens] = [
    await registry(t, { image: [layer(t, "a", 1000)] }, null, byPassword),
    await registry(t, { image: [layer(t, "b", 1000)] }, null, byToken),
  ];
  const own = await engine(t);
  const { environment, directory, configure, helper } = user(t);
  const options = { environment };

  const refused = await own.run(["pull", `${plain.host}/image`], options);
  assert.is(refused.code, 1);
  assert.match(
    refused.stderr,
    /^tsbox: pull access denied for \S+\/image, repository does not exist or may require authorization: authentication required; [^\n]+\n$/,
  );

  const auth = Buffer.from(`me:${password}`).toString("base64");
  configure({ auths: { [plain.host]: { auth }, [`http://${tokens.host}/v1/`]: { username: "me", password: "wrong" } } });
  await own.ok(["pull", "-q", `${plain.host}/image`], options);
  const wrong = await own.run(["pull", `${tokens.host}/image`], options);
  assert.is(wrong.code, 1);
  assert.match(wrong.stderr, /pull access denied for [^\n]*: incorrect username or password; [^\n]+\n$/);

  helper("stored", `echo '{"Username":"me","Secret":"${password}"}'`);
  configure({ credHelpers: { [tokens.host]: "stored" } });
  assert.match((await own.run(["create", `${tokens.host}/image`, "/none"], options)).stdout, /^[0-9a-f]{64}\n$/);
  await own.ok(["rm", "-f", ...(await own.ok(["ps", "-aq"])).trim().split("\n")]);
  await own.ok(["rmi", `${tokens.host}/image`, `${plain.host}/image`]);

  // Another flag selects another file; and the portable client reads logins as the native one does.
  const other = user(t);
  other.helper("stored", `echo '{"Username":"<token>","Secret":"${password}"}'`);
  other.configure({ credsStore: "stored" });
  const PATH = other.environment.PATH;
  await own.ok(["--config", other.directory, "pull", `${tokens.host}/image`], { environment: { DOCKER_CONFIG: directory, PATH } });
  const list = join(directory, "env");
  writeFileSync(list, "");
  configure({ auths: { [plain.host]: { auth } } });
  const made = await own.run(["create", "--env-file", list, `${plain.host}/image`, "/none"], options);
  assert.match(made.stdout, /^[0-9a-f]{64}\n$/, made.stderr);
  await untold(own);
});

test.skipIf(reason, "a helper that prints garbage is a warning; one that hangs ends when its user interrupts", async (t) => {
  const { host } = await registry(t, { image: [layer(t, "a", 1000)] }, null, byPassword);
  const own = await engine(t);
  const { environment, directory, configure, helper } = user(t);
  const marker = join(directory, "pid");
  helper("odd", "printf 'odd\\033[31m'");
  helper("hangs", `echo $$ > ${marker}.new; mv ${marker}.new ${marker}; exec sleep 60`);
  configure({ credsStore: "odd" });
  const odd = await own.run(["pull", `${host}/image`], { environment });
  assert.is(odd.code, 1);
  assert.match(
    odd.stderr,
    /^WARNING: what the credential helper docker-credential-odd prints is no login: [^\n]+\ntsbox: pull access denied /,
  );
  for (const words of [[], ["--env-file", "/dev/null"]]) {
    rmSync(marker, { force: true });
    configure({ credHelpers: { [host]: "hangs" } });
    const client = own.client(["create", ...words, `${host}/image`, "/none"], { environment });
    await until(() => existsSync(marker), "the helper to start");
    client.process.kill("SIGTERM");
    const ended = await client.ended;
    assert.ok([143, 1].includes(ended.code), `${ended.code} ${ended.stderr}`);
    const pid = Number(readFileSync(marker, "utf8"));
    await until(() => !alive(pid), "the helper to end with the client");
  }
  await own.ok(["version"]);
});

test.skipIf(reason, "system check --repair pulls with the caller's login, over HTTP too", async (t) => {
  const image = layer(t, "a", 100_000);
  const { host } = await registry(t, { image: [image] }, null, byPassword);
  const own = await engine(t);
  const { environment, configure } = user(t);
  configure({ auths: { [host]: { username: "me", password } } });
  await own.ok(["pull", `${host}/image`], { environment });
  const blob = join(own.root, "content/blobs/sha256", image.digest.slice("sha256:".length));
  const clients: readonly (readonly string[])[] = [[], ["-H", `unix://${own.socket}`]];
  for (const address of clients) {
    writeFileSync(blob, "damaged");
    const refused = await own.run([...address, "system", "check", "--repair"], { environment: { DOCKER_CONFIG: "/nonexistent" } });
    assert.is(refused.code, 1);
    assert.match(refused.stdout, /the blob \S+ is damaged: pull access denied for [^\n]+\n$/);
    const mended = await own.run([...address, "system", "check", "--repair"], { environment });
    assert.is(mended.code, 0, mended.stdout);
    assert.match(mended.stdout, /: mended\n$/);
    assert.is(readFileSync(blob).equals(image.bytes), true);
  }
  await untold(own);
});
