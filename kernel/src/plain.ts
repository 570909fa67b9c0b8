/** Text for a terminal: control characters in text from containers, images, registries and clients are escaped. */

const escaped = (character: string): string => `\\x${(character.codePointAt(0) ?? 0).toString(16).padStart(2, "0")}`;

/** Control characters (C0, DEL, C1) as `\x1b`; newlines and tabs stay. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
export const plain = (text: string): string => text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, escaped);

/** Like `plain`, for text within one line: newlines and tabs are escaped too. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
export const plainCell = (text: string): string => text.replace(/[\x00-\x1f\x7f-\x9f]/g, escaped);
