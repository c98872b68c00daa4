// A difference in words and in lines.
import type { Change, DiffLine } from "../api/types";
import { Icon, Pill } from "./basics";

const SIGNS = { added: "+", removed: "−", same: " ", gap: "⋯" } as const;
const SPOKEN = { added: "added: ", removed: "removed: ", same: "", gap: "" } as const;

export const Lines = ({ lines, tall }: { lines: DiffLine[]; tall?: boolean }) => (
  <div class={tall ? "diff tall" : "diff"} tabIndex={0} role="group" aria-label="Changed lines">
    {lines.map((line, i) => (
      <div key={i} class={line.kind}><span aria-hidden="true">{line.old ?? ""}</span><span aria-hidden="true">{line.new ?? ""}</span><span class="sign" aria-hidden="true">{SIGNS[line.kind]}</span>
        <code><span class="vh">{SPOKEN[line.kind]}</span>{line.text || " "}</code></div>
    ))}
  </div>
);

const TONES = { added: "ok", changed: "info", removed: "crit" } as const;

export const Words = ({ changes }: { changes: Change[] }) => (
  <ul class="changes-list">
    {changes.map((change, i) => (
      <li key={i}><Pill tone={TONES[change.kind]}><Icon n={change.kind === "added" ? "plus" : change.kind === "removed" ? "trash-2" : "pencil"} />{change.kind}</Pill>
        <span class="wrap">{change.text} <span class="mono dim">{change.path}</span></span></li>
    ))}
  </ul>
);
