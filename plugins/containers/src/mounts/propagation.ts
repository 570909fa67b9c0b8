/** What /proc/self/mountinfo says about a path (proc(5)). Pure. */
export interface MountLine {
  readonly point: string;
  readonly kind: "shared" | "slave" | "private";
}

export function mountInfo(text: string): readonly MountLine[] {
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      const [words = ""] = line.split(" - ");
      const fields = words.split(" ");
      const optional = fields.slice(6);
      return {
        // Spaces and some other characters are escaped in octal.
        point: (fields[4] ?? "/").replace(/\\(\d{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8))),
        kind: optional.some((word) => word.startsWith("shared:"))
          ? "shared"
          : optional.some((word) => word.startsWith("master:"))
            ? "slave"
            : "private",
      };
    });
}

/** The mount that a path is on: the longest matching mount point, and the last of several mounts there. */
export function propagationAt(mounts: readonly MountLine[], path: string): MountLine {
  const inside = (point: string): boolean => point === "/" || path === point || path.startsWith(`${point}/`);
  return mounts.reduce<MountLine>((best, mount) => (inside(mount.point) && mount.point.length >= best.point.length ? mount : best), {
    point: "/",
    kind: "private",
  });
}
