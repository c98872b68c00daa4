// The candidate configuration that is being written here. It outlives a reload and a session that ends in mid-edit (it lies in this
// tab's storage until it is applied or thrown away).
import { computed, effect, signal } from "@preact/signals";

export type Draft = { base: number; original: string; text: string };

const KEY = "configuration-draft";

function stored(): Draft | null {
  try {
    const value: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
    const draft = value as Draft;
    return draft && typeof draft.base === "number" && typeof draft.text === "string" && typeof draft.original === "string" ? draft : null;
  } catch {
    return null;
  }
}

export const draft = signal<Draft | null>(stored());

/** Whether there is anything to apply. */
export const changed = computed(() => draft.value !== null && draft.value.text !== draft.value.original);

effect(() => {
  if (changed.value) sessionStorage.setItem(KEY, JSON.stringify(draft.value));
  else sessionStorage.removeItem(KEY);
});
