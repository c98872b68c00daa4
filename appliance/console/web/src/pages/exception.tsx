// An exception for what the firewall found: what it covers, what it would have let through, how long it lasts; applied like any change.
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { api, words } from "../api/client";
import type { WafEvent, WafExceptionPreview, WafReplay } from "../api/types";
import { Bones, Icon, Note, Pill, count } from "../parts/basics";
import { Dialog } from "../parts/dialog";
import { Lines } from "../parts/diff";
import { expect, pending, refresh } from "../state/live";
import { go } from "../state/route";

const DAYS: [string, string][] = [["1", "1 day"], ["7", "7 days"], ["30", "30 days"], ["90", "90 days"], ["365", "1 year"], ["", "for good"]];
const WAIT = 60;

const requests = (n: number) => `${count(n)} ${n === 1 ? "request" : "requests"}`;

function Replay({ replay }: { replay: WafReplay }) {
  return (
    <Note tone={replay.would_pass > 0 ? "warn" : "ok"} role="status">
      <b>Would have let through {requests(replay.would_pass)} of the last 24 hours.</b>
      {" "}{requests(replay.events)} of this service matched one of the rules on the path{replay.still_refused > 0 && `; ${count(replay.still_refused)} would still be refused`}.
      {!replay.complete && " Only the newest were looked at."}
      {replay.clients.length > 0 && <div class="tally"><span class="sec">from</span>{replay.clients.slice(0, 6).map((one) => <Pill key={one.name}>{one.name}: {one.count}</Pill>)}
        {replay.clients.length > 6 && <span class="sec">and {replay.clients.length - 6} others</span>}</div>}
      {replay.classes.length > 0 && <div class="tally"><span class="sec">with</span>{replay.classes.map((one) => <Pill key={one.name}>{one.name}: {one.count}</Pill>)}</div>}
    </Note>
  );
}

export function MakeException({ event, close }: { event: WafEvent; close: () => void }) {
  const days = useSignal("30");
  const reason = useSignal(`false positive, event ${event.id}`);
  const preview = useSignal<WafExceptionPreview | null>(null);
  const asked = useSignal("");
  const error = useSignal<string | null>(null);
  const busy = useSignal(false);
  const wish = `${days.value}\n${reason.value.trim()}`;
  useEffect(() => {
    if (!reason.value.trim()) return;
    let current = true;
    // The first preview comes at once; typing waits for a pause.
    const timer = setTimeout(() => {
      api.previewException({ event: event.id, matches: [], days: days.value === "" ? null : Number(days.value), reason: reason.value.trim() }).then(
        (found) => { if (current) { preview.value = found; asked.value = wish; error.value = null; } },
        (failure: unknown) => { if (current) error.value = words(failure); },
      );
    }, preview.value === null ? 0 : 400);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [wish]);
  const found = preview.value;
  const candidate = found?.candidate ?? null;
  const ready = found !== null && candidate !== null && asked.value === wish && !pending.value && !busy.value;
  const apply = async () => {
    if (!ready || found === null || candidate === null) return;
    busy.value = true;
    error.value = null;
    try {
      const waiting = await api.commit({ text: candidate, comment: `WAF exception: ${reason.value.trim()}`, base: found.base, confirm_within_s: WAIT });
      expect(waiting);
      close();
      go("/configuration");
    } catch (failure) {
      error.value = words(failure);
    } finally {
      busy.value = false;
      refresh();
    }
  };
  return (
    <Dialog title={`Exception for event ${event.id}`} close={close} submit={() => void apply()}
      footer={<><button class="btn ghost" type="button" onClick={close}>Cancel</button><button class="btn primary" disabled={!ready}>{busy.value ? "Applying" : `Apply, take back in ${WAIT} s unless kept`}</button></>}>
      {error.value && <Note tone="crit" role="alert">{error.value}</Note>}
      {pending.value && <Note tone="warn">Version {pending.value.version} waits for confirmation. Keep it or take it back first.</Note>}
      {!found ? !error.value && <Bones lines={5} /> : (
        <>
          {found.exceptions.length > 0 && <ul class="proposals" aria-label="Exceptions">{found.exceptions.map((one) => (
            <li key={`${one.rule} ${one.parameter ?? ""}`}>
              <span><b>Rule {one.rule}</b> {one.message}</span>
              <span>{one.parameter ? <>does not look at <code>{one.parameter}</code></> : "does not run"} on <code>{one.path}</code> of {one.service}</span>
              {one.wider && <span><Pill tone="warn"><Icon n="triangle-alert" />wider than one part</Pill> {one.wider}</span>}
            </li>
          ))}</ul>}
          {found.without.map((one) => <Note key={one.place}>Match {one.place + 1} gets no exception: {one.reason}.</Note>)}
          {found.exceptions.length > 0 && <Replay replay={found.replay} />}
          {found.obstacle && <Note tone="warn">{found.obstacle}.{found.toml && <pre class="doc wrap">{found.toml}</pre>}</Note>}
        </>
      )}
      <div class="field"><label for="days">Lasts</label><select class="input" id="days" value={days.value} onChange={(change) => (days.value = change.currentTarget.value)}>{DAYS.map(([value, name]) => <option key={value} value={value}>{name}</option>)}</select></div>
      <div class="field"><label for="why">Why it is harmless</label><input class="input" id="why" required maxLength={200} value={reason.value} onInput={(change) => (reason.value = change.currentTarget.value)} />
        <span class="hint">Stands in the configuration, in the list of versions and in the audit log.</span></div>
      {found && found.diff.length > 0 && <details><summary>What changes in the configuration</summary><Lines lines={found.diff} /></details>}
    </Dialog>
  );
}
