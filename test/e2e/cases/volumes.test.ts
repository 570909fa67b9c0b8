/** Volumes and mounts of every kind, with our own command line and docker's. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { docker, dockerClient } from "../src/docker.ts";
import { alive, binary, type Engine, engine, until } from "../src/engine.ts";
import { busyboxLayout, needsTools } from "../src/images.ts";

const test = suite("volumes and mounts", { timeout: 180_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");
const withImages = reason ?? needsTools("umoci", "skopeo", "busybox");
const withDocker = withImages ?? docker.reason;
const none = ["run", "--rm", "--net", "none"] as const;

interface Mounted {
  readonly Type: string;
  readonly Name?: string;
  readonly Source: string;
  readonly Destination: string;
  readonly RW: boolean;
  readonly Mode: string;
}
const mountsOf = async (own: Engine, name: string): Promise<readonly Mounted[]> =>
  ((await own.inspect(name)) as unknown as { readonly Mounts: readonly Mounted[] }).Mounts;

/** An image with volumes at /data (which belongs to the user app) and /empty, and with files for `--mount type=image`. */
function volumeImage(test: Case): string {
  const layout = busyboxLayout(test);
  const directory = temporaryDirectory(test, "/var/tmp");
  const bundle = join(directory, "bundle");
  const umoci = (...words: readonly string[]): void => void execFileSync("umoci", words as string[], { stdio: "pipe" });
  umoci("unpack", "--image", `${layout}:bb`, bundle);
  const rootfs = join(bundle, "rootfs");
  mkdirSync(join(rootfs, "data/deep"), { recursive: true });
  mkdirSync(join(rootfs, "empty"));
  writeFileSync(join(rootfs, "data/file"), "of the image\n", { mode: 0o640 });
  symlinkSync("/etc/passwd", join(rootfs, "data/link"));
  symlinkSync("/../../../..", join(rootfs, "data/up"));
  execFileSync("chown", ["-R", "1000:50", join(rootfs, "data")]);
  execFileSync("chmod", ["0710", join(rootfs, "data")]);
  umoci("repack", "--image", `${layout}:vol`, bundle);
  umoci("config", "--image", `${layout}:vol`, "--config.volume", "/data", "--config.volume", "/empty");
  return `oci:${layout}:vol`;
}

test.skipIf(reason, "a named volume outlives its containers, in use it is never lost, and its removal is an event", async (t) => {
  const own = await engine(t);
  assert.is(await own.ok(["volume", "create", "--label", "of=test", "kept"]), "kept\n");
  await own.ok([...none, "-v", "kept:/here", "host:/", "sh", "-c", "echo once > /here/file"]);
  assert.is(
    await own.ok([...none, "-v", "kept:/there:ro", "host:/", "sh", "-c", "cat /there/file; touch /there/x 2>/dev/null || echo refused"]),
    "once\nrefused\n",
  );
  const id = (
    await own.ok(["create", "--name", "holder", "--net", "none", "-v", "kept:/here", "-v", "made:/made", "host:/", "true"])
  ).trim();
  const refused = await own.run(["volume", "rm", "kept"]);
  assert.equal([refused.code, refused.stderr], [1, `tsbox: remove kept: volume is in use - [${id}]\n`]);
  assert.is(await own.ok(["volume", "prune", "-af"]), "Total reclaimed space: 0B\n");
  assert.is((await own.run(["volume", "rm", "-f", "kept"])).code, 1, "force does not help either");
  assert.is(await own.ok(["volume", "ls", "-q", "-f", "dangling=true"]), "");
  assert.is(await own.ok(["volume", "ls", "-q", "-f", "label=of=test"]), "kept\n");
  assert.is(
    await own.ok(["volume", "inspect", "-f", "{{.Name}} {{.Driver}} {{.Scope}} {{.Labels}}", "kept"]),
    "kept local local map[of:test]\n",
  );
  const [kept] = await mountsOf(own, "holder");
  assert.equal([kept?.Type, kept?.Name, kept?.Destination, kept?.RW, kept?.Mode], ["volume", "kept", "/here", true, "z"]);
  assert.is(readFileSync(join(kept?.Source ?? "", "file"), "utf8"), "once\n");
  assert.is(await own.ok(["ps", "-aq", "--no-trunc", "-f", "volume=kept"]), `${id}\n`);
  await own.ok(["rm", "-v", "holder"]);
  assert.is(await own.ok(["volume", "ls", "-q"]), "kept\nmade\n", "rm -v takes anonymous ones only");
  assert.is(await own.ok(["volume", "rm", "kept", "made"]), "kept\nmade\n");
  const gone = await own.run(["volume", "rm", "kept"]);
  assert.equal([gone.code, gone.stderr], [1, "tsbox: get kept: no such volume\n"]);
});

