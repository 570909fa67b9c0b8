/** A container's config in the form of an image's, and Docker's rules for merging two (daemon/commit.go). */
import type { Container, Image } from "@tsbox/kernel";

type Config = Readonly<Record<string, unknown>>;

/** A container's config as Docker's JSON. Fields that the engine's own config lacks are taken from the request. */
export function configOf({ config, imageName }: Container, image: Image): Config {
  const asked = config.raw.config;
  const kept = Object.fromEntries(
    ["Healthcheck", "OnBuild", "Shell", "ArgsEscaped"].flatMap((key) => (asked[key] == null ? [] : [[key, asked[key]]])),
  );
  return {
    Hostname: config.hostname,
    Domainname: config.domainname,
    User: config.user,
    AttachStdin: config.attach.stdin,
    AttachStdout: config.attach.stdout,
    AttachStderr: config.attach.stderr,
    ...(config.exposedPorts.length > 0
      ? { ExposedPorts: names(config.exposedPorts.map((port) => (port.includes("/") ? port : `${port}/tcp`))) }
      : {}),
    Tty: config.terminal,
    OpenStdin: config.openStdin,
    StdinOnce: config.stdinOnce,
    Env: config.env,
    Cmd: config.command,
    Image: imageName,
    Volumes: config.volumes.length > 0 ? names(config.volumes) : null,
    // If the user set no directory, the image's value stays.
    WorkingDir: config.workingDirectory === "/" && !asked.WorkingDir ? image.config.workingDirectory : config.workingDirectory,
    Entrypoint: config.entrypoint,
    Labels: config.labels,
    ...(config.stopSignal === "SIGTERM" ? {} : { StopSignal: config.stopSignal }),
    ...kept,
  };
}

const names = (list: readonly string[]): Config => Object.fromEntries(list.map((name) => [name, {}]));
const object = (config: Config, key: string): Config => (config[key] ?? {}) as Config;
const list = (config: Config, key: string): readonly string[] => (config[key] ?? []) as readonly string[];
const empty = (value: unknown): boolean => value === undefined || value === null || value === "";

/** `given`, with missing values taken from `base`. */
export function merge(given: Config, base: Config): Config {
  const has = new Set(list(given, "Env").map((pair) => pair.split("=", 1)[0]));
  const merged: Record<string, unknown> = { ...base, ...given };
  for (const key of ["User", "WorkingDir", "StopSignal", "Healthcheck", "OnBuild", "Shell"]) if (empty(given[key])) merged[key] = base[key];
  merged.ExposedPorts = { ...object(base, "ExposedPorts"), ...object(given, "ExposedPorts") };
  merged.Volumes = { ...object(base, "Volumes"), ...object(given, "Volumes") };
  merged.Labels = { ...object(base, "Labels"), ...object(given, "Labels") };
  merged.Env = [...list(given, "Env"), ...list(base, "Env").filter((pair) => !has.has(pair.split("=", 1)[0]))];
  merged.Cmd = list(given, "Cmd").length > 0 ? given.Cmd : null;
  merged.Entrypoint = given.Entrypoint ?? null;
  // If `given` has an entrypoint, the command of `base` does not apply.
  if (list(given, "Entrypoint").length === 0) {
    if (list(given, "Cmd").length === 0) merged.Cmd = base.Cmd;
    if (empty(given.Entrypoint)) merged.Entrypoint = base.Entrypoint;
  }
  return Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== undefined));
}
