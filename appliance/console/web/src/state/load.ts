// A value that is fetched: absent, there, or failed, and how to ask again.
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { words } from "../api/client";

export type Loaded<T> = { value: T | null; error: string | null; again: () => void };

/** Fetches when the component appears and whenever one of `on` changes; the last value stays while the next is on its way. */
export function useLoad<T>(fetch: () => Promise<T>, on: unknown[]): Loaded<T> {
  const value = useSignal<T | null>(null);
  const error = useSignal<string | null>(null);
  const turn = useSignal(0);
  useEffect(() => {
    let current = true;
    fetch().then(
      (next) => {
        if (!current) return;
        value.value = next;
        error.value = null;
      },
      (failure: unknown) => {
        if (current) error.value = words(failure);
      },
    );
    return () => {
      current = false;
    };
  }, [turn.value, ...on]);
  return { value: value.value, error: error.value, again: () => void (turn.value += 1) };
}
