/** The driver with a fake registry whose faults the test selects. */
import assert from "node:assert/strict";
import { suite } from "@tsbox/harness";
import { createCall, type Digest, isTsboxError, silentLog } from "@tsbox/kernel";
import {
  anonymous,
  blob,
  blobDescriptor,
  call,
  digestOf,
  type Handler,
  manifest,
  manifestType,
  open,
  read,
  registry,
  serve,
} from "./fake-registry.ts";

const test = suite("registry-http");
const failure = (code: string, words: RegExp) => (error: unknown) => {
  assert.ok(isTsboxError(error), String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, words);
  assert.doesNotMatch(error.message, /\n/);
  return true;
};

test("a tag resolves by HEAD, a digest is checked, a manifest is fetched by its digest", async (t) => {
  const { host, asked } = await serve(t, registry);
  const driver = open(t);
  const found = await driver.resolve(call, `${host}/a/b:1`, anonymous);
  assert.deepEqual(found, { mediaType: manifestType, digest: digestOf(manifest), size: manifest.length });
  assert.deepEqual(asked, ["HEAD /v2/a/b/manifests/1"]);
  assert.deepEqual(await driver.resolve(call, `${host}/a/b@${found.digest}`, anonymous), found);
  assert.deepEqual(await read(await driver.fetch(call, `${host}/a/b:1`, found, 0, anonymous)), manifest);
});

test("without a digest header, or without HEAD, the digest is that of the body", async (t) => {
  const { host } = await serve(t, (request, response) => {
    if (request.method === "HEAD") response.writeHead(405).end();
    else response.writeHead(200, { "content-type": "text/plain" }).end(manifest);
  });
  const found = await open(t).resolve(call, `${host}/a/b:1`, anonymous);
  assert.deepEqual(found, { mediaType: manifestType, digest: digestOf(manifest), size: manifest.length });
});

test("a digest that is another's is data loss", async (t) => {
  const { host } = await serve(t, (request, response) => {
    response.writeHead(200, {
      "content-type": manifestType,
      "content-length": manifest.length,
      "docker-content-digest": digestOf(manifest),
    });
    response.end(request.method === "HEAD" ? undefined : manifest);
  });
  await assert.rejects(open(t).resolve(call, `${host}/a/b@sha256:${"0".repeat(64)}`, anonymous), failure("DataLoss", /answers sha256:/));
  const lying = await serve(t, (request, response) => {
    if (request.method === "HEAD") response.writeHead(500).end();
    else response.writeHead(200, { "content-type": manifestType, "docker-content-digest": `sha256:${"1".repeat(64)}` }).end(manifest);
  });
  await assert.rejects(open(t).resolve(call, `${lying.host}/a/b:1`, anonymous), failure("DataLoss", /calls it/));
});

test("a download goes on by range", async (t) => {
  const { host } = await serve(t, registry);
  const driver = open(t);
  for (const from of [0, 1, 65_536, blob.length - 1])
    assert.ok(
      (await read(await driver.fetch(call, `${host}/a/b:1`, blobDescriptor, from, anonymous))).equals(blob.subarray(from)),
      String(from),
    );
});

const withoutRanges: readonly (readonly [string, Handler])[] = [
  ["ignores ranges", (_request, response) => response.end(blob)],
  [
    "answers another range",
    (request, response) => {
      if (request.headers.range) response.writeHead(206, { "content-range": `bytes 0-9/${blob.length}` }).end(blob.subarray(0, 10));
      else response.end(blob);
    },
  ],
  ["refuses ranges", (request, response) => (request.headers.range ? response.writeHead(416).end() : response.end(blob))],
];
for (const [what, handler] of withoutRanges)
  test(`from a server that ${what}, the bytes that are there are skipped`, async (t) => {
    const { host } = await serve(t, handler);
    const bytes = await read(await open(t).fetch(call, `${host}/a/b:1`, blobDescriptor, 70_001, anonymous));
    assert.ok(bytes.equals(blob.subarray(70_001)));
  });

