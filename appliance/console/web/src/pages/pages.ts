// The pages: path, name, icon, key after `g`. The rail, the palette, the keyboard and the router read this one list.
import type { ComponentType } from "preact";
import type { IconName } from "../parts/icon-names";
import { Access } from "./access";
import { Audit } from "./audit";
import { Blocks } from "./blocks";
import { Configuration } from "./configuration";
import { Overview } from "./overview";
import { Services } from "./services";
import { WafEvents } from "./waf";

export type Page = { path: string; name: string; icon: IconName; key: string; group: string; view: ComponentType };

export const PAGES: Page[] = [
  { path: "/", name: "Overview", icon: "layout-dashboard", key: "o", group: "", view: Overview },
  { path: "/waf", name: "WAF events", icon: "shield-alert", key: "w", group: "Protect", view: WafEvents },
  { path: "/blocks", name: "Blocked addresses", icon: "ban", key: "b", group: "Protect", view: Blocks },
  { path: "/configuration", name: "Configuration", icon: "git-compare", key: "c", group: "Assure", view: Configuration },
  { path: "/audit", name: "Audit log", icon: "scroll-text", key: "a", group: "Assure", view: Audit },
  { path: "/services", name: "Services", icon: "server", key: "s", group: "System", view: Services },
  { path: "/access", name: "Users and keys", icon: "users", key: "u", group: "System", view: Access },
];

/** The page of a path, `/configuration/versions/3` included. */
export const pageOf = (path: string): Page | undefined =>
  PAGES.find((page) => page.path === path) ?? PAGES.find((page) => page.path !== "/" && path.startsWith(`${page.path}/`));
