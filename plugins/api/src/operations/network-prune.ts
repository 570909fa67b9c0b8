/** Docker's `POST /networks/prune`: removes networks that no container is connected to, or will be when it starts. */
import {
  type ApiService,
  type ContainersService,
  type ErrorCode,
  type EventsService,
  isTsboxError,
  type NetworkRecord,
  type NetworksService,
} from "@tsbox/kernel";
import { hasLabel, matches } from "./filters.ts";
import { parseTime } from "./times.ts";

/** The errors of `remove` for a network that is gone or in use. */
const passedBy: readonly ErrorCode[] = ["NotFound", "PermissionDenied", "FailedPrecondition"];

export function networkPrune(
  networks: NetworksService,
  containers: ContainersService,
  events: EventsService,
): Pick<ApiService, "networkPrune"> {
  return {
    networkPrune: async (call, { filters }) => {
      const wanted = matches<NetworkRecord>(filters, {
        label: (network, value) => hasLabel(network.labels, value),
        "label!": (network, value) => !hasLabel(network.labels, value),
        until: (network, value) => network.createdAt < parseTime(value),
      });
      const used = new Set(
        (await containers.list(call)).flatMap((record) => [
          ...record.networks.map((wish) => wish.network),
          ...record.endpoints.map((endpoint) => endpoint.networkName),
        ]),
      );
      const deleted: string[] = [];
      for (const network of (await networks.list(call)).filter((one) => !one.predefined && !used.has(one.name) && wanted(one))) {
        try {
          await networks.remove(call, network.id);
          deleted.push(network.name);
        } catch (error) {
          // The network was removed meanwhile, or a container has joined it.
          if (!isTsboxError(error) || !passedBy.includes(error.code)) throw error;
        }
      }
      await events.publish(call, { type: "network", action: "prune", id: "", attributes: { reclaimed: "0" } });
      return { NetworksDeleted: deleted.length > 0 ? deleted : null };
    },
  };
}