test("a cut blob is Unavailable after the bytes that came", async (t) => {
  const { host } = await serve(t, (_request, response) => {
    response.writeHead(200, { "content-length": blob.length });
    response.write(blob.subarray(0, 5000), () => response.destroy());
  });
  const stream = await open(t).fetch(call, `${host}/a/b:1`, blobDescriptor, 0, anonymous);
  let size = 0;
  await assert.rejects(
    async () => {
      for await (const part of stream) size += part.length;
    },
    failure("Unavailable", /broke off/),
  );
  assert.equal(size, 5000);
});

test("a call that is canceled stops a download with the call's reason", async (t) => {
  const { host } = await serve(t, (_request, response) => {
    response.writeHead(200, { "content-length": blob.length });
    response.write(blob.subarray(0, 10));
  });
  const controller = new AbortController();
  const stream = await open(t).fetch(createCall(silentLog, { signal: controller.signal }), `${host}/a/b:1`, blobDescriptor, 0, anonymous);
  await assert.rejects(
    async () => {
      for await (const _part of stream) controller.abort();
    },
    failure("Canceled", /canceled/),
  );
});

/** Requires tokens from `/token`, which gives them to `user`, or to all clients. */
function guarded(realm: () => string, user: string | null, tokens: { given: number; life: number }): Handler {
  return (request, response) => {
    if (request.url?.startsWith("/token")) {
      if (user !== null && request.headers.authorization !== `Basic ${Buffer.from(user).toString("base64")}`) {
        response.writeHead(401).end(JSON.stringify({ details: "incorrect username or password" }));
        return;
      }
      tokens.given += 1;
      response.end(JSON.stringify({ token: `t${tokens.given}`, expires_in: tokens.life }));
    } else if (request.headers.authorization === `Bearer t${tokens.given}`) registry(request, response);
    else {
      response.writeHead(401, {
        "www-authenticate": `Bearer realm="http://${realm()}/token",service="own, \\"test\\"",scope="repository:other:pull"`,
      });
      response.end(JSON.stringify({ errors: [{ code: "UNAUTHORIZED", message: "authentication\nrequired" }] }));
    }
  };
}

test("a token is asked for once and shared by all layers", async (t) => {
  const tokens = { given: 0, life: 300 };
  const server = await serve(t, (request, response) => guarded(() => server.host, null, tokens)(request, response));
  const driver = open(t);
  const reference = `${server.host}/a/b:1`;
  await driver.resolve(call, reference, anonymous);
  await Promise.all(Array.from({ length: 5 }, async () => read(await driver.fetch(call, reference, blobDescriptor, 0, anonymous))));
  assert.equal(tokens.given, 1);
  assert.ok(server.asked.includes("GET /token?service=own%2C+%22test%22&scope=repository%3Aa%2Fb%3Apull"), server.asked.join("\n"));
});

test("five first requests at a time share one token, and one that was revoked is replaced", async (t) => {
  const tokens = { given: 0, life: 300 };
  const server = await serve(t, (request, response) => guarded(() => server.host, null, tokens)(request, response));
  const driver = open(t);
  const reference = `${server.host}/a/b:1`;
  const all = (): Promise<unknown> => Promise.all(Array.from({ length: 5 }, () => driver.resolve(call, reference, anonymous)));
  await all();
  assert.equal(tokens.given, 1);
  // The registry forgets its tokens.
  tokens.given = 7;
  await all();
  assert.equal(tokens.given, 8);
});

test("credentials go to the token server, and wrong ones are reported with Docker's message", async (t) => {
  const tokens = { given: 0, life: 300 };
  const server = await serve(t, (request, response) => guarded(() => server.host, "me:secret", tokens)(request, response));
  const reference = `${server.host}/a/b:1`;
  await open(t).resolve(call, reference, { ...anonymous, credentials: { username: "me", password: "secret" } });
  for (const credentials of [null, { username: "me", password: "wrong" }])
    await assert.rejects(
      open(t).resolve(call, reference, { ...anonymous, credentials }),
      failure(
        "PermissionDenied",
        /^pull access denied for 127[^ ]*\/a\/b, repository does not exist or may require authorization: incorrect username/,
      ),
    );
});

