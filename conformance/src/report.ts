/** Converts a report to TAP 14, JUnit XML or JSON. */
import type { Measurement } from "./measure.ts";
import type { Outcome, Report } from "./run.ts";

export function toTap({ outcomes, performance = [] }: Report): string {
  const lines = outcomes.map(({ rule, title, contract, result, reason }, index) => {
    const line = `${result === "failed" ? "not ok" : "ok"} ${index + 1} - ${tapText(`${rule}: ${title}`)}`;
    if (result === "skipped") return `${line} # SKIP ${reason}`;
    return result === "failed"
      ? `${line}\n  ---\n  message: ${JSON.stringify(reason)}\n  contract: ${JSON.stringify(contract)}\n  ...`
      : line;
  });
  const comments = performance.map((one) => `# ${one.name}: ${timeOf(one)}`);
  return ["TAP version 14", `1..${outcomes.length}`, ...lines, ...comments, ""].join("\n");
}

export function toJunit({ subject, outcomes, performance = [] }: Report): string {
  const cases = outcomes.map(({ rule, title, contract, result, reason, milliseconds }) => {
    const open = `  <testcase classname=${xml(subject)} name=${xml(`${rule}: ${title}`)} time="${(milliseconds / 1000).toFixed(3)}"`;
    const place = `<properties><property name="contract" value=${xml(contract)}/></properties>`;
    if (result === "passed") return `${open}>${place}</testcase>`;
    return `${open}>${place}<${result === "failed" ? "failure" : "skipped"} message=${xml(reason ?? "")}/></testcase>`;
  });
  const { failed, skipped } = count(outcomes);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuite name=${xml(`tsbox conformance ${subject}`)} tests="${outcomes.length}" failures="${failed}" skipped="${skipped}">`,
    ...(performance.length === 0 ? [] : ["  <properties>", ...performance.map(property), "  </properties>"]),
    ...cases,
    "</testsuite>",
    "",
  ].join("\n");
}

function property(one: Measurement): string {
  return `    <property name=${xml(one.name)} value=${xml(timeOf(one))}/>`;
}

/** One line: an error message of a driver may have several. */
function timeOf({ milliseconds, kibibytes, runs, reason }: Measurement): string {
  if (kibibytes !== undefined) return `${kibibytes} KiB (median of ${runs})`;
  if (milliseconds !== null) return `${milliseconds} ms (median of ${runs})`;
  return `not measured: ${(reason ?? "").replaceAll(/\s+/g, " ")}`;
}

export function toJson(report: Report): string {
  return `${JSON.stringify({ ...report, ...count(report.outcomes) }, null, 2)}\n`;
}

export function count(outcomes: readonly Outcome[]): { readonly passed: number; readonly failed: number; readonly skipped: number } {
  const of = (result: Outcome["result"]): number => outcomes.filter((outcome) => outcome.result === result).length;
  return { passed: of("passed"), failed: of("failed"), skipped: of("skipped") };
}

/** Escapes `#`, which would begin a directive. */
const tapText = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("#", "\\#");

// biome-ignore lint/suspicious/noControlCharactersInRegex: XML 1.0 allows none of these, not even escaped.
const forbidden = /[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g;
function xml(text: string): string {
  return `"${text.replace(forbidden, "\ufffd").replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;").replaceAll("\n", "&#10;")}"`;
}
