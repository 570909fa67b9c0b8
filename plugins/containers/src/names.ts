/** Names for containers without a given name: an adjective and a thing of the sea. */
import { randomInt } from "node:crypto";
import { fail } from "@tsbox/kernel";

const adjectives =
  "agile amber brave breezy bright brisk calm clever cosy crisp daring deft eager fair fleet fond gentle glad golden grand happy hardy honest jolly keen kind lively lucid lucky mellow merry mighty neat nimble noble patient placid plucky polite proud quick quiet rapid robust serene sharp silver sleek sly snug solid spry steady stout sturdy sunny swift tidy trusty vivid warm wise witty zesty".split(
    " ",
  );
const things =
  "albatross anchor anemone barge beacon bosun breaker brig buoy capstan clipper compass coral corsair cove crab current cutter dinghy dolphin ebb eddy fathom ferry fjord frigate galley gull halyard harbour heron jetty kelp ketch keel kraken lagoon lantern limpet lugger manta marlin mast narwhal nautilus octopus orca osprey otter oyster pearl pelican petrel pier pilot plankton puffin reef rudder sail schooner seal sextant shoal skiff sloop squid starfish tern tide trawler turtle urchin walrus wharf whale".split(
    " ",
  );

export function inventName(taken: (name: string) => boolean): string {
  for (let attempt = 0; ; attempt += 1) {
    const name = `${adjectives[randomInt(adjectives.length)]}_${things[randomInt(things.length)]}${attempt > 9 ? randomInt(10_000) : ""}`;
    if (!taken(name)) return name;
  }
}

/** Docker's rule. Returns the name without a leading slash. */
export function checkName(given: string): string {
  const name = given.replace(/^\//, "");
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(name)) return name;
  throw fail("InvalidArgument", `Invalid container name (${given}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
}
