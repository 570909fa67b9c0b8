import { plainCell } from "@tsbox/kernel";

/** In docker's tables no column is narrower than ten, including three spaces after it. */
const narrowest = 7;

/** Docker's tables: each column is as wide as its widest cell, with three spaces between columns. */
export function table(heads: readonly string[], cells: readonly (readonly string[])[]): string {
  const rows = cells.map((row) => row.map(plainCell));
  const widths = heads.map((head, at) => Math.max(narrowest, head.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells.map((cell, at) => (at === cells.length - 1 ? cell : cell.padEnd(widths[at] ?? 0))).join("   ");
  return `${[heads, ...rows].map(line).join("\n")}\n`;
}

/** Docker's sizes, such as 1.23GB: powers of 1000, three digits (in some tables four). */
export function humanSize(bytes: number, digits = 3): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = bytes;
  let at = 0;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1000;
    at += 1;
  }
  return `${Number(value.toPrecision(Math.max(digits, Math.ceil(Math.log10(value + 1)))))}${units[at]}`;
}
