/** The labels and variables of a container that its log options choose: for `logs --details`, and for what log drivers send. */
import type { ContainerConfig } from "./contract/services/containers.ts";
import type { Strings } from "./contract/words.ts";
import { fits } from "./patterns.ts";

/** By the options `labels`, `labels-regex`, `env` and `env-regex`. `InvalidArgument`: a pattern takes too long. */
export function logAttributes({ labels, env }: Pick<ContainerConfig, "labels" | "env">, options: Strings): Strings {
  const names = (option: string): readonly string[] => (options[option] ?? "").split(",").filter(Boolean);
  const pattern = (option: string): RegExp | null => {
    const source = options[option];
    return source === undefined || source === "" ? null : RegExp(source);
  };
  const chosen = (all: readonly (readonly [string, string])[], list: string, regex: string): readonly (readonly [string, string])[] => {
    const [named, matching] = [names(list), pattern(regex)];
    return all.filter(([name]) => named.includes(name) || (matching !== null && fits(matching, name)));
  };
  const variables = env.map((pair): readonly [string, string] => {
    const [name = "", value = ""] = pair.split(/=(.*)/s, 2);
    return [name, value];
  });
  const all = [...chosen(Object.entries(labels), "labels", "labels-regex"), ...chosen(variables, "env", "env-regex")];
  return Object.fromEntries(new Map(all));
}
