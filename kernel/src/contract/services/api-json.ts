/** The JSON shapes that all parts of the API share. */

/** Docker's JSON. */
export type Json = { readonly [key: string]: unknown };
/** Docker's filters: key to values. */
export type Filters = { readonly [key: string]: readonly string[] };
/** One line of a progress stream: `{status, id?, progressDetail?}`, `{stream}`, `{error, errorDetail}`. */
export type ProgressLine = Json;
