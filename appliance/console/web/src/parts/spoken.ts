// What a screen reader is told, politely; the frame holds the live region.
import { signal } from "@preact/signals";
export const spoken = signal("");
