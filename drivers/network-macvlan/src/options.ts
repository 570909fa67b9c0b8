/** A network's options, with Docker's names. An unknown option is refused: it would have no effect. */
import { fail, type HostMacvlan, type Network } from "@tsbox/kernel";

export interface MacvlanOptions {
  /** Null: the driver makes a parent that leads nowhere. */
  readonly parent: string | null;
  readonly mode: HostMacvlan["mode"];
  readonly mtu: number | null;
}

const modes = ["bridge", "private", "vepa", "passthru"] as const;
const mtuOption = "com.docker.network.driver.mtu";
const known = ["parent", "macvlan_mode", mtuOption];

export function parseOptions({ name, options }: Network): MacvlanOptions {
  const wrong = (text: string): Error => fail("InvalidArgument", `network ${name}: ${text}`);
  for (const key of Object.keys(options))
    if (!known.includes(key)) throw wrong(`option ${key} is unknown to macvlan; it knows ${known.join(", ")}`);
  const { parent, macvlan_mode: word = "bridge", [mtuOption]: mtu } = options;
  const mode = modes.find((one) => one === word);
  if (mode === undefined) throw wrong(`${word} is no mode of macvlan; modes are ${modes.join(", ")}`);
  if (parent !== undefined && (!/^[^\s/]{1,15}$/.test(parent) || parent === "." || parent === ".."))
    throw wrong(`${parent} is no name for a parent interface; it has 1 to 15 characters, no slash or space`);
  if (parent === "lo") throw wrong("the parent can't be lo, the loopback interface; give one that leads to a network");
  if (mtu !== undefined && !(/^\d+$/.test(mtu) && Number(mtu) >= 68 && Number(mtu) <= 65_535))
    throw wrong(`${mtu} is no MTU; it is a number from 68 to 65535`);
  return { parent: parent ?? null, mode, mtu: mtu === undefined ? null : Number(mtu) };
}

export interface VlanName {
  readonly parent: string;
  readonly id: number;
}

/** `eth0.10` is VLAN 10 of eth0. Null: the name is not of that form. */
export function vlanOf(name: string): VlanName | null {
  const [, parent, digits] = /^(.+)\.([1-9]\d{0,3})$/.exec(name) ?? [];
  return parent === undefined || Number(digits) > 4094 ? null : { parent, id: Number(digits) };
}
