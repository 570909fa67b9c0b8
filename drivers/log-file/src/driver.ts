import { fail, type LogDriver, type LogPowers, type Strings } from "@tsbox/kernel";

/** Those of Docker's drivers. The log is never compressed, so `compress` does nothing. */
const options = ["max-size", "max-file", "compress"];
/** Each rotation renames all files. */
const mostFiles = 1000;

export function fileDriver(format: LogPowers["file"]["format"]): LogDriver & LogPowers["file"] {
  return { powers: ["file"], format, options, check: async (_call, given) => check(format, given) };
}

function check(format: string, given: Strings): void {
  for (const key of Object.keys(given))
    if (!options.includes(key))
      throw fail("InvalidArgument", `unknown log opt '${key}' for ${format} log driver: there are ${options.join(", ")}`);
  const { "max-size": size, "max-file": files } = given;
  if (size !== undefined && !/^0*[1-9]\d{0,11}[kmg]?b?$/i.test(size))
    throw fail("InvalidArgument", `invalid log option max-size=${size}: give a number above 0, with k, m or g`);
  if (files !== undefined && !(/^\d{1,4}$/.test(files) && Number(files) >= 1 && Number(files) <= mostFiles))
    throw fail("InvalidArgument", `invalid log option max-file=${files}: give a number from 1 to ${mostFiles}`);
}