test.skipIf(reason, "the daemon's and the whole engine's death: a volume in use stays in use, its content stays", async (t) => {
  const own = await engine(t);
  await own.ok([
    "run",
    "-d",
    "--name",
    "user",
    "--net",
    "none",
    "-v",
    "data:/d",
    "-v",
    "/anonymous",
    "host:/",
    "sh",
    "-c",
    "echo before > /d/f; exec sleep 1000",
  ]);
  await own.ok(["volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=1m", "memory"]);
  await own.ok([
    "run",
    "-d",
    "--rm",
    "--name",
    "other",
    "--net",
    "none",
    "-v",
    "memory:/m",
    "-v",
    "/loose",
    "host:/",
    "sh",
    "-c",
    "echo kept > /m/f; exec sleep 1000",
  ]);
  const daemon = own.daemonPid();
  process.kill(daemon, "SIGKILL");
  await until(() => !alive(daemon), "the daemon to die");
  for (const name of ["data", "memory"]) assert.match((await own.run(["volume", "rm", name])).stderr, /volume is in use/);
  await until(async () => (await own.run([...none, "-v", "memory:/m", "host:/", "cat", "/m/f"])).stdout === "kept\n", "the shared memory");
  await own.killLauncher();
  await own.start();
  assert.match((await own.run(["volume", "rm", "data"])).stderr, /volume is in use/);
  await own.ok(["kill", "other"]);
  await until(async () => (await own.ok(["volume", "ls", "-q"])).split("\n").length === 4, "the anonymous volume of other to go");
  assert.is(await own.ok(["volume", "rm", "memory"]), "memory\n");
  await own.ok(["rm", "-f", "-v", "user"]);
  assert.is(await own.ok(["volume", "ls", "-q"]), "data\n");
  assert.is(await own.ok([...none, "-v", "data:/d", "host:/", "cat", "/d/f"]), "before\n");
});

test.skipIf(withImages, "an image's volumes: filled once with what the image has, owners too, and gone with rm -v and --rm", async (t) => {
  const own = await engine(t);
  const image = volumeImage(t);
  const look = "stat -c '%u:%g %a' /data /data/file; readlink /data/link; cat /data/file; ls -A /empty";
  const fresh = "1000:50 710\n1000:50 640\n/etc/passwd\nof the image\n";
  assert.is(await own.ok([...none, image, "sh", "-c", look]), fresh);
  await until(async () => (await own.ok(["volume", "ls", "-q"])) === "", "the anonymous volumes to go");
  assert.is(await own.ok([...none, "-v", "named:/data", image, "sh", "-c", `${look}; echo mine > /data/file`]), fresh);
  assert.is(await own.ok([...none, "-v", "named:/data", image, "cat", "/data/file"]), "mine\n", "no second copy");
  assert.is(await own.ok([...none, "-v", "bare:/data:nocopy", image, "ls", "-A", "/data"]), "");
  assert.is(await own.ok([...none, "--mount", "src=bare2,dst=/data,volume-nocopy", image, "ls", "-A", "/data"]), "");
  await own.ok(["create", "--name", "one", "--net", "none", image]);
  assert.is((await own.ok(["volume", "ls", "-q", "-f", "label=com.docker.volume.anonymous"])).split("\n").length, 3);
  await own.ok(["create", "--name", "two", "--net", "none", "--volumes-from", "one", image]);
  await own.ok(["rm", "-v", "one"]);
  assert.is((await own.ok(["volume", "ls", "-q", "-f", "label=com.docker.volume.anonymous"])).split("\n").length, 3, "two has them still");
  await own.ok(["rm", "-v", "two"]);
  await own.ok(["volume", "prune", "-f"]);
  assert.is(await own.ok(["volume", "ls", "-q"]), "bare\nbare2\nnamed\n");
});

