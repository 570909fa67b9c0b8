/**
 * Finds the detach keys in a terminal's input. Input that may be the start of the keys is held back, and passed on when it turns out not to
 * be.
 */
import { Transform, type TransformCallback } from "node:stream";

export class DetachWatch extends Transform {
  readonly #keys: readonly number[];
  readonly #detach: () => void;
  /** How many of the keys have been typed so far. */
  #typed = 0;

  constructor(keys: readonly number[], detach: () => void) {
    super();
    this.#keys = keys;
    this.#detach = detach;
  }

  override _transform(typed: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const through: number[] = [];
    for (const key of typed) {
      while (this.#typed > 0 && key !== this.#keys[this.#typed]) {
        // If the held-back input ends with a shorter start of the keys, that part stays held back. The longest such part counts.
        const held = this.#keys.slice(0, this.#typed);
        let kept = this.#typed - 1;
        while (kept > 0 && held.slice(-kept).some((one, at) => one !== this.#keys[at])) kept -= 1;
        through.push(...held.slice(0, this.#typed - kept));
        this.#typed = kept;
      }
      if (key !== this.#keys[this.#typed]) {
        through.push(key);
        continue;
      }
      this.#typed += 1;
      if (this.#typed === this.#keys.length) {
        done(null, Buffer.from(through));
        this.#detach();
        return;
      }
    }
    done(null, through.length > 0 ? Buffer.from(through) : undefined);
  }
}
