/** Names that Docker has for drivers, and the driver that stands in their place here: an operator who names one is told so. */
const otherNames: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  storage: { overlay2: "overlay", overlayfs: "overlay", "fuse-overlayfs": "overlay", aufs: "overlay" },
};

/** The driver's own name here, or null. */
export function nameHere(kind: string, id: string): string | null {
  const names = otherNames[kind];
  return names !== undefined && Object.hasOwn(names, id) ? (names[id] ?? null) : null;
}
