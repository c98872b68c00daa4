// A TOML document with line numbers, its words coloured by kind.
import type { ComponentChildren } from "preact";

const STRING = /"(?:[^"\\]|\\.)*"|'[^']*'/g;

function value(text: string): ComponentChildren[] {
  const parts: ComponentChildren[] = [];
  let at = 0;
  for (const match of text.matchAll(STRING)) {
    parts.push(text.slice(at, match.index), <span class="str">{match[0]}</span>);
    at = match.index + match[0].length;
  }
  const rest = text.slice(at);
  const comment = rest.indexOf("#");
  if (comment < 0) parts.push(rest);
  else parts.push(rest.slice(0, comment), <span class="com">{rest.slice(comment)}</span>);
  return parts;
}

/** One line: a comment, a table's head, `key = value`, or the continuation of a value. */
function line(text: string): ComponentChildren {
  const bare = text.trimStart();
  if (bare.startsWith("#")) return <span class="com">{text}</span>;
  if (/^\[.*\]\s*(#.*)?$/.test(bare)) return <span class="tab">{text}</span>;
  const key = /^(\s*[\w."'-]+\s*)=/.exec(text);
  return key?.[1] ? <><span class="key">{key[1]}</span>{value(text.slice(key[1].length))}</> : value(text);
}

export function Listing({ text }: { text: string }) {
  const lines = text.replace(/\n$/, "").split("\n");
  return (
    <div class="listing doc" tabIndex={0} role="group" aria-label="Document">
      <div class="gutter" aria-hidden="true">{lines.map((_, i) => i + 1).join("\n")}</div>
      <pre>{lines.map((one, i) => <>{i > 0 && "\n"}{line(one)}</>)}</pre>
    </div>
  );
}
