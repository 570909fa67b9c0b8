/**
 * The version of each contract that this kernel implements, services included. A change to a contract changes its version here, its doc
 * comment, its suite and every driver in the tree. An addition that old drivers need not know raises the minor version, any other change
 * the major version.
 *
 * Version 1.0 of all contracts is frozen. `kernel/contracts/` holds the text of each, and a test compares it with the sources: a contract
 * that differs needs a new version here, and `node kernel/test/contracts.ts --write`.
 */
export const contractVersions: Readonly<Record<string, string>> = {
  kernel: "1.0.0",
  storage: "1.0.0",
  exec: "1.0.0",
  network: "1.0.0",
  registry: "1.0.0",
  volume: "1.0.0",
  log: "1.0.0",
  engine: "1.0.0",
  host: "1.0.0",
  launcher: "1.0.0",
  content: "1.0.0",
  images: "1.0.0",
  containers: "1.0.0",
  networks: "1.0.0",
  volumes: "1.0.0",
  files: "1.0.0",
  events: "1.0.0",
  state: "1.0.0",
  api: "1.0.0",
};

/** The kinds of drivers; every other name is a service. */
export const driverKinds: readonly string[] = ["storage", "exec", "network", "registry", "volume", "log"];
