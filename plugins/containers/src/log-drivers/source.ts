/** A container as its log driver sees it. */
import { asError, type Call, type Container, type LogSource, logAttributes, type Strings } from "@tsbox/kernel";
import { fillTag } from "./tag.ts";

/** Docker's default tag is the short id. */
const defaultTag = "{{.ID}}";

export function sourceOf(call: Call, record: Container): LogSource {
  const { config, id, name, imageId, imageName } = record;
  const { options } = config.log;
  return {
    container: id,
    name,
    imageName,
    imageId,
    tag: fillTag(options.tag || defaultTag, record),
    attributes: attributesOf(call, record),
    options,
  };
}

/** The patterns are of users, the names may be of images: output without attributes is worth more than none. */
function attributesOf(call: Call, { config, name }: Container): Strings {
  try {
    return logAttributes(config, config.log.options);
  } catch (error) {
    call.log.warn(`the log of container ${name} is sent without labels and variables: ${asError(error).message}`);
    return {};
  }
}