test.skipIf(reason, "--volumes-from takes what another has, read-only if asked", async (t) => {
  const own = await engine(t);
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, "file"), "bound\n");
  await own.ok([
    "create",
    "--name",
    "first",
    "--net",
    "none",
    "-v",
    "vol:/vol",
    "-v",
    `${directory}:/bound`,
    "--tmpfs",
    "/t",
    "host:/",
    "true",
  ]);
  const script =
    "cat /bound/file; for d in /vol /bound; do touch $d/new 2>/dev/null && echo wrote || echo refused; done; test -d /t || echo no tmpfs";
  assert.is(await own.ok([...none, "--volumes-from", "first:ro", "host:/", "sh", "-c", script]), "bound\nrefused\nrefused\nno tmpfs\n");
  assert.is(await own.ok([...none, "--volumes-from", "first", "host:/", "sh", "-c", script]), "bound\nwrote\nwrote\nno tmpfs\n");
  const missing = await own.run([...none, "--volumes-from", "nobody", "host:/", "true"]);
  assert.equal([missing.code, missing.stderr], [125, "tsbox: No such container: nobody\n"]);
});

test.skipIf(reason, "binds: -v makes a missing directory, --mount refuses it; one that is read-only is so all the way down", async (t) => {
  const own = await engine(t);
  const directory = temporaryDirectory(t);
  const inner = join(directory, "inner");
  mkdirSync(inner);
  execFileSync("mount", ["-t", "tmpfs", "tmpfs", inner]);
  t.cleanup(() => execFileSync("umount", [inner]));
  const write = "touch /d/x 2>/dev/null && echo top; touch /d/inner/x 2>/dev/null && echo inner; true";
  const run = (...flags: readonly string[]): Promise<string> => own.ok([...none, ...flags, "host:/", "sh", "-c", write]);
  const mount = (more: string): readonly string[] => ["--mount", `type=bind,src=${directory},dst=/d${more}`];
  assert.is(await run("-v", `${directory}:/d`), "top\ninner\n");
  assert.is(await run("-v", `${directory}:/d:ro`), "");
  assert.is(await run(...mount(",ro")), "");
  assert.is(await run(...mount(",ro,bind-recursive=writable")), "inner\n");
  assert.is(await run(...mount(",ro,bind-propagation=rprivate,bind-recursive=readonly")), "");
  assert.is(
    await own.ok([...none, ...mount(",bind-recursive=disabled"), "host:/", "sh", "-c", "findmnt -rno TARGET | grep -Ec '^/d(/|$)'"]),
    "1\n",
  );
  const absent = join(directory, "made/by/v");
  const refused = await own.run([...none, "--mount", `type=bind,src=${absent},dst=/d`, "host:/", "true"]);
  assert.equal(
    [refused.code, refused.stderr],
    [125, `tsbox: invalid mount config for type "bind": bind source path does not exist: ${absent}\n`],
  );
  assert.not.ok(existsSync(absent));
  await own.ok([...none, "-v", `${absent}:/d`, "host:/", "true"]);
  assert.ok(existsSync(absent));
  for (const [flags, words] of [
    [["-v", "a:/d", "-v", "b:/d"], /Duplicate mount point: \/d\n$/],
    [["-v", `${directory}:/d:nonsense`], /invalid mode: nonsense\n$/],
    [["-v", `${directory}:relative`], /mount path must be absolute\n$/],
    [["-v", `${directory}:/`], /destination can't be '\/'\n$/],
    [["-v", "no/volume:/d"], /includes invalid characters for a local volume name/],
    [["--tmpfs", "/t:nonsense"], /invalid tmpfs option \["nonsense"\]/],
    [["--mount", "type=bind,dst=/d"], /field Source must not be empty/],
    [["--mount", "type=volume,src=v"], /target is required/],
    [["--mount", "type=tmpfs,dst=/d,volume-nocopy"], /cannot mix 'volume-\*' options with mount type 'tmpfs'/],
    [["--mount", "type=volume,dst=/d,sauce=x"], /unexpected key 'sauce' in 'sauce=x'/],
    [["--mount", "type=volume,src=v,dst=/d,volume-driver=nosuch"], /plugin "nosuch" not found/],
  ] as const) {
    const ran = await own.run([...none, ...flags, "host:/", "true"]);
    assert.is(ran.code, 125, flags.join(" "));
    assert.match(ran.stderr, words);
  }
  assert.is(await own.ok(["volume", "ls", "-q"]), "", "a create that is refused leaves no volume");
});

test.skipIf(withImages, "tmpfs, a part of a volume, another image: what --mount says", async (t) => {
  const own = await engine(t);
  const image = volumeImage(t);
  const run = (mount: string, script: string): Promise<string> => own.ok([...none, "--mount", mount, "host:/", "sh", "-c", script]);
  assert.is(
    await run("type=tmpfs,dst=/t,tmpfs-size=2m,tmpfs-mode=1700", "stat -c %a /t; df -k --output=size /t | tail -1 | tr -d ' '"),
    "1700\n2048\n",
  );
  assert.is(await run("type=tmpfs,dst=/t,ro", "touch /t/x 2>/dev/null || echo refused"), "refused\n");
  assert.match(await run("type=tmpfs,dst=/t", "findmnt -no OPTIONS /t"), /nosuid.*noexec|noexec.*nosuid/);
  await run("type=volume,src=parts,dst=/v", "mkdir -p /v/a/b; echo part > /v/a/b/f; ln -s /etc /v/out; ln -s a/b /v/in");
  assert.is(await run("type=volume,src=parts,dst=/v,volume-subpath=a/b", "cat /v/f; ls -A /v"), "part\nf\n");
  assert.is(await run("type=volume,src=parts,dst=/v,volume-subpath=in", "cat /v/f"), "part\n");
  for (const [path, words] of [
    ["../x", /subpath must be a relative path within the volume/],
    ["/etc", /subpath must be a relative path within the volume/],
    ["nothing", /cannot access path nothing/],
    ["out", /cannot access path out/],
  ] as const) {
    const ran = await own.run([...none, "--mount", `type=volume,src=parts,dst=/v,volume-subpath=${path}`, "host:/", "true"]);
    assert.is(ran.code, 125, path);
    assert.match(ran.stderr, words);
  }
  await own.ok(["create", "--name", "keeps", "--net", "none", image]);
  assert.is(
    await run(`type=image,src=${image},dst=/i`, "cat /i/data/file; touch /i/x 2>/dev/null || echo refused"),
    "of the image\nrefused\n",
  );
  assert.is(await run(`type=image,src=${image},dst=/i,image-subpath=data`, "cat /i/file; ls -A /i | wc -l"), "of the image\n4\n");
  assert.is(await run(`type=image,src=${image},dst=/i,image-subpath=data/up/data`, "cat /i/file"), "of the image\n", "no link leads out");
  assert.match((await own.run([...none, "--mount", "type=image,src=no-such,dst=/i", "host:/", "true"])).stderr, /No such image: no-such/);
});

test.skipIf(reason ?? needsBusybox(), "an image that a container mounts is in use, running or not", async (t) => {
  const own = await engine(t);
  for (const name of ["tools", "spare"]) await own.ok(["import", "-c", `LABEL is=${name}`, "-", name], { input: busyboxTar(t) });
  const id = (
    await own.ok(["create", "--name", "user", "--net", "none", "--mount", "type=image,src=tools,dst=/i", "host:/", "sleep", "1000"])
  ).trim();
  const refused = await own.run(["rmi", "tools"]);
  assert.is(refused.code, 1);
  assert.match(refused.stderr, new RegExp(`must force\\) - container ${id.slice(0, 12)} is using its referenced image`));
  await own.ok(["image", "prune", "-af"]);
  assert.is((await own.run(["image", "inspect", "spare"])).code, 1, "nobody uses it");
  await own.ok(["start", "user"]);
  const image = (await own.ok(["image", "inspect", "-f", "{{.Id}}", "tools"])).trim();
  assert.match((await own.run(["rmi", "-f", image])).stderr, /cannot be forced\) - image is being used by running container/);
  assert.is((await own.run(["exec", "user", "test", "-e", "/i/bin/busybox"])).code, 0);
  await own.ok(["rm", "-f", "user"]);
  await own.ok(["rmi", "tools"]);
});

