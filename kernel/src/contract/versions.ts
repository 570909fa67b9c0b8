/**
 * The version of each contract that this kernel implements, services included. A change to a contract changes its version here, its doc
 * comment, its suite and every driver in the tree. An addition that old drivers need not know raises the minor version, any other change
 * the major version.
 */
export const contractVersions: Readonly<Record<string, string>> = {
  kernel: "1.1.0",
  storage: "1.5.0",
  exec: "2.1.0",
  network: "2.0.0",
  registry: "1.2.0",
  volume: "2.0.0",
  log: "2.0.0",
  engine: "1.2.0",
  host: "1.10.0",
  launcher: "4.2.0",
  content: "1.1.0",
  images: "2.2.0",
  containers: "2.7.0",
  networks: "1.1.0",
  volumes: "1.0.0",
  files: "2.0.0",
  events: "1.0.0",
  state: "1.0.0",
  api: "1.6.0",
};

/** The kinds of drivers; every other name is a service. */
export const driverKinds: readonly string[] = ["storage", "exec", "network", "registry", "volume", "log"];
