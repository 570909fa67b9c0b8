/**
 * Where the image of a reference comes from. `SCHEME:REST` belongs to the registry driver with that id, if there is one. Everything else is
 * a name as Docker's, for the host's choice among the drivers that know such names.
 */
import { fail, type RegistryDriver, supports } from "@tsbox/kernel";
import { familiar, full, parseReference, type Reference } from "./reference.ts";

export interface Registries {
  /** The ids of the installed registry drivers. */
  readonly schemes: readonly string[];
  registry(scheme: string): Promise<RegistryDriver>;
  /** The driver for references without a scheme; null: there is none. */
  preferredRegistry(): Promise<string | null>;
}

export interface Place {
  /** The reference in the driver's form. */
  readonly ref: string;
  /** The name in the image's record. */
  readonly name: string;
  readonly shown: string;
  /** The reference as a name of Docker's; null: it has a form of the driver's own. */
  readonly named: Reference | null;
  driver(): Promise<RegistryDriver>;
}

/** What follows the colon of a host's name is a port: `host:5000/app`. */
const schemeForm = /^([a-z][a-z0-9-]*):(?!\d+\/)(.*)$/s;

/** Whether the name of a record is one of Docker's. Other names begin with a scheme, whether its driver is installed or not. */
export const isDockers = (name: string): boolean => !schemeForm.test(name);

/** The installed scheme that a reference begins with; null: none. */
export const schemeOf = ({ schemes }: Pick<Registries, "schemes">, reference: string): string | null => {
  const scheme = schemeForm.exec(reference)?.[1];
  return scheme !== undefined && schemes.includes(scheme) ? scheme : null;
};

/** `InvalidArgument`: it is neither a name nor one of a scheme; `DriverMissing`: nobody serves the scheme. */
export async function placeOf(registries: Registries, reference: string): Promise<Place> {
  const [, scheme, rest = ""] = schemeForm.exec(reference) ?? [];
  if (scheme === undefined) return byName(registries, reference);
  if (!registries.schemes.includes(scheme)) {
    if (rest.startsWith("/"))
      throw fail("DriverMissing", `no registry driver is called ${scheme}; installed: ${registries.schemes.join(", ") || "none"}`);
    return byName(registries, reference);
  }
  const driver = await registries.registry(scheme);
  if (!supports(driver, "names")) {
    if (rest === "") throw fail("InvalidArgument", `${reference} names no image: give ${scheme}:IMAGE`);
    return { ref: rest, name: reference, shown: reference, named: null, driver: async () => driver };
  }
  return rest.startsWith("//") ? named(rest.slice(2), async () => driver) : byName(registries, reference);
}

function byName(registries: Registries, reference: string): Place {
  return named(reference, async () => {
    const id = await registries.preferredRegistry();
    if (id === null) throw fail("DriverMissing", `no registry driver is installed, so ${reference} can't be pulled: add its plugin`);
    const driver = await registries.registry(id);
    if (supports(driver, "names")) return driver;
    throw fail("FailedPrecondition", `this host's registry driver is ${id}, which does not know names such as ${reference}: name another`);
  });
}

function named(reference: string, driver: Place["driver"]): Place {
  const parsed = parseReference(reference);
  return { ref: full(parsed), name: full(parsed), shown: familiar(parsed), named: parsed, driver };
}
