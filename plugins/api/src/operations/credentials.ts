/** Docker's AuthConfig as the engine's credentials. */
import type { Credentials, Strings } from "@tsbox/kernel";

/** Null: it names no user. As in Docker, a registry token comes before an identity token, and that before a password. */
export function credentialsOf(auth: Strings | undefined): Credentials | null {
  if (auth?.registrytoken) return { token: auth.registrytoken };
  const { username = "", password = "", identitytoken = "" } = auth ?? {};
  if (identitytoken !== "") return { username, password, identityToken: identitytoken };
  return username === "" ? null : { username, password };
}
