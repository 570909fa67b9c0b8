/** Refuses a config file that names drivers, kinds or ways to run that this engine does not have. */
import { fail } from "../errors/index.ts";
import type { EngineConfig } from "./config.ts";
import { driverLimits } from "./guard.ts";
import type { Agreement } from "./negotiate.ts";
import { nameHere } from "./other-names.ts";

export function checkConfig(config: EngineConfig, agreement: Agreement): void {
  checkDrivers(config, agreement);
  checkDeadlines(config, agreement);
  checkIsolation(config, agreement);
}

function checkDrivers({ drivers }: EngineConfig, agreement: Agreement): void {
  for (const [kind, id] of Object.entries(drivers)) {
    if (agreement.drivers.has(`${kind}/${id}`)) continue;
    const here = nameHere(kind, id);
    if (here !== null)
      throw fail(
        "NotFound",
        `the config file names the ${kind} driver ${id}: ${here} stands in its place; write "drivers": {"${kind}": "${here}"}`,
      );
    const installed = [...agreement.drivers.keys()]
      .filter((offer) => offer.startsWith(`${kind}/`))
      .map((offer) => offer.slice(kind.length + 1));
    throw fail(
      "NotFound",
      `the config file names the ${kind} driver ${id}, which is not installed (installed: ${installed.join(", ") || "none"}); add its plugin to "plugins"`,
    );
  }
}

function checkDeadlines({ deadlines }: EngineConfig, agreement: Agreement): void {
  const bounded = ["hook", ...new Set([...agreement.drivers.keys()].map((offer) => offer.slice(0, offer.indexOf("/"))))];
  for (const kind of Object.keys(deadlines)) {
    if (!bounded.includes(kind) && !(kind in driverLimits))
      throw fail(
        "InvalidArgument",
        `the config file's "deadlines" names ${kind}, which is no kind of driver; known are ${bounded.join(", ")}`,
      );
  }
}

function checkIsolation(config: EngineConfig, { order }: Agreement): void {
  for (const { entry, isolation } of order) {
    if ((config.isolation[entry.name] ?? isolation) === "process") {
      throw fail(
        "Unsupported",
        `${entry.name} is to run in a process of its own, which this version can't do yet; set "isolation": {"${entry.name}": "none"} in the config file to run it in the daemon`,
      );
    }
  }
}
