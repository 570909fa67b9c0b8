/**
 * Resolves `--user` or the image's USER from the container's own /etc/passwd and /etc/group, as Docker does. The files come from the image,
 * so the toolkit opens them below its root, and their content is only parsed.
 */
import { type Call, fail, type HostToolkit, isTsboxError, type Mount, withMounts } from "@tsbox/kernel";
import type { ResolvedUser } from "./build.ts";

interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}
interface Group {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** In bytes. A larger file is no passwd file. */
const largest = 1 << 20;
const highestId = 2 ** 31 - 1;

export function resolveUser(
  call: Call,
  host: HostToolkit,
  rootfs: readonly Mount[],
  user: string,
  groupAdd: readonly string[] = [],
): Promise<ResolvedUser> {
  return withMounts(call, host, rootfs, (root) => resolveInRoot(call, host, root, user, groupAdd));
}

export async function resolveInRoot(
  call: Call,
  host: HostToolkit,
  root: string,
  user: string,
  groupAdd: readonly string[],
): Promise<ResolvedUser> {
  const text = async (path: string): Promise<string> => {
    try {
      return Buffer.from(await host.readFile(call, root, path, largest)).toString();
    } catch (error) {
      if (isTsboxError(error) && error.code === "NotFound") return "";
      throw error;
    }
  };
  return resolveFrom(user, await text("/etc/passwd"), await text("/etc/group"), groupAdd);
}

/** `user`: "", "name", "uid", each with ":group" or ":gid"; `groupAdd`: names or numbers of groups. */
export function resolveFrom(user: string, passwd: string, group: string, groupAdd: readonly string[] = []): ResolvedUser {
  const [who = "", of] = user.split(":", 2);
  const accounts = rows(passwd).flatMap(([name, , uid, gid, , home]) =>
    name !== undefined && numeric(uid) && numeric(gid)
      ? [{ name, uid: Number(uid), gid: Number(gid), home: home || "/" } satisfies Account]
      : [],
  );
  const groups = rows(group).flatMap(([name, , gid, members]) =>
    name !== undefined && numeric(gid) ? [{ name, gid: Number(gid), members: (members ?? "").split(",") } satisfies Group] : [],
  );
  const account = findAccount(accounts, who || "0");
  const uid = account?.uid ?? id(who || "0", "user");
  const gid = of === undefined || of === "" ? (account?.gid ?? 0) : (groups.find((entry) => entry.name === of)?.gid ?? id(of, "group"));
  // As in Docker: with a requested group, the account's other groups don't apply.
  const further =
    (of ?? "") === "" && account !== undefined
      ? groups.filter((entry) => entry.members.includes(account.name)).map((entry) => entry.gid)
      : [];
  const added = groupAdd.map((name) => groups.find((entry) => entry.name === name)?.gid ?? id(name, "group"));
  // The own gid is also among the additional ones: a process that drops its gid must not thereby escape what the group is denied
  // (CVE-2022-36109).
  const all = [...new Set([gid, ...further, ...added])];
  return { uid, gid, additionalGids: all, home: account?.home ?? "/" };
}

function findAccount(accounts: readonly Account[], who: string): Account | undefined {
  return (
    accounts.find((account) => account.name === who) ?? (numeric(who) ? accounts.find((account) => account.uid === Number(who)) : undefined)
  );
}

function id(text: string, what: "user" | "group"): number {
  if (!numeric(text))
    throw fail("InvalidArgument", `unable to find ${what} ${text}: no matching entries in ${what === "user" ? "passwd" : "group"} file`);
  const number = Number(text);
  if (number > highestId) throw fail("InvalidArgument", `uids and gids must be in range 0-${highestId}`);
  return number;
}

const numeric = (text: string | undefined): boolean => text !== undefined && /^\d+$/.test(text);
const rows = (text: string): readonly (readonly string[])[] =>
  text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(":"));
