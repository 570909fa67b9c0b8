export { abortReason, asError, fail, fieldsOf, isTsboxError, TsboxError } from "./error.ts";
export { type ErrorMeaning, errorCodes, errorTable } from "./table.ts";