test.skipIf(
  withImages,
  "another image in a user namespace: its owners are the container's, also for a part of it, and it is read-only",
  async (t) => {
    const own = await engine(t);
    const image = volumeImage(t);
    const run = (mount: string, script: string, driver: string): Promise<string> =>
      own.ok([...none, "--storage", driver, "--userns", "private", "--mount", mount, image, "sh", "-c", script]);
    for (const driver of ["overlay", "vfs"]) {
      const look = (path: string): string => `stat -c '%u %g' ${path}/file; cat ${path}/file; touch ${path}/x 2>/dev/null || echo refused`;
      assert.is(
        await run(`type=image,src=${image},dst=/i`, `stat -c %u /i/bin/busybox; ${look("/i/data")}`, driver),
        "0\n1000 50\nof the image\nrefused\n",
      );
      assert.is(await run(`type=image,src=${image},dst=/i,image-subpath=data`, look("/i"), driver), "1000 50\nof the image\nrefused\n");
    }
    // The whole machine as an image is an overlay of another kind.
    const machine = "type=image,src=host:/,dst=/i,image-subpath=usr";
    assert.is(await run(machine, "stat -c '%u %g' /i/bin; touch /i/x 2>/dev/null || echo refused", "overlay"), "0 0\nrefused\n");
  },
);

