import { suite } from "@tsbox/harness";
import { isTsboxError } from "@tsbox/kernel";
import * as assert from "uvu/assert";
import { overlap, parseAddress, parseSubnet, showAddress, showSubnet } from "../src/address.ts";
import { AddressPool, hostRoutes, pickSubnet } from "../src/pool.ts";

const test = suite("networks: addresses");
const small = (): AddressPool => new AddressPool(parseSubnet("10.9.0.0/29"), parseAddress("10.9.0.1"));

test("an address and a subnet are shown as they were given", () => {
  assert.is(showAddress(parseAddress("255.0.16.1")), "255.0.16.1");
  assert.is(showSubnet(parseSubnet("192.168.128.0/17")), "192.168.128.0/17");
  for (const wrong of ["10.0.0.256", "10.0.0", "a.b.c.d"])
    assert.throws(
      () => parseAddress(wrong),
      (error: unknown) => isTsboxError(error) && error.code === "InvalidArgument",
    );
  assert.throws(() => parseSubnet("10.0.0.1/24"), /should be 10\.0\.0\.0\/24/);
});

test("neither gateway nor network nor broadcast address is given, and each other one once", () => {
  const pool = small();
  const got = Array.from({ length: 5 }, () => pool.take(null));
  assert.equal([...got].sort(), ["10.9.0.2", "10.9.0.3", "10.9.0.4", "10.9.0.5", "10.9.0.6"]);
  assert.throws(
    () => pool.take(null),
    (error: unknown) => isTsboxError(error) && error.code === "ResourceExhausted",
  );
});

test("a freed address rests before it is given again", () => {
  const pool = small();
  const first = pool.take(null);
  pool.free(parseAddress(first));
  assert.is.not(pool.take(null), first);
});

test("a wanted address is given to one", () => {
  const pool = small();
  assert.is(pool.take(parseAddress("10.9.0.4")), "10.9.0.4");
  assert.throws(
    () => pool.take(parseAddress("10.9.0.4")),
    (error: unknown) => isTsboxError(error) && error.code === "AlreadyExists",
  );
  assert.throws(
    () => pool.take(parseAddress("10.10.0.4")),
    (error: unknown) => isTsboxError(error) && error.code === "InvalidArgument",
  );
});

test("a subnet that is picked clashes with no route and no other network", () => {
  const taken = [pickSubnet("bridge", [])];
  const other = pickSubnet("bridge", taken);
  assert.not.ok(taken.some((subnet) => overlap(subnet, other)));
  assert.not.ok(hostRoutes().some((route) => overlap(route, other)));
});
