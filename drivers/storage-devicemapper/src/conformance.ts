/** What the storage suite has to know of this driver: the base device alone takes more than the suite's small disk has. */

/** Mebibytes. */
export const leastDisk = 512;
