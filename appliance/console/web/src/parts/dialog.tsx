// A modal dialog on the browser's own: focus is kept inside, Escape closes, focus returns.
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

type Props = { title: string; close: () => void; small?: boolean; children: ComponentChildren; footer: ComponentChildren; submit?: () => void };

export function Dialog({ title, close, small, children, footer, submit }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const element = dialog.current;
    if (element && !element.open) element.showModal();
    return () => element?.close();
  }, []);
  return (
    <dialog ref={dialog} class={small ? "small" : ""} aria-labelledby={id} onCancel={(event) => { event.preventDefault(); close(); }}>
      <form method="dialog" onSubmit={(event) => { event.preventDefault(); submit?.(); }}>
        <header><h2 id={id}>{title}</h2></header>
        <div class="b">{children}</div>
        <footer>{footer}</footer>
      </form>
    </dialog>
  );
}
