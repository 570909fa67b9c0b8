/**
 * Which kernel a plugin imports. A plugin from npm has a kernel of its own beside it; with two kernels in one process, what one of them
 * keeps would be unknown to the other. So `@tsbox/kernel` is this one, whoever imports it.
 *
 * A checkout runs with the condition `tsbox-source`, which names files that a package from npm does not hold. There the package's other
 * conditions count.
 */
import { registerHooks } from "node:module";

const kernel = "@tsbox/kernel";
const source = "tsbox-source";
let done = false;

/** The errors of `import` and `require`. */
const isMissing = (error: unknown): boolean =>
  error instanceof Error && "code" in error && (error.code === "ERR_MODULE_NOT_FOUND" || error.code === "MODULE_NOT_FOUND");

/** Takes effect for what is imported from now on. Repeating it does nothing. */
export function shareKernel(): void {
  if (done) return;
  done = true;
  registerHooks({
    resolve: (specifier, context, next) => {
      const own = specifier === kernel || specifier.startsWith(`${kernel}/`);
      if (own && context.parentURL !== import.meta.url) return { url: import.meta.resolve(specifier), shortCircuit: true };
      try {
        return next(specifier, context);
      } catch (error) {
        const { conditions } = context;
        if (!isMissing(error) || !conditions.includes(source)) throw error;
        return next(specifier, { ...context, conditions: conditions.filter((condition) => condition !== source) });
      }
    },
  });
}
