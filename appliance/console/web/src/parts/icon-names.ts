// The icons in use; the build makes a sprite of exactly these.
export const ICONS = [
  "layout-dashboard", "server", "scroll-text", "git-compare", "users", "ban", "search", "x", "check", "badge-check", "triangle-alert",
  "octagon-alert", "clock", "filter", "filter-x", "download", "shield-check", "sun-moon", "user", "key-round", "log-out", "plus", "copy",
  "rotate-ccw", "info", "plug-zap", "history", "pencil", "file-text", "inbox", "keyboard", "trash-2", "refresh-cw", "monitor", "flask-conical",
  "shield-alert", "shield-off",
] as const;
export type IconName = (typeof ICONS)[number];
