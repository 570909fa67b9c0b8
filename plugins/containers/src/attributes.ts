/** The attributes of a container's events. */
import type { Container } from "@tsbox/kernel";

export function attributes(record: Container): Readonly<Record<string, string>> {
  return { image: record.imageName, name: record.name, ...record.config.labels };
}
