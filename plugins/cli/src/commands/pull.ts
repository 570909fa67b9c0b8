/** `pull`, and the pull of a `run` whose image is missing. */
import { join } from "node:path";
import { type ApiService, isTsboxError } from "@tsbox/kernel";
import { CommandError } from "../command-error.ts";
import type { FlagSpecs, Parsed } from "../flags.ts";
import type { Command, Io } from "../io.ts";
import { registryOf } from "../logins.ts";
import { showProgress, throwError } from "../progress.ts";

/** The flags of commands that use `withImage`. */
export const pullFlags: FlagSpecs = {
  pull: { kind: "text", help: 'Pull image before running ("always", "missing", "never")' },
  quiet: { short: "q", kind: "bool", help: "Suppress the pull output" },
};

export const pull: Command = {
  name: "pull",
  usage: "pull [OPTIONS] NAME[:TAG|@DIGEST]",
  about: "Download an image from a registry",
  aliases: ["image pull"],
  flags: {
    quiet: { short: "q", kind: "bool", help: "Suppress verbose output" },
    platform: { kind: "text", help: "Set platform if the image is multi-platform: OS/ARCH[/VARIANT]" },
  },
  words: [1, 1],
  async run(io, api, parsed) {
    const name = parsed.words[0] ?? "";
    const platform = parsed.text("platform");
    if (parsed.bool("quiet")) {
      for await (const line of await started(io, api, name, platform)) throwError(line);
      await io.out(`${familiar(name)}\n`);
      return 0;
    }
    if (!/[:@][^/]*$/.test(name)) await io.out("Using default tag: latest\n");
    await pullImage(io, api, name, platform, "out");
    await io.out(`${familiar(name)}\n`);
    return 0;
  },
};

/** The last line of docker's pull has the host and the tag in full. */
function familiar(name: string): string {
  const tagged = /[:@][^/]*$/.test(name) ? name : `${name}:latest`;
  const first = tagged.split("/", 1)[0] ?? "";
  if (!tagged.includes("/")) return `docker.io/library/${tagged}`;
  return /[.:]|^localhost$/.test(first) ? tagged : `docker.io/${tagged}`;
}

/** Starts the pull, with the user's login at the registry if there is one. */
async function started(io: Io, api: ApiService, name: string, platform: string | null): ReturnType<ApiService["imagePull"]> {
  const registry = registryOf(name);
  const auth = registry === null ? undefined : (await io.logins([registry]))[registry];
  return api.imagePull(io.call, name, { ...(platform === null ? {} : { platform }), ...(auth === undefined ? {} : { auth }) });
}

/** Calls `make`, which needs an image. A missing image is pulled first, with its progress on standard error. */
export async function withImage<T>(
  io: Io,
  api: ApiService,
  image: string,
  { parsed, platform }: { readonly parsed: Parsed; readonly platform: string | null },
  make: () => Promise<T>,
): Promise<T> {
  const policy = parsed.text("pull") ?? "missing";
  if (!["always", "missing", "never"].includes(policy))
    throw new CommandError(125, `invalid pull option: '${policy}': must be one of "always", "missing" or "never"`);
  const pull = (): Promise<void> => pullImage(io, api, imageOf(io, image), platform, parsed.bool("quiet") ? "nowhere" : "err");
  if (policy === "always") await pull();
  try {
    return await make();
  } catch (error) {
    const absent = isTsboxError(error) && error.code === "NotFound" && error.message.startsWith("No such image");
    if (!absent || policy !== "missing") throw error;
    await io.err(`Unable to find image '${withTag(image)}' locally\n`);
    await pull();
    return make();
  }
}

const withTag = (image: string): string => (/[:@][^/]*$/.test(image) ? image : `${image}:latest`);

/** Makes the path of another transport absolute: the engine does not know the user's working directory. */
export function imageOf(io: Pick<Io, "workingDirectory">, image: string): string {
  const match = /^(oci|oci-archive|docker-archive):(?!\/)(.+)$/s.exec(image);
  return match === null ? image : `${match[1]}:${join(io.workingDirectory, match[2] ?? "")}`;
}

export async function pullImage(
  io: Io,
  api: ApiService,
  name: string,
  platform: string | null,
  to: "out" | "err" | "nowhere",
): Promise<void> {
  const onError = to !== "out";
  const write = async (text: string | Uint8Array): Promise<void> => {
    if (to !== "nowhere") await (onError ? io.err(text) : io.out(text));
  };
  await showProgress(await started(io, api, name, platform), write, io.terminals[onError ? 2 : 1]);
}