test("basic authentication, and a token of the user's own", async (t) => {
  const { host } = await serve(t, (request, response) => {
    const { authorization } = request.headers;
    if (authorization === "Basic bWU6c2VjcmV0" || authorization === "Bearer mine") registry(request, response);
    else response.writeHead(401, { "www-authenticate": 'Basic realm="r"' }).end();
  });
  const reference = `${host}/a/b:1`;
  await open(t).resolve(call, reference, { ...anonymous, credentials: { username: "me", password: "secret" } });
  await open(t).resolve(call, reference, { ...anonymous, credentials: { token: "mine" } });
  for (const credentials of [null, { username: "me", password: "wrong" }])
    await assert.rejects(
      open(t).resolve(call, reference, { ...anonymous, credentials }),
      failure("PermissionDenied", /pull access denied for/),
    );
});

test("an identity token is exchanged for the tokens of a repository, and is sent nowhere else", async (t) => {
  const forms: string[] = [];
  const server = await serve(t, (request, response) => {
    if (request.url === "/token" && request.method === "POST") {
      let form = "";
      request.on("data", (part) => (form += part));
      request.on("end", () => {
        forms.push(form);
        if (form.includes("refresh_token=mine")) response.end(JSON.stringify({ access_token: "t", expires_in: 300 }));
        else response.writeHead(401).end(JSON.stringify({ errors: [{ code: "UNAUTHORIZED", message: "no such token" }] }));
      });
    } else if (request.headers.authorization === "Bearer t") registry(request, response);
    else response.writeHead(401, { "www-authenticate": `Bearer realm="http://${server.host}/token",service="own"` }).end();
  });
  const reference = `${server.host}/a/b:1`;
  const identity = (identityToken: string) => ({ ...anonymous, credentials: { username: "", password: "", identityToken } });
  await open(t).resolve(call, reference, identity("mine"));
  assert.deepEqual(forms, ["grant_type=refresh_token&service=own&client_id=tsbox&scope=repository%3Aa%2Fb%3Apull&refresh_token=mine"]);
  assert.ok(server.asked.every((line) => !line.includes("mine")));
  await assert.rejects(
    open(t).resolve(call, reference, identity("old")),
    failure("PermissionDenied", /pull access denied for .*no such token/),
  );
});

test("another host that a blob lies on does not see the credentials", async (t) => {
  let seen: string | undefined = "nobody asked";
  const storage = await serve(t, (request, response) => {
    seen = request.headers.authorization;
    registry(request, response);
  });
  const { host } = await serve(t, (request, response) => {
    if (request.headers.authorization === undefined) response.writeHead(401, { "www-authenticate": "Basic" }).end();
    else response.writeHead(307, { location: `http://${storage.host}${request.url}` }).end();
  });
  const access = { ...anonymous, credentials: { username: "me", password: "secret" } };
  const bytes = await read(await open(t).fetch(call, `${host}/a/b:1`, blobDescriptor, 10, access));
  assert.ok(bytes.equals(blob.subarray(10)));
  assert.equal(seen, undefined);
});

test("another host that wants credentials, by any challenge, gets none", async (t) => {
  const seen: string[] = [];
  let challenge = "";
  const storage = await serve(t, (request, response) => {
    seen.push(`${request.headers.authorization} ${request.url}`);
    if (request.url?.startsWith("/token")) response.end(JSON.stringify({ token: "t" }));
    else response.writeHead(401, { "www-authenticate": challenge }).end();
  });
  const { host } = await serve(t, (request, response) => {
    if (request.headers.authorization === undefined) response.writeHead(401, { "www-authenticate": "Basic" }).end();
    else response.writeHead(307, { location: `http://${storage.host}/elsewhere` }).end();
  });
  for (challenge of ["Basic", `Bearer realm="http://${storage.host}/token",service="s"`])
    for (const credentials of [
      { username: "me", password: "secret" },
      { username: "me", password: "secret", identityToken: "mine" },
    ])
      await assert.rejects(
        open(t).fetch(call, `${host}/a/b:1`, blobDescriptor, 0, { ...anonymous, credentials }),
        failure("Unavailable", /redirects to 127\.0\.0\.1:\d+, which answers 401: its operator must mend that/),
      );
  assert.deepEqual([...new Set(seen)], ["undefined /elsewhere"]);
});

