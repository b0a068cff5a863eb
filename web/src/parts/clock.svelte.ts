// The time that durations of running things are shown at. It moves once a second while something is shown that uses it.

import { createSubscriber } from "svelte/reactivity";

const subscribe = createSubscriber((update) => {
  const timer = setInterval(update, 1000);
  return () => clearInterval(timer);
});

/** Return the time now; what uses it is shown again each second. */
export function now(): number {
  subscribe();
  return Date.now();
}
