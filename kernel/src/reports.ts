/** Turns work into a stream of its reports, with its error at the end. If the reader leaves the stream, the work continues to its end. */
export async function* reports<T>(work: (report: (line: T) => void) => Promise<unknown>): AsyncGenerator<T> {
  const lines: T[] = [];
  let wake: () => void = () => {};
  let outcome: { readonly error: unknown } | "done" | null = null;
  const finish = (how: { readonly error: unknown } | "done"): void => {
    outcome = how;
    wake();
  };
  work((line) => {
    lines.push(line);
    wake();
  }).then(
    () => finish("done"),
    (error: unknown) => finish({ error }),
  );
  for (;;) {
    // One by one: while the reader handles a line, more lines may come, and the end too.
    const next = lines.shift();
    if (next) {
      yield next;
      continue;
    }
    const ended = outcome as { readonly error: unknown } | "done" | null;
    if (ended === "done") return;
    if (ended !== null) throw ended.error;
    await new Promise<void>((resolve) => {
      wake = resolve;
      if (lines.length > 0 || outcome !== null) resolve();
    });
  }
}
