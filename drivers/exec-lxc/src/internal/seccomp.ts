/** A seccomp profile of the OCI spec in LXC's own syntax, version 2. */
import { fail } from "@tsbox/kernel";

interface Argument {
  readonly index: number;
  readonly value: number;
  readonly valueTwo?: number;
  readonly op: string;
}
interface Rule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly Argument[];
}
interface Profile {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly architectures?: readonly string[];
  readonly flags?: readonly string[];
  readonly syscalls?: readonly Rule[];
}

const defaultErrno = 1;
/** By the OCI spec's operators; LXC's masked compare is `SCMP_CMP_MASKED_EQ` with the mask as its last number. */
const operators: readonly string[] = [
  "SCMP_CMP_NE",
  "SCMP_CMP_LT",
  "SCMP_CMP_LE",
  "SCMP_CMP_EQ",
  "SCMP_CMP_GE",
  "SCMP_CMP_GT",
  "SCMP_CMP_MASKED_EQ",
];
/** `[all]` is for the host's own architecture and for those that its kernel runs beside it. */
const architectures: readonly string[] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"];

export function seccompPolicy(raw: unknown): string {
  const profile = raw as Profile;
  if (profile.flags !== undefined && profile.flags.length > 0) throw unsupported(`flags (${profile.flags.join(", ")})`);
  const unknown = profile.architectures?.find((name) => !architectures.includes(name));
  if (unknown !== undefined) throw unsupported(`architectures (${unknown})`);
  const fallback = actionOf(profile.defaultAction, profile.defaultErrnoRet);
  const lines = (profile.syscalls ?? []).flatMap((rule) => linesOf(rule, fallback));
  return ["2", `allowlist ${fallback}`, "[all]", ...lines, ""].join("\n");
}

/** A rule with the default's action changes nothing; LXC refuses it. */
function linesOf({ names, action, errnoRet, args = [] }: Rule, fallback: string): readonly string[] {
  const word = actionOf(action, errnoRet);
  if (word === fallback && args.length === 0) return [];
  const compared = args.map(argumentOf).join("");
  return names.map((name) => `${name} ${word}${compared}`);
}

function argumentOf({ index, value, valueTwo = 0, op }: Argument): string {
  if (!operators.includes(op)) throw unsupported(`syscalls.args.op (${op})`);
  // The spec's value is the mask, and valueTwo what remains; LXC has them the other way round.
  return op === "SCMP_CMP_MASKED_EQ" ? ` [${index},${valueTwo},${op},${value}]` : ` [${index},${value},${op}]`;
}

function actionOf(action: string, errno = defaultErrno): string {
  switch (action) {
    case "SCMP_ACT_ALLOW":
      return "allow";
    case "SCMP_ACT_ERRNO":
      return `errno ${errno}`;
    case "SCMP_ACT_KILL":
    case "SCMP_ACT_KILL_THREAD":
    case "SCMP_ACT_KILL_PROCESS":
      return "kill";
    case "SCMP_ACT_TRAP":
      return "trap";
    default:
      throw unsupported(`action (${action})`);
  }
}

const unsupported = (what: string): Error =>
  fail("Unsupported", `LXC can't express linux.seccomp.${what}; leave it out, or use the exec driver native`);
