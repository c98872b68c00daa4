// The editor of the configuration: a text field with line numbers, all mistakes beside it as one types, then review and apply.
import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { api, Refused, words } from "../api/client";
import type { Check, Mistake } from "../api/types";
import { Bones, Empty, Failed, Icon, Note, Pill, span } from "../parts/basics";
import { Dialog } from "../parts/dialog";
import { Lines, Words } from "../parts/diff";
import { changed, draft } from "../state/draft";
import { expect, pending, refresh, state } from "../state/live";
import { useLoad } from "../state/load";
import { go } from "../state/route";
import { admin } from "../state/session";

const WAITS = [30, 60, 120, 300, 600];

/** Checks what is in the draft half a second after the last keystroke. */
function useCheck() {
  const found = useSignal<Check | null>(null);
  const error = useSignal<string | null>(null);
  const checked = useSignal("");
  const text = draft.value?.text ?? "";
  useEffect(() => {
    if (!text) return;
    const timer = setTimeout(() => {
      api.check({ text }).then(
        (value) => { found.value = value; error.value = null; checked.value = text; },
        (failure: unknown) => { error.value = words(failure); },
      );
    }, 500);
    return () => clearTimeout(timer);
  }, [text]);
  return { found: found.value, error: error.value, fresh: checked.value === text };
}

function MistakeList({ mistakes, to }: { mistakes: Mistake[]; to: (mistake: Mistake) => void }) {
  return (
    <ul class="mistakes">{mistakes.map((mistake, i) => (
      <li key={i}><div><button class="link" onClick={() => to(mistake)}>Line {mistake.line}, column {mistake.column}</button>{" "}
        {mistake.fatal ? <Pill tone="crit"><Icon n="octagon-alert" />mistake</Pill> : <Pill tone="warn"><Icon n="triangle-alert" />remark</Pill>}</div>
        <div class="wrap">{mistake.message}</div>{mistake.help && <div class="sec wrap">{mistake.help}</div>}</li>
    ))}</ul>
  );
}

function Apply({ check, close }: { check: Check; close: () => void }) {
  const comment = useSignal("");
  const wait = useSignal(60);
  const busy = useSignal(false);
  const error = useSignal<string | null>(null);
  const submit = async () => {
    const now = draft.value;
    if (!now || busy.value) return;
    busy.value = true;
    error.value = null;
    try {
      const waiting = await api.commit({ text: now.text, comment: comment.value.trim(), base: now.base, confirm_within_s: wait.value });
      draft.value = null;
      expect(waiting);
      close();
      go("/configuration");
    } catch (failure) {
      error.value = failure instanceof Refused && failure.mistakes[0] ? `${failure.message} ${failure.mistakes.map((one) => `Line ${one.line}: ${one.message}`).join(" ")}` : words(failure);
    } finally {
      busy.value = false;
      refresh();
    }
  };
  return (
    <Dialog title="Review and apply" close={close} submit={() => void submit()}
      footer={<><button class="btn ghost" type="button" onClick={close}>Cancel</button><button class="btn primary" disabled={busy.value}>{busy.value ? "Applying" : `Apply, take back in ${span(wait.value * 1000)} unless kept`}</button></>}>
      {error.value && <Note tone="crit" role="alert">{error.value}</Note>}
      <Words changes={check.changes} />
      <Lines lines={check.diff} />
      <div class="field"><label for="comment">Why</label><input class="input" id="comment" required maxLength={500} value={comment.value} onInput={(event) => (comment.value = event.currentTarget.value)} />
        <span class="hint">Stands in the list of versions and in the audit log.</span></div>
      <div class="field"><label for="wait">Time to keep it</label>
        <select class="input" id="wait" value={String(wait.value)} onChange={(event) => (wait.value = Number(event.currentTarget.value))}>{WAITS.map((one) => <option key={one} value={String(one)}>{span(one * 1000)}</option>)}</select>
        <span class="hint">The appliance holds the timer: it takes the change back even if this browser is cut off.</span></div>
    </Dialog>
  );
}

