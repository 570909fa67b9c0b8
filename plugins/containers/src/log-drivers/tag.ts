/** The log option `tag`: a template of Go with the fields that Docker documents for it. */
import { hostname } from "node:os";
import { type Container, fail } from "@tsbox/kernel";

type Subject = Pick<Container, "id" | "name" | "imageId" | "imageName" | "argv" | "config">;

const fields: Readonly<Record<string, (container: Subject) => string>> = {
  ID: ({ id }) => id.slice(0, 12),
  FullID: ({ id }) => id,
  Name: ({ name }) => name,
  ImageID: ({ imageId }) => imageId.replace(/^sha256:/, "").slice(0, 12),
  ImageFullID: ({ imageId }) => imageId,
  ImageName: ({ imageName }) => imageName,
  DaemonName: () => "docker",
  Command: ({ argv }) => argv.join(" "),
  Hostname: () => hostname(),
  ContainerID: ({ id }) => id,
  ContainerName: ({ name }) => `/${name}`,
  ContainerImageID: ({ imageId }) => imageId,
  ContainerImageName: ({ imageName }) => imageName,
};
const longest = 4096;

/** `InvalidArgument`: the template has something else than fields, or unknown ones. */
export function checkTag(template: string): void {
  for (const action of template.match(/\{\{[\s\S]*?(\}\}|$)/g) ?? []) {
    const known = fieldOf(action) !== null || labelOf(action) !== null;
    if (!known)
      throw fail(
        "InvalidArgument",
        `invalid log option tag: ${action} is unknown; there are ${Object.keys(fields)
          .map((name) => `{{.${name}}}`)
          .join(", ")} and {{index .ContainerLabels "NAME"}}`,
      );
  }
  if (template.length > longest) throw fail("InvalidArgument", `invalid log option tag: it has more than ${longest} characters`);
}

export function fillTag(template: string, container: Subject): string {
  return template.replaceAll(/\{\{[\s\S]*?\}\}/g, (action) => {
    const label = labelOf(action);
    if (label !== null) return Object.hasOwn(container.config.labels, label) ? (container.config.labels[label] ?? "") : "";
    return fieldOf(action)?.(container) ?? "";
  });
}

function fieldOf(action: string): ((container: Subject) => string) | null {
  const name = /^\{\{-?\s*\.(\w+)\s*-?\}\}$/.exec(action)?.[1] ?? "";
  return Object.hasOwn(fields, name) ? (fields[name] ?? null) : null;
}

const labelOf = (action: string): string | null => /^\{\{-?\s*index \.ContainerLabels "([^"]*)"\s*-?\}\}$/.exec(action)?.[1] ?? null;
