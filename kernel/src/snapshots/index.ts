/** `@tsbox/kernel/snapshots`: a library for storage drivers that keep each snapshot in a directory. */
export {
  type CreateOptions,
  type SnapshotKind,
  SnapshotStore,
  type StoreCommitOptions,
  type StoredSnapshot,
  type StoreOptions,
} from "./store.ts";
