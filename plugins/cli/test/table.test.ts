/** The table of commands, and the files that are generated from it. */
import { spawnSync } from "node:child_process";
import { suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { CommandError } from "../src/command-error.ts";
import { commands, find, groups } from "../src/command-table.ts";
import { runsLocally } from "../src/dispatch.ts";
import { commandHelp, groupHelp, overview } from "../src/help.ts";
import { manPages } from "../src/man.ts";

const test = suite("cli: the table of commands");

test("no two commands are called by one path, and each alias lies in a group", () => {
  const paths = commands.flatMap(({ name, aliases = [] }) => [name, ...aliases.map((one) => (typeof one === "string" ? one : one.path))]);
  assert.equal(
    paths.filter((path, at) => paths.indexOf(path) !== at),
    [],
  );
  for (const path of paths.filter((one) => one.includes(" "))) assert.ok(Object.hasOwn(groups, path.split(" ")[0] ?? ""), path);
});

test("docker's longer names are the same commands", () => {
  const named = (line: string): string => {
    const asked = find(line.split(" "));
    return asked.kind === "command" ? [asked.command.name, ...asked.words].join(" ") : asked.kind;
  };
  assert.is(named("container ls -a"), "ps -a");
  assert.is(named("container stop web"), "stop web");
  assert.is(named("container remove -f web"), "rm -f web");
  assert.is(named("image ls"), "images");
  assert.is(named("image inspect box"), "inspect --type image box");
  assert.is(named("volume remove data"), "volume rm data");
  assert.is(named("system events"), "events");
  assert.is(named("volume"), "group");
  assert.is(named("image --help"), "group");
  assert.is(named("--help"), "overview");
});

test("a verb that its group has not is an error, and does not run the command of that name", () => {
  for (const line of ["volume stop", "image run", "system ps", "nosuch", "container volume", "toString", "container toString"])
    assert.throws(
      () => find(line.split(" ")),
      (error: unknown) => error instanceof CommandError && error.message.startsWith(`unknown command: ${line}`),
    );
});

test("a command says itself whether it needs the user's own process, whatever it is called by", () => {
  for (const line of ["cp a:/x y", "container cp a:/x y", "volume prune", "image save -o x y", "-H unix:///x cp a b"])
    assert.ok(runsLocally(line.split(" ")), line);
  for (const line of ["ps", "volume prune -f", "cp --help", "nosuch", "volume", "run box"])
    assert.not.ok(runsLocally(line.split(" ")), line);
});

test("help names every command, every verb of a group and every flag", () => {
  for (const { name } of commands) assert.match(overview(), new RegExp(`^  ${name} `, "m"));
  for (const [group, verbs] of Object.entries(groups))
    for (const verb of Object.keys(verbs)) assert.match(groupHelp(group, ""), new RegExp(`^  ${verb} `, "m"));
  for (const command of commands) for (const flag of Object.keys(command.flags)) assert.ok(commandHelp(command).includes(`--${flag}`));
});

test("each command has a manual page that man can read", () => {
  const pages = manPages();
  assert.is(pages.size, commands.length + 1);
  const run = pages.get("tsbox-run.1") ?? "";
  assert.match(run, /\\fB\\-e, \\-\\-env list\\fR/);
  assert.match(pages.get("tsbox.1") ?? "", /tsbox\\-volume\\-ls\\fR\(1\)/);
  for (const [name, text] of pages) {
    // Every line that begins with a dot is a valid request of roff.
    for (const [, request] of text.matchAll(/^\.(\w*)/gm)) assert.ok(["TH", "SH", "TP"].includes(request ?? ""), `${name}: .${request}`);
  }
  // If roff is installed, it must print no warnings.
  const roff = spawnSync("groff", ["-man", "-ww", "-z", "-Tutf8"], { input: run, encoding: "utf8" });
  if (roff.error === undefined) assert.is(roff.stderr, "");
});
