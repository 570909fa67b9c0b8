/** Imported before uvu: makes it leave the running of suites to the harness (uvu reads this global once, when it is loaded). */
Object.assign(globalThis, { UVU_DEFER: 1, UVU_QUEUE: [[null]], UVU_INDEX: 0 });