test.skipIf(reason, "options of the local driver: bind, tmpfs that is shared, and what it refuses", async (t) => {
  const own = await engine(t);
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, "file"), "of the host\n");
  await own.ok(["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", `device=${directory}`, "bound"]);
  assert.is(await own.ok([...none, "-v", "bound:/b", "host:/", "cat", "/b/file"]), "of the host\n");
  await own.ok(["volume", "create", "-o", "type=none", "-o", "o=bind,ro", "-o", `device=${directory}`, "bound-ro"]);
  assert.is(await own.ok([...none, "-v", "bound-ro:/b", "host:/", "sh", "-c", "touch /b/x 2>/dev/null || echo refused"]), "refused\n");
  await own.ok(["volume", "rm", "bound", "bound-ro"]);
  assert.ok(existsSync(join(directory, "file")), "the directory is the user's own");
  await own.ok(["volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,mode=1770", "memory"]);
  await own.ok([
    "run",
    "-d",
    "--name",
    "holder",
    "--net",
    "none",
    "-v",
    "memory:/m",
    "host:/",
    "sh",
    "-c",
    "echo shared > /m/f; exec sleep 1000",
  ]);
  await until(
    async () => (await own.run([...none, "-v", "memory:/m", "host:/", "cat", "/m/f"])).stdout === "shared\n",
    "what the other wrote",
  );
  await own.ok(["rm", "-f", "holder"]);
  assert.is(
    await own.ok([...none, "-v", "memory:/m", "host:/", "sh", "-c", "ls -A /m; stat -c %a /m"]),
    "1770\n",
    "gone with its last user",
  );
  for (const [options, words] of [
    [["nonsense=1"], /invalid option: "nonsense"/],
    [["type=tmpfs"], /missing required option: "device"/],
    [["device=/x"], /missing required option: "type"/],
    [["size=1g"], /no quota support/],
  ] as const)
    assert.match((await own.run(["volume", "create", ...options.flatMap((option) => ["-o", option]), "wrong"])).stderr, words);
  await own.ok(["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/no/such", "absent"]);
  const ran = await own.run([...none, "-v", "absent:/b", "host:/", "true"]);
  assert.match(ran.stderr, /failed to mount local volume: .*no such file or directory/);
  assert.is(await own.ok(["volume", "ls", "-q"]), "absent\nmemory\n");
});

