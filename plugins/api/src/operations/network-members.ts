/** Docker's `POST /networks/{id}/connect` and `/disconnect`. */
import { type ApiService, type ContainersService, fail, type Json } from "@tsbox/kernel";
import { flag, type Loose, object, text } from "./loose.ts";

export function networkMembers(containers: ContainersService): Pick<ApiService, "networkConnect" | "networkDisconnect"> {
  return {
    networkConnect: async (call, network, body) => {
      const record = await containers.get(call, containerOf(body));
      const endpoint = object(body, "EndpointConfig");
      await containers.connectNetwork(call, record.id, {
        network,
        address: text(object(endpoint, "IPAMConfig"), "IPv4Address") || null,
        mac: text(endpoint, "MacAddress") || null,
      });
    },
    networkDisconnect: async (call, network, body) => {
      const record = await containers.get(call, containerOf(body));
      await containers.disconnectNetwork(call, record.id, network, { force: flag(body as Loose, "Force") });
    },
  };
}

function containerOf(body: Json): string {
  const container = text(body, "Container");
  if (container === "") throw fail("InvalidArgument", "no container: give one in Container");
  return container;
}
