// The URL carries page, filters and selection, so that any view can be linked, reloaded and gone back to.
import { signal } from "@preact/signals";

/** Where the browser is: path and query. */
export const route = signal(new URL(location.href));

/** Leaving asks this first; an editor with unsaved work may refuse. */
const read = () => (route.value = new URL(location.href));
addEventListener("popstate", read);

/** Goes to a page; `replace` for changes of a filter that don't deserve a step back. */
export function go(to: string, how: "push" | "replace" = "push"): void {
  const next = new URL(to, location.href);
  if (next.href === location.href) return;
  history[how === "push" ? "pushState" : "replaceState"](null, "", next);
  const other = next.pathname !== route.value.pathname;
  read();
  if (other) {
    document.querySelector("#main")?.scrollTo(0, 0);
  }
}

/** Changes some of the query's values and keeps the others; `undefined` and empty lists remove. */
export function query(changes: Record<string, string | string[] | undefined>, how: "push" | "replace" = "replace"): void {
  const next = new URL(route.value);
  for (const [key, value] of Object.entries(changes)) {
    next.searchParams.delete(key);
    for (const one of value === undefined ? [] : [value].flat()) if (one !== "") next.searchParams.append(key, one);
  }
  go(next.href, how);
}

/** Makes links of our own pages change the URL instead of loading; everything else is left to the browser. */
export function followLinks(): void {
  addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element).closest?.("a[href]");
    if (!(link instanceof HTMLAnchorElement) || link.origin !== location.origin || link.hasAttribute("download") || link.target) return;
    if (link.pathname.startsWith("/api/") || link.getAttribute("href")?.startsWith("#")) return;
    event.preventDefault();
    go(link.href);
  });
}
