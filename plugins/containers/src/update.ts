/** Changes a container's limits and restart policy, whether it runs or not. */
import type { Call, Container, ContainerChanges, Sparse } from "@tsbox/kernel";
import { attributes } from "./attributes.ts";
import { runs } from "./decide.ts";
import type { Engine, Journal } from "./engine.ts";

/** The caller holds the container's lock. */
export async function update(
  engine: Journal & Pick<Engine, "shims">,
  call: Call,
  record: Container,
  changes: Sparse<ContainerChanges>,
): Promise<readonly string[]> {
  const { resources, restart, hostConfig } = changes;
  const warnings = resources && runs(record) ? await engine.shims.container(record).update(call, resources) : [];
  const config = {
    ...record.config,
    ...(resources ? { resources } : {}),
    ...(restart ? { restart } : {}),
    raw: { ...record.config.raw, hostConfig: hostConfig ?? record.config.raw.hostConfig },
  };
  // Read again: its health may have changed while the limits were set.
  await engine.records.save(call, { ...engine.records.byId(record.id), config });
  await engine.events.publish(call, { type: "container", action: "update", id: record.id, attributes: attributes(record) });
  return warnings;
}
