// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are the instructions'.
/** Variables and quotes in instructions, as tables. */
import assert from "node:assert/strict";
import { suite } from "@tsbox/harness";
import { isTsboxError } from "@tsbox/kernel";
import { environmentOf, expand } from "../src/expand.ts";
import { applyInstructions } from "../src/instructions.ts";
import { parseNewName } from "../src/reference.ts";

const test = suite("variables in instructions");
const environment = environmentOf(["A=one", "EMPTY=", "PATH=/bin:/usr/bin", "F=a.tar.gz", "N_1=n"]);

const good: readonly (readonly [word: string, value: string])[] = [
  ["$A", "one"],
  ["${A}x", "onex"],
  ["$Ax", ""],
  ["$A-$N_1", "one-n"],
  ["$PATH:/opt/bin", "/bin:/usr/bin:/opt/bin"],
  ["\\$A", "$A"],
  ["'$A'", "$A"],
  ['"$A b"', "one b"],
  ['"\\$A \\x \\\\ \\""', '$A \\x \\ "'],
  ["'a'\"b\"c", "abc"],
  ["$", "$"],
  ["a$ b", "a$ b"],
  ["$1x", "x"],
  ["${NO:-x y}", "x y"],
  ["${NO-x}", "x"],
  ["${EMPTY:-x}", "x"],
  ["${EMPTY-x}", ""],
  ["${NO:-$A}", "one"],
  ["${NO:-${EMPTY:-deep}}", "deep"],
  ["${A:+x}", "x"],
  ["${EMPTY:+x}", ""],
  ["${EMPTY+x}", "x"],
  ["${NO+x}", ""],
  ["${A:?no}", "one"],
  ["${F#*.}", "tar.gz"],
  ["${F##*.}", "gz"],
  ["${F%.*}", "a.tar"],
  ["${F%%.*}", "a"],
  ["${PATH/bin/sbin}", "/sbin:/usr/bin"],
  ["${PATH//bin/sbin}", "/sbin:/usr/sbin"],
];
for (const [word, value] of good) test(`${word} is ${value}`, () => assert.equal(expand(word, environment), value));

for (const word of ["${A", "${", "${}", "'a", '"a', "${NO:?must}", "${A!x}", `${"${NO:-".repeat(200)}${"}".repeat(200)}`])
  test(`${word.slice(0, 20)} is refused`, () =>
    assert.throws(
      () => expand(word, environment),
      (error: unknown) => isTsboxError(error) && error.code === "InvalidArgument",
    ));

test("a new entrypoint makes the former command void, unless a command is given beside it", () => {
  const config = { Cmd: ["sh"], Entrypoint: ["/old"] };
  assert.equal(applyInstructions(config, ['ENTRYPOINT ["/new"]']).Cmd, undefined);
  assert.deepEqual(applyInstructions(config, ['entrypoint ["/new"]', 'CMD ["x"]']).Cmd, ["x"]);
  assert.deepEqual(applyInstructions(config, ["ENTRYPOINT []"]).Cmd, ["sh"]);
});

test("a stop signal that is none and the name of a digest's algorithm are refused", () => {
  const isInvalid = (error: unknown): boolean => isTsboxError(error) && error.code === "InvalidArgument";
  assert.throws(() => applyInstructions({}, ["STOPSIGNAL NOPE"]), isInvalid);
  for (const name of ["sha256", `sha256:${"a".repeat(64)}`, "docker.io/library/sha256:1"])
    assert.throws(() => parseNewName(name, null, "no"), isInvalid, name);
});

test("a health check with which no container could be created, and lists of other things than words are refused", () => {
  const isInvalid = (error: unknown): boolean => isTsboxError(error) && error.code === "InvalidArgument";
  for (const wrong of [
    "HEALTHCHECK --interval=1us CMD x",
    "HEALTHCHECK --timeout=0.5ms CMD x",
    "HEALTHCHECK --start-period=999us CMD x",
    "HEALTHCHECK --interval=9999999999h CMD x",
    "HEALTHCHECK CMD []",
    "CMD [1]",
    'ENTRYPOINT ["a", {}]',
    "VOLUME [null]",
  ])
    assert.throws(() => applyInstructions({}, [wrong]), isInvalid, wrong);
  const zeros = applyInstructions({}, ["HEALTHCHECK --interval=0s --timeout=0 --retries=0 CMD x"]);
  assert.deepEqual(zeros.Healthcheck, { Test: ["CMD-SHELL", "x"], Interval: 0, Timeout: 0, Retries: 0 });
  assert.deepEqual(applyInstructions({}, ["CMD ['a']"]).Cmd, ["/bin/sh", "-c", "['a']"]);
});

test("every instruction that Docker expands is expanded, no other", () => {
  const config = applyInstructions({ Env: ["PATH=/bin", "D=/data dir", "P=80 81/udp", "U=me"] }, [
    "ENV PATH=$PATH:/opt/bin NEXT=$PATH",
    "ENV OLD $U is it",
    "LABEL who=$U '$U'=\"${U}s\"",
    "EXPOSE $P 90",
    "USER $U:$U",
    "WORKDIR $D",
    'VOLUME ["$D", "/v"]',
    "VOLUME /w/$U",
    "STOPSIGNAL ${NO:-SIGUSR1}",
    "CMD echo $U",
    'ENTRYPOINT ["sh", "$U"]',
    "HEALTHCHECK CMD test $U",
  ]);
  assert.deepEqual(config, {
    Env: ["PATH=/bin:/opt/bin", "D=/data dir", "P=80 81/udp", "U=me", "NEXT=/bin", "OLD=me is it"],
    Labels: { who: "me", $U: "mes" },
    ExposedPorts: { "80/tcp": {}, "81/udp": {}, "90/tcp": {} },
    User: "me:me",
    WorkingDir: "/data dir",
    Volumes: { "/data dir": {}, "/v": {}, "/w/me": {} },
    StopSignal: "SIGUSR1",
    Cmd: ["/bin/sh", "-c", "echo $U"],
    ArgsEscaped: undefined,
    Entrypoint: ["sh", "$U"],
    Healthcheck: { Test: ["CMD-SHELL", "test $U"] },
  });
});
