import type { Filters } from "@tsbox/kernel";

/** Filters as Docker's API takes them: `{key: {value: true}}`; undefined if there are none. */
export const filtersJson = (filters: Filters | undefined): string | undefined =>
  filters === undefined || Object.keys(filters).length === 0
    ? undefined
    : JSON.stringify(
        Object.fromEntries(Object.entries(filters).map(([key, values]) => [key, Object.fromEntries(values.map((value) => [value, true]))])),
      );
