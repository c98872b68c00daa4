// Sign in, the change of a one-time password, and the unsealing of the vault, which comes before everything.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { api, words } from "../api/client";
import type { Seal } from "../api/types";
import { Icon, Mark, Note } from "../parts/basics";
import { doorNote, leave, session } from "../state/session";

/** Shortest new password; the vault enforces it, this only says it sooner. */
export const SHORTEST = 12;

const Panel = ({ title, children }: { title: string; children: ComponentChildren }) => (
  <main class="door">
    <div class="panel">
      <div class="name"><Mark />Redan</div>
      <div class="card"><header><h1>{title}</h1></header>{children}</div>
    </div>
  </main>
);

/** Between two looks at whether the vault is open, in milliseconds: others may bring their shares elsewhere. */
const LOOK = 5_000;

export function Door() {
  const seal = useSignal<Seal | null>(null);
  useEffect(() => {
    const look = () => api.seal().then((now) => (seal.value = now), () => {});
    void look();
    const timer = setInterval(() => void look(), LOOK);
    return () => clearInterval(timer);
  }, []);
  return seal.value?.sealed ? <Sealed seal={seal.value} changed={(now) => (seal.value = now)} /> : <SignIn />;
}

function Sealed({ seal, changed }: { seal: Seal; changed: (now: Seal) => void }) {
  const share = useSignal("");
  const error = useSignal<string | null>(null);
  const busy = useSignal(false);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    document.title = "Sealed · Redan";
    field.current?.focus();
  }, []);
  const needed = seal.threshold ?? 0;
  const bring = async (event: Event) => {
    event.preventDefault();
    busy.value = true;
    error.value = null;
    try {
      changed(await api.unseal({ share: share.value }));
    } catch (failure) {
      error.value = words(failure);
    } finally {
      share.value = "";
      busy.value = false;
    }
  };
  return (
    <Panel title="The vault is sealed">
      <form onSubmit={bring}>
        {error.value ? <Note tone="crit" role="alert">{error.value}</Note> : <Note role="status">{seal.sealed}</Note>}
        {needed === 0 && <p>No recovery was made for this store: only its key device opens it.</p>}
        {needed > 0 && <>
          <div class="field"><label for="share">{needed === 1 ? "Recovery key" : `Share ${seal.gathered + 1} of ${needed}`}</label>
            <input class="input" id="share" ref={field} type="password" autocomplete="off" spellcheck={false} required maxLength={512}
              value={share.value} onInput={(event) => (share.value = event.currentTarget.value)} /></div>
          <button class="btn primary" disabled={busy.value}>{busy.value ? "Opening" : "Unseal"}</button>
        </>}
      </form>
    </Panel>
  );
}

function SignIn() {
  const name = useSignal("");
  const password = useSignal("");
  const error = useSignal<string | null>(null);
  const busy = useSignal(false);
  const first = useRef<HTMLInputElement>(null);
  useEffect(() => {
    document.title = "Sign in · Redan";
    first.current?.focus();
  }, []);
  const enter = async (event: Event) => {
    event.preventDefault();
    busy.value = true;
    error.value = null;
    try {
      session.value = await api.login({ name: name.value, password: password.value });
      doorNote.value = "";
    } catch (failure) {
      error.value = words(failure);
      password.value = "";
    } finally {
      busy.value = false;
    }
  };
  return (
    <Panel title="Sign in">
      <form onSubmit={enter}>
        {doorNote.value && !error.value && <Note role="status">{doorNote.value}</Note>}
        {error.value && <Note tone="crit" role="alert">{error.value}</Note>}
        <div class="field"><label for="name">Name</label>
          <input class="input" id="name" ref={first} autocomplete="username" autocapitalize="off" spellcheck={false} required maxLength={64}
            value={name.value} onInput={(event) => (name.value = event.currentTarget.value)} /></div>
        <div class="field"><label for="password">Password</label>
          <input class="input" id="password" type="password" autocomplete="current-password" required maxLength={1024}
            value={password.value} onInput={(event) => (password.value = event.currentTarget.value)} /></div>
        <button class="btn primary" disabled={busy.value}>{busy.value ? "Signing in" : "Sign in"}</button>
      </form>
    </Panel>
  );
}

/** The fields of a new password; used at the door and on the account page. */
export function PasswordForm({ done, first }: { done: () => void; first: boolean }) {
  const current = useSignal("");
  const next = useSignal("");
  const again = useSignal("");
  const error = useSignal<string | null>(null);
  const busy = useSignal(false);
  const short = next.value !== "" && [...next.value].length < SHORTEST;
  const differ = again.value !== "" && again.value !== next.value;
  const change = async (event: Event) => {
    event.preventDefault();
    if (short || again.value !== next.value) return;
    busy.value = true;
    error.value = null;
    try {
      const now = await api.password({ current: current.value, new: next.value });
      current.value = next.value = again.value = "";
      session.value = now;
      done();
    } catch (failure) {
      error.value = words(failure);
    } finally {
      busy.value = false;
    }
  };
  return (
    <form onSubmit={change}>
      {first && <Note>The password that you used works once. Choose your own to go on.</Note>}
      {error.value && <Note tone="crit" role="alert">{error.value}</Note>}
      <div class="field"><label for="current">{first ? "One-time password" : "Current password"}</label>
        <input class="input" id="current" type="password" autocomplete="current-password" required maxLength={1024}
          value={current.value} onInput={(event) => (current.value = event.currentTarget.value)} /></div>
      <div class="field"><label for="new">New password</label>
        <input class="input" id="new" type="password" autocomplete="new-password" required maxLength={1024} aria-describedby="new-hint"
          value={next.value} onInput={(event) => (next.value = event.currentTarget.value)} />
        <span id="new-hint" class={short ? "wrong" : "hint"}>At least {SHORTEST} characters. Several words are easier to remember than signs.</span></div>
      <div class="field"><label for="again">New password again</label>
        <input class="input" id="again" type="password" autocomplete="new-password" required maxLength={1024} aria-describedby="again-hint"
          value={again.value} onInput={(event) => (again.value = event.currentTarget.value)} />
        <span id="again-hint" class="wrong">{differ ? "The two differ." : ""}</span></div>
      <button class="btn primary" disabled={busy.value || short || differ}>Change password</button>
    </form>
  );
}

export function NewPassword({ name }: { name: string }) {
  return (
    <Panel title={`Welcome, ${name}`}>
      <PasswordForm first done={() => {}} />
      <footer class="log-foot"><Icon n="user" /><span class="grow">{name}</span><button class="link" onClick={() => void leave()}>Sign out</button></footer>
    </Panel>
  );
}
