/** Mount targets that are symbolic links: they are followed within the container's root, and missing parts are made, as Docker does. */
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { binary, type Engine, engine } from "../src/engine.ts";

const test = suite("mount targets that are links", { timeout: 120_000 });
const reason = needsRoot() ?? needsBusybox() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");
const none = ["run", "--rm", "--net", "none"] as const;

/** An image `links` with these links, by name and target. */
async function imageWith(test: Case, own: Engine, links: Readonly<Record<string, string>>): Promise<void> {
  const tar = busyboxTar(test, (root) => {
    for (const [name, target] of Object.entries(links)) {
      mkdirSync(dirname(join(root, name)), { recursive: true });
      symlinkSync(target, join(root, name));
    }
  });
  await own.ok(["import", "-c", "ENV PATH=/bin", "-", "links"], { input: tar });
}

test.skipIf(reason, "the engine's own files, as a host with systemd-resolved has them", async (t) => {
  const own = await engine(t);
  await imageWith(t, own, {
    "etc/resolv.conf": "../run/systemd/resolve/stub-resolv.conf",
    "etc/hosts": "/data/hosts",
    "etc/hostname": "first",
    "etc/first": "second",
    "etc/second": "../../../../../var/lib/hostname",
  });
  for (const userns of [[], ["--userns", "private"]]) {
    const seen = await own.ok([
      ...["run", "--rm", ...userns, "--dns", "192.0.2.7", "--add-host", "there:192.0.2.8", "--hostname", "linked", "links", "sh", "-c"],
      "cat /run/systemd/resolve/stub-resolv.conf /etc/hosts /var/lib/hostname; readlink /etc/resolv.conf",
    ]);
    for (const line of ["nameserver 192.0.2.7", "192.0.2.8\tthere", "\nlinked\n", "../run/systemd/resolve/stub-resolv.conf"])
      assert.ok(seen.includes(line), `${line} in ${seen}`);
  }
});

test.skipIf(reason, "binds, volumes, tmpfs, images, devices, the working directory, in chains; never out of the root", async (t) => {
  const own = await engine(t);
  await imageWith(t, own, {
    file: "/deep/er/file",
    dir: "../../../../../../tsbox-links-outside/dir",
    volume: "chain",
    chain: "/made/volume",
    memory: "made/memory",
    image: "made/image",
    shm: "/dev/shm",
    work: "made/work",
    node: "/made/node",
    parent: "made/parent",
    secret: "/made/secret",
  });
  const directory = temporaryDirectory(t);
  // In a user namespace the directory belongs to another user.
  chmodSync(directory, 0o755);
  writeFileSync(join(directory, "note"), "of the host\n");
  const flags = [
    ...["-v", `${join(directory, "note")}:/file`, "-v", `${directory}:/dir`, "-v", "named:/volume", "--tmpfs", "/memory"],
    ...["--mount", "type=image,source=links,target=/image", "--device", "/dev/null:/node", "-w", "/work", "-v", "/parent/anonymous"],
    ...["--mount", `type=bind,source=${join(directory, "note")},target=/parent/file`],
  ];
  const look = [
    "cat /deep/er/file /tsbox-links-outside/dir/note /made/parent/file; echo kept >/made/volume/note; pwd -P",
    "grep -c ' /made/memory tmpfs ' /proc/mounts; ls /made/image/bin/sh; echo x >/made/node && echo node; ls -d /made/parent/anonymous",
    "ls -l /made/node | cut -c1",
  ].join("; ");
  const shown = "of the host\nof the host\nof the host\n/made/work\n1\n/made/image/bin/sh\nnode\n/made/parent/anonymous\n";
  assert.is(await own.ok([...none, ...flags, "links", "sh", "-c", look]), `${shown}c\n`);
  assert.is(await own.ok([...none, "--userns", "private", ...flags, "links", "sh", "-c", look]), `${shown}c\n`);
  assert.is(await own.ok([...none, "-v", "named:/data", "links", "cat", "/data/note"]), "kept\n");
  assert.not.ok(existsSync("/tsbox-links-outside"), "nothing is made on the host");
});

test.skipIf(reason, "links that form a loop are refused in one line, and leave nothing", async (t) => {
  const own = await engine(t);
  await imageWith(t, own, { one: "two", two: "/one", grows: "new/../grows" });
  for (const target of ["/one", "/one/below", "/grows"])
    for (const flag of [
      ["-v", `/etc/passwd:${target}`],
      ["-v", `/etc:${target}`],
      ["--tmpfs", target],
      ["--device", `/dev/null:${target}`],
    ]) {
      const refused = await own.run([...none, ...flag, "links", "true"]);
      assert.is(refused.code, 125, flag.join(" "));
      assert.match(refused.stderr, /^tsbox: [^\n]*symbolic links form a loop[^\n]*\n$/, flag.join(" "));
    }
  assert.is(await own.ok(["ps", "-aq"]), "");
});