test.skipIf(withDocker, "docker's own client: volumes and mounts", async (t) => {
  const own = await engine(t);
  const image = volumeImage(t);
  await own.ok(["create", "--name", "maker", "--net", "none", image]);
  await own.ok(["tag", image, "vol:1"]);
  await own.ok(["rm", "-v", "maker"]);
  const ran = async (...words: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await dockerClient(own, words);
    assert.is(code, 0, `docker ${words.join(" ")}: ${stderr}`);
    return stdout;
  };
  assert.is(await ran("volume", "create", "--label", "a=b", "one"), "one\n");
  assert.is(await ran(...none, "-v", "one:/data", "vol:1", "cat", "/data/file"), "of the image\n");
  assert.is(await ran(...none, "--mount", "type=volume,src=one,dst=/x,volume-subpath=deep", "vol:1", "ls", "-A", "/x"), "");
  assert.is(await ran(...none, "--mount", "type=image,src=vol:1,dst=/i", "vol:1", "cat", "/i/data/file"), "of the image\n");
  assert.is(await ran("volume", "inspect", "-f", "{{.Labels.a}} {{.Driver}}", "one"), "b local\n");
  await ran("create", "--name", "holder", "-v", "one:/here", "--tmpfs", "/t", "vol:1");
  assert.match(await ran("ps", "-a", "--format", "{{.Names}} {{.Mounts}} {{.LocalVolumes}}"), /^holder .*one.* 3\n$/);
  const refused = await dockerClient(own, ["volume", "rm", "one"]);
  assert.match(refused.stderr, /^Error response from daemon: remove one: volume is in use - \[[0-9a-f]{64}\]\n$/);
  await ran("rm", "-v", "holder");
  assert.is(await ran("volume", "ls", "-q"), "one\n");
  assert.match(await ran("volume", "prune", "-af"), /^Deleted Volumes:\none\n/);
});

/** A host as systemd sets it up: every mount is shared. */
const sharedHost = ["unshare", "-m", "--propagation", "private", "sh", "-c", 'mount --make-rshared / && exec "$@"', "sh"] as const;

test.skipIf(
  reason,
  "propagation: an rslave bind sees what the host mounts later, an rshared one shows the host what the container mounts",
  async (t) => {
    const own = await engine(t, null, sharedHost);
    const directory = temporaryDirectory(t, "/var/tmp");
    for (const name of ["host", "inside"]) mkdirSync(join(directory, name));
    const onHost = (...words: readonly string[]): string =>
      execFileSync("nsenter", ["-t", String(own.launcherPid), "-m", ...words], { encoding: "utf8", stdio: "pipe" });
    const starts: readonly (readonly [string, string])[] = [
      ["slave", "rslave"],
      ["shared", "rshared"],
      ["private", "rprivate"],
    ];
    for (const [name, mode] of starts)
      await own.ok([
        "run",
        "-d",
        "--privileged",
        "--name",
        name,
        "--net",
        "none",
        "-v",
        `${directory}:/d:${mode}`,
        "host:/",
        "sleep",
        "1000",
      ]);
    onHost("mount", "-t", "tmpfs", "tmpfs", join(directory, "host"));
    const table = async (name: string): Promise<string> => readFileSync(`/proc/${(await own.inspect(name)).State.Pid}/mountinfo`, "utf8");
    assert.match(await table("slave"), / \/d\/host /);
    assert.match(await table("shared"), / \/d\/host /);
    assert.not.match(await table("private"), / \/d\/host /);
    const mountInside = async (name: string): Promise<void> => {
      const pid = String((await own.inspect(name)).State.Pid);
      execFileSync("nsenter", ["-t", pid, "-m", "mount", "-t", "tmpfs", "tmpfs", "/d/inside"], { stdio: "pipe" });
    };
    const hostTable = (): string => readFileSync(`/proc/${own.launcherPid}/mountinfo`, "utf8");
    await mountInside("slave");
    await mountInside("private");
    assert.not.match(hostTable(), /\/inside /);
    await mountInside("shared");
    assert.match(hostTable(), /\/inside /);
    for (const name of ["inside", "host"]) onHost("umount", join(directory, name));
  },
);

test.skipIf(reason, "on a host whose mounts are private, a shared bind is refused with Docker's message", async (t) => {
  const own = await engine(t, null, ["unshare", "-m", "--propagation", "private"]);
  const directory = temporaryDirectory(t);
  for (const [mode, words] of [
    ["rshared", /it is not a shared mount/],
    ["slave", /it is not a shared or slave mount/],
  ] as const) {
    const refused = await own.run([...none, "-v", `${directory}:/d:${mode}`, "host:/", "true"]);
    assert.is(refused.code, 125);
    assert.match(refused.stderr, words);
  }
});
