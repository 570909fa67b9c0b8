export { abortReason, asError, fail, fieldsOf, isTsboxError, TsboxError } from "./error.ts";
export { exhaustion, systemCode, systemFields } from "./exhaustion.ts";
export { type ErrorMeaning, errorCodes, errorTable } from "./table.ts";
