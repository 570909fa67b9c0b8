/** Parses `WWW-Authenticate` (RFC 9110, section 11.6.1), as far as registries use it. */
export interface Challenge {
  /** In lower case. */
  readonly authScheme: string;
  /** By name in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

// One class for blanks and commas: with two runs of blanks side by side, a header of blanks would take time in the square of its length.
const parameter = /^[\s,]*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/;
const scheme = /^[\s,]*([A-Za-z][A-Za-z0-9_-]*)(?=\s|,|$)/;

export function parseChallenges(header: string): readonly Challenge[] {
  const challenges: { authScheme: string; parameters: Map<string, string> }[] = [];
  for (let rest = header; rest.trim() !== ""; ) {
    const pair = parameter.exec(rest);
    const word = pair ? null : scheme.exec(rest);
    if (pair) challenges.at(-1)?.parameters.set((pair[1] ?? "").toLowerCase(), pair[2]?.replace(/\\(.)/g, "$1") ?? pair[3] ?? "");
    else if (word) challenges.push({ authScheme: (word[1] ?? "").toLowerCase(), parameters: new Map() });
    else break;
    rest = rest.slice((pair ?? word)?.[0].length);
  }
  return challenges;
}
