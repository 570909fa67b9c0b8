/**
 * No contract may prevent a driver from running in a separate process. Only the compiler checks this file: every verb of every contract
 * takes a `Call` first, returns a promise, and carries only data and streams of data.
 */
import type {
  Call,
  DriverKind,
  Drivers,
  ExecPowers,
  Mount,
  NetworkPowers,
  RegistryPowers,
  ServiceKind,
  Services,
  Snapshot,
  StoragePowers,
  VolumePowers,
} from "../src/index.ts";

/** The result of a verb that returns nothing. */
// biome-ignore lint/suspicious/noConfusingVoidType: it is only compared with.
type Nothing = void;
type Primitive = null | undefined | boolean | number | string;

/** `T` itself if it can cross a process boundary, else never. `unknown` means JSON whose shape another specification defines. */
type Crosses<T> = unknown extends T
  ? T
  : T extends Primitive | Uint8Array
    ? T
    : T extends (...parameters: never[]) => unknown
      ? never
      : T extends AsyncIterable<infer Item>
        ? [Item] extends [Crosses<Item>]
          ? T
          : never
        : T extends Date | Map<never, never> | Set<never> | RegExp | Error | Promise<unknown> | AbortSignal
          ? never
          : T extends readonly (infer Item)[]
            ? [Item] extends [Crosses<Item>]
              ? T
              : never
            : T extends object
              ? { [K in keyof T]: Crosses<T[K]> } extends infer Copy
                ? T extends Copy
                  ? T
                  : never
                : never
              : never;

/** The names of the members that break the rule. */
type Broken<Contract> = {
  [Member in keyof Contract & string]: Contract[Member] extends (call: infer First, ...rest: infer Rest) => infer Answer
    ? [First] extends [Call]
      ? Answer extends Promise<infer Value>
        ? [Value] extends [Crosses<Value> | Nothing]
          ? [Rest] extends [Crosses<Rest>]
            ? never
            : Member
          : Member
        : Member
      : Member
    : Contract[Member] extends Crosses<Contract[Member]>
      ? never
      : Member;
}[keyof Contract & string];

type Expect<Broken extends never> = Broken;

export type BrokenDrivers = Expect<{ [K in DriverKind]: Broken<Drivers[K]> }[DriverKind]>;
export type BrokenServices = Expect<{ [K in ServiceKind]: Broken<Services[K]> }[ServiceKind]>;
export type BrokenPowers = Expect<
  BrokenIn<StoragePowers> | BrokenIn<ExecPowers> | BrokenIn<NetworkPowers> | BrokenIn<RegistryPowers> | BrokenIn<VolumePowers>
>;
type BrokenIn<Powers> = { [P in keyof Powers]: unknown extends Powers[P] ? never : Broken<Powers[P]> }[keyof Powers];

/** The check itself must be able to fail. */
interface Wrong {
  noCall(path: string): Promise<void>;
  noPromise(call: Call): string;
  callback(call: Call, then: () => void): Promise<void>;
  date(call: Call): Promise<Date>;
  deep(call: Call): Promise<{ readonly when: readonly { readonly at: Map<string, string> }[] }>;
  stream(call: Call): Promise<AsyncIterable<{ readonly stop: () => void }>>;
}
interface Right {
  nothing(call: Call): Promise<void>;
  list(call: Call, options?: { readonly all?: boolean | undefined }): Promise<AsyncIterable<Snapshot>>;
  mounts(call: Call, bytes: Uint8Array, names: readonly string[]): Promise<readonly Mount[]>;
  readonly constant: "v2" | null;
}
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? never : "different") : "different";
export type CanFail = Expect<Same<Broken<Wrong>, keyof Wrong>>;
export type CanPass = Expect<Broken<Right>>;
