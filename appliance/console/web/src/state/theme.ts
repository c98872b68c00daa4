// Theme and clock: choices of this browser, kept in its local storage.
import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";
export type Clock = "utc" | "local";

const stored = <T extends string>(key: string, allowed: readonly T[], otherwise: T): T => {
  const value = localStorage.getItem(key);
  return allowed.find((one) => one === value) ?? otherwise;
};

export const theme = signal<Theme>(stored("theme", ["system", "light", "dark"], "system"));
export const clock = signal<Clock>(stored("clock", ["utc", "local"], "utc"));

/** Letters alone act as shortcuts; can be switched off (WCAG 2.1.4). */
export const shortcuts = signal<"on" | "off">(stored("shortcuts", ["on", "off"], "on"));

effect(() => {
  localStorage.setItem("theme", theme.value);
  if (theme.value === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme.value;
});
effect(() => localStorage.setItem("clock", clock.value));
effect(() => localStorage.setItem("shortcuts", shortcuts.value));