test.skipIf(reason, "what can't be mounted is refused in words, with Docker's exit code of the container", async (t) => {
  const own = await engine(t);
  await imageWith(t, own, { through: "/etc/passwd/x" });
  const directory = temporaryDirectory(t, "/var/tmp");
  mkdirSync(join(directory, "empty"));
  writeFileSync(join(directory, "file"), "");
  symlinkSync("loop", join(directory, "loop"));
  symlinkSync("/tsbox-links-nowhere", join(directory, "dangling"));
  const [file, empty] = [join(directory, "file"), join(directory, "empty")];
  const kinds = /a file is where a directory is needed|is a directory, and what is to be mounted there is not a directory/;
  for (const [flags, words, code] of [
    [["-v", `${file}:/etc`], kinds, 127],
    [["-v", `${empty}:/etc/passwd`], kinds, 127],
    [["-v", "named:/etc/passwd"], kinds, 127],
    [["--tmpfs", "/etc/passwd"], kinds, 127],
    [["-v", `${file}:/etc/passwd/x`], kinds, 127],
    [["-v", `${file}:/through`], kinds, 127],
    [["--device", "/dev/null:/etc/passwd/x"], kinds, 127],
    [["--userns", "private", "--device", "/dev/null:/etc"], kinds, 127],
    [["-v", `${empty}:/ro:ro`, "-v", `${file}:/ro/x`], /lies on a read-only file system/, 128],
    [["-v", `${empty}:/ro:ro`, "--tmpfs", "/ro/x"], /lies on a read-only file system/, 128],
    [["--device", "/dev/null:/etc/passwd"], /\/etc\/passwd exists already and is something else/, 128],
    [["-v", `${join(directory, "dangling")}:/x`], /a symbolic link is there, which leads nowhere|leads nowhere/, 128],
    [["-v", `${join(directory, "loop")}:/x`], /its symbolic links form a loop/, 128],
    [["-v", `${join(directory, "n".repeat(300))}:/x`], /too long/, 128],
  ] as const) {
    const shown = flags.join(" ").slice(0, 80);
    const made = await own.run(["create", "--name", "one", "--net", "none", ...flags, "links", "true"]);
    assert.is(made.code, 0, `${shown}: ${made.stderr}`);
    const refused = await own.run(["start", "one"]);
    assert.is(refused.code, 1, shown);
    assert.match(refused.stderr, words, shown);
    assert.not.match(refused.stderr, /os error|E[A-Z]{4,}|is a bug/, shown);
    assert.is((await own.ok(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "one"])).trim(), `created ${code}`, shown);
    await own.ok(["rm", "one"]);
  }
  const loop = ["--mount", `type=bind,source=${join(directory, "loop")},target=/x`];
  const refused = await own.run(["create", "--net", "none", ...loop, "links", "true"]);
  assert.match(refused.stderr, /its symbolic links form a loop/);
  // A user's own file at the place of a device stays, as in Docker.
  writeFileSync(file, "mine\n");
  assert.is(await own.ok([...none, "-v", `${file}:/dev/full`, "links", "cat", "/dev/full"]), "mine\n");
});

test.skipIf(reason, "a base directory of the host, as host:/ with systemd-resolved", async (t) => {
  const own = await engine(t);
  const base = temporaryDirectory(t, "/var/tmp");
  execFileSync("tar", ["-C", base, "-x"], { input: busyboxTar(t) });
  mkdirSync(join(base, "run"));
  symlinkSync("../run/systemd/resolve/stub-resolv.conf", join(base, "etc/resolv.conf"));
  const seen = await own.ok(["run", "--rm", "--dns", "192.0.2.7", `host:${base}`, "/bin/cat", "/etc/resolv.conf"]);
  assert.match(seen, /^nameserver 192\.0\.2\.7$/m);
  assert.not.ok(existsSync(join(base, "run/systemd")), "the host's own directory is untouched");
});

test.skipIf(reason, "exec, cp and restart of a container that has a volume behind such a link", async (t) => {
  const own = await engine(t);
  await imageWith(t, own, { volume: "made/volume" });
  await own.ok(["run", "-d", "--name", "one", "-v", "named:/volume", "links", "sleep", "1000"]);
  await own.ok(["exec", "one", "sh", "-c", "echo inside >/volume/note"]);
  const directory = temporaryDirectory(t);
  await own.ok(["cp", "one:/volume/note", directory]);
  await own.ok(["cp", join(directory, "note"), "one:/volume/copy"]);
  assert.is(await own.ok(["exec", "one", "cat", "/made/volume/copy"]), "inside\n");
  await own.ok(["restart", "-t", "0", "one"]);
  assert.is(await own.ok(["exec", "one", "cat", "/made/volume/copy"]), "inside\n");
  await own.ok(["stop", "-t", "0", "one"]);
  await own.ok(["cp", join(directory, "note"), "one:/volume/third"]);
  await own.ok(["cp", "one:/volume/third", directory]);
});
