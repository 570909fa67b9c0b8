#!/usr/bin/env node
// Some packages list optional builds for platforms whose packages are not to be had everywhere: npm then writes a lock that `npm ci`
// refuses ("Missing: … from lock file"). Takes those names out of package-lock.json. Run it after every `npm install`.
import { readFileSync, writeFileSync } from "node:fs";

const path = new URL("../package-lock.json", import.meta.url);
const lock = JSON.parse(readFileSync(path, "utf8"));
const names = new Set(Object.keys(lock.packages).map((key) => key.slice(key.lastIndexOf("node_modules/") + "node_modules/".length)));
let removed = 0;
for (const entry of Object.values(lock.packages))
  for (const name of Object.keys(entry.optionalDependencies ?? {}))
    if (!names.has(name)) {
      delete entry.optionalDependencies[name];
      removed += 1;
    }
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${removed} names removed`);
