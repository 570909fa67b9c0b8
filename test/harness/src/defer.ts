/** Imported before uvu: tells it to leave the running to us (uvu looks at this global once, when it is loaded). */
Object.assign(globalThis, { UVU_DEFER: 1, UVU_QUEUE: [[null]], UVU_INDEX: 0 });