test("redirects without end, and to what is not http, are refused", async (t) => {
  const { host } = await serve(t, (request, response) =>
    response.writeHead(302, { location: request.url?.includes("b/") ? request.url : "file:///etc/passwd" }).end(),
  );
  await assert.rejects(open(t).fetch(call, `${host}/a/b:1`, blobDescriptor, 0, anonymous), failure("Unavailable", /redirects more than/));
  await assert.rejects(open(t).fetch(call, `${host}/a/c:1`, blobDescriptor, 0, anonymous), failure("Unavailable", /redirects to "file/));
});

const answers: readonly (readonly [number, Readonly<Record<string, string>>, string, string, RegExp])[] = [
  [404, {}, "", "NotFound", /^manifest for 127.0.0.1:\d+\/a\/b:1 not found: manifest unknown$/],
  [403, {}, '{"errors":[{"code":"DENIED","message":"no\\u001b[31m"}]}', "PermissionDenied", /pull access denied for .*: no \[31m;/],
  [401, {}, "", "PermissionDenied", /may require authorization/],
  [429, { "retry-after": "30" }, "", "Unavailable", /toomanyrequests.*in 30 s/],
  [503, {}, "", "Unavailable", /answered 503/],
  [400, {}, "", "Unavailable", /is it a registry/],
];
for (const [status, headers, body, code, words] of answers)
  test(`status ${status} is ${code}`, async (t) => {
    const { host } = await serve(t, (_request, response) => response.writeHead(status, headers).end(body));
    await assert.rejects(open(t).resolve(call, `${host}/a/b:1`, anonymous), failure(code, words));
  });

test("a server that does not listen, and one that does not answer, are Unavailable", async (t) => {
  const { host } = await serve(t, (_request, response) => response.destroy());
  await assert.rejects(open(t).resolve(call, `${host}/a/b:1`, anonymous), failure("Unavailable", /broke off/));
  await assert.rejects(open(t).resolve(call, "127.0.0.1:1/a/b:1", anonymous), failure("Unavailable", /connection refused/));
});

test("mirrors come first, see no credentials, and hand over to the registry itself", async (t) => {
  const seen: (string | undefined)[] = [];
  const mirror = await serve(t, (request, response) => {
    seen.push(request.headers.authorization);
    response.writeHead(request.headers.authorization ? 200 : 401, { "www-authenticate": "Basic" }).end();
  });
  const { host } = await serve(t, registry);
  const access = {
    credentials: { username: "me", password: "secret" },
    endpoints: [{ url: `http://${mirror.host}`, insecure: true, certificates: null }],
  };
  assert.equal((await open(t).resolve(call, `${host}/a/b:1`, access)).digest, digestOf(manifest));
  assert.deepEqual([...new Set(seen)], [undefined]);
  const good = await serve(t, registry);
  const found = await open(t).resolve(call, "registry.invalid/a/b:1", {
    ...anonymous,
    endpoints: [{ url: `http://${good.host}/`, insecure: true, certificates: null }],
  });
  assert.equal(found.digest, digestOf(manifest));
});

test("what is no full reference is refused before anybody is asked", async (t) => {
  for (const text of ["debian", "127.0.0.1:1/a/../b:1", "127.0.0.1:1/a", "127.0.0.1:1/a@sha256:0", "h/a:1?x"])
    await assert.rejects(async () => open(t).resolve(call, text, anonymous), failure("InvalidArgument", /no full reference/));
  const other = { ...blobDescriptor, digest: "sha256:../../x" as Digest };
  await assert.rejects(async () => open(t).fetch(call, "127.0.0.1:1/a:1", other, 0, anonymous), failure("InvalidArgument", /digest/));
});
