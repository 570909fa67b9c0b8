import { suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { showPorts } from "../src/commands/ps.ts";
import { compileTemplate } from "../src/template.ts";

const test = suite("ps");

test("ports as docker writes them", () => {
  const published = (from: number, to: number, IP = "0.0.0.0") => ({ IP, PublicPort: from, PrivatePort: to, Type: "tcp" });
  const same = (port: number, IP?: string) => published(port, port, IP);
  assert.is(showPorts([]), "");
  assert.is(showPorts([{ PrivatePort: 80, Type: "tcp" }]), "80/tcp");
  assert.is(showPorts([82, 80, 81, 90].map((port) => ({ PrivatePort: port, Type: "tcp" }))), "80-82/tcp, 90/tcp");
  assert.is(showPorts([published(8080, 80)]), "0.0.0.0:8080->80/tcp");
  assert.is(showPorts([same(80), same(81), published(8082, 82)]), "0.0.0.0:80-81->80-81/tcp, 0.0.0.0:8082->82/tcp");
  assert.is(showPorts([same(80), same(80, "::")]), "0.0.0.0:80->80/tcp, [::]:80->80/tcp");
});

test("a field that is a method takes arguments, another takes none", () => {
  const row = { Name: "x", Label: (key: unknown) => `value of ${String(key)}` };
  assert.is(compileTemplate('{{.Name}} {{.Label "a.b"}} {{.Label "c" | upper}}')(row), "x value of a.b VALUE OF C");
  assert.throws(() => compileTemplate('{{.Name "a"}}')(row), /\.Name is not a method but has arguments/);
});
