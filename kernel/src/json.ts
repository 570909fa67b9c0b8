/** Parses untrusted JSON with a bounded depth. The caller bounds its length. */
import { limits } from "./limits.ts";

/** Like `JSON.parse`; also throws a SyntaxError if the text is nested too deeply. */
export function parseJson(text: string): unknown {
  if (depthOf(text) > limits.deepestJson) throw new SyntaxError(`it is nested more than ${limits.deepestJson} levels deep`);
  return JSON.parse(text);
}

const [quote, backslash] = [0x22, 0x5c];
const opens = new Set([0x5b, 0x7b]);
const closes = new Set([0x5d, 0x7d]);

/** The depth of the nesting. For invalid JSON the number has no meaning. */
function depthOf(text: string): number {
  let [depth, deepest, isText] = [0, 0, false];
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === quote) isText = !isText;
    else if (isText) at += code === backslash ? 1 : 0;
    else if (opens.has(code)) {
      depth += 1;
      if (depth > deepest) deepest = depth;
    } else if (closes.has(code)) depth -= 1;
  }
  return deepest;
}
