/** An asynchronous queue with one writer and one reader. Items wait until they are read. */
export class Queue<T> implements AsyncIterable<T> {
  readonly #items: T[] = [];
  #wake: ((result: IteratorResult<T>) => void) | undefined;
  #ended = false;

  push(item: T): void {
    const wake = this.#wake;
    this.#wake = undefined;
    if (wake) wake({ done: false, value: item });
    else this.#items.push(item);
  }

  end(): void {
    this.#ended = true;
    this.#wake?.({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    return {
      next: () => {
        if (this.#items.length > 0) return Promise.resolve({ done: false, value: this.#items.shift() as T });
        if (this.#ended) return Promise.resolve({ done: true, value: undefined });
        return new Promise((resolve) => {
          this.#wake = resolve;
        });
      },
      return: () => {
        this.#ended = true;
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }
}