function Text({ mistakes, area }: { mistakes: Mistake[]; area: { current: HTMLTextAreaElement | null } }) {
  const gutter = useRef<HTMLDivElement>(null);
  const now = draft.value;
  if (!now) return null;
  const bad = new Set(mistakes.filter((one) => one.fatal).map((one) => one.line));
  const count = now.text.split("\n").length;
  return (
    <div class="editor doc">
      <div class="gutter" ref={gutter} aria-hidden="true">{Array.from({ length: count }, (_, i) => <>{i > 0 && "\n"}{bad.has(i + 1) ? <b>● {i + 1}</b> : i + 1}</>)}</div>
      <textarea ref={area} aria-label="Configuration document" spellcheck={false} autocapitalize="off" autocomplete="off" wrap="off" readOnly={!admin.value} value={now.text}
        onInput={(event) => (draft.value = { ...now, text: event.currentTarget.value })} onScroll={(event) => { if (gutter.current) gutter.current.scrollTop = event.currentTarget.scrollTop; }} />
    </div>
  );
}

export function Editor() {
  const running = state.value?.configuration?.number;
  const document = useLoad(api.configuration, [running]);
  const area = useRef<HTMLTextAreaElement>(null);
  const applying = useSignal(false);
  const check = useCheck();
  useEffect(() => {
    const now = document.value;
    if (now && !changed.value) draft.value = { base: now.version.number, original: now.text, text: now.text };
  }, [document.value]);
  if (document.error && !draft.value) return <div class="card"><Failed error={document.error} again={document.again} /></div>;
  if (!draft.value) return <div class="card"><Bones lines={12} /></div>;
  const behind = document.value && document.value.version.number !== draft.value.base;
  const mistakes = check.found?.mistakes ?? [];
  const fatal = mistakes.filter((one) => one.fatal).length;
  const ready = changed.value && check.fresh && check.found !== null && fatal === 0 && !pending.value && !behind;
  const to = (mistake: Mistake) => {
    const element = area.current;
    if (!element) return;
    const lines = element.value.split("\n");
    const start = lines.slice(0, mistake.line - 1).reduce((total, line) => total + line.length + 1, 0) + Math.max(0, mistake.column - 1);
    element.focus();
    element.setSelectionRange(start, start + Math.max(1, mistake.length));
    element.scrollTop = Math.max(0, (mistake.line - 6) * 19);
  };
  return (
    <div class="columns">
      <section class="card" aria-label="Editor">
        <header><h2>Draft</h2><span class="sec">made from version {draft.value.base}</span><span class="grow" />
          {changed.value && <button class="btn ghost small" onClick={() => (draft.value = document.value ? { base: document.value.version.number, original: document.value.text, text: document.value.text } : null)}>Discard</button>}
          {admin.value && <button class="btn primary small" disabled={!ready} onClick={() => (applying.value = true)}>Review and apply</button>}</header>
        <Text mistakes={mistakes} area={area} />
      </section>
      <section class="card" aria-label="Check">
        <header><h2>Check</h2><span class="grow" />
          {check.error ? <Pill tone="crit"><Icon n="plug-zap" />not checked</Pill> : !check.found || !check.fresh ? <Pill>Checking</Pill> : fatal ? <Pill tone="crit"><Icon n="octagon-alert" />{fatal} {fatal === 1 ? "mistake" : "mistakes"}</Pill> : <Pill tone="ok"><Icon n="check" />No mistakes</Pill>}</header>
        <div class="pane" tabIndex={0} role="group" aria-label="Findings">
          {!admin.value && <div class="padded"><Note>Your role may look and check, not apply.</Note></div>}
          {pending.value && <div class="padded"><Note tone="warn">Version {pending.value.version} waits for confirmation. Keep it or take it back first.</Note></div>}
          {behind && <div class="padded"><Note tone="warn">Version {document.value?.version.number} was committed since this draft was begun. Copy what you need, discard the draft, and start from there.</Note></div>}
          {check.error && <div class="padded"><Note tone="crit" role="alert">{check.error}</Note></div>}
          {mistakes.length > 0 && <MistakeList mistakes={mistakes} to={to} />}
          {check.found && fatal === 0 && (check.found.changes.length > 0 || check.found.diff.length > 0
            ? <div class="padded stack"><h3>What would change</h3><Words changes={check.found.changes} /><Lines lines={check.found.diff} /></div>
            : mistakes.length === 0 && <Empty icon="check" title="Same as what runs">Edit the text; every change is checked as you type.</Empty>)}
        </div>
      </section>
      {applying.value && check.found && <Apply check={check.found} close={() => (applying.value = false)} />}
    </div>
  );
}
