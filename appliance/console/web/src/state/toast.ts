// Short words about what just happened. Failures stay until they are closed.
import { signal } from "@preact/signals";
import { words } from "../api/client";

export type Toast = { id: number; tone: "ok" | "crit"; text: string };

export const toasts = signal<Toast[]>([]);
let last = 0;

export function dismiss(id: number): void {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

export function say(text: string): void {
  const id = ++last;
  toasts.value = [...toasts.value.slice(-3), { id, tone: "ok", text }];
  setTimeout(() => dismiss(id), 5000);
}

export function complain(error: unknown): void {
  toasts.value = [...toasts.value.slice(-3), { id: ++last, tone: "crit", text: words(error) }];
}
