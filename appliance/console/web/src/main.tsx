// The pages of Redan's console: a single-page application over /api/v1 and one event stream. Layout:
//   api/    types (generated from the server's) and the client      state/  signals: session, live picture, URL, draft, theme
//   parts/  frame, dialog, chart, small parts                       pages/  one file a page
import { render } from "preact";
import { useEffect } from "preact/hooks";
import { Frame } from "./parts/frame";
import { Door, NewPassword } from "./pages/door";
import { follow, unfollow } from "./state/live";
import { followLinks } from "./state/route";
import { recall, session } from "./state/session";

function App() {
  const who = session.value;
  const inside = who && !who.must_change_password ? who.name : null;
  useEffect(() => {
    if (inside === null) return;
    follow();
    return unfollow;
  }, [inside]);
  if (who === undefined) return null;
  if (who === null) return <Door />;
  return who.must_change_password ? <NewPassword name={who.name} /> : <Frame />;
}

const root = document.querySelector("#app");
if (root) {
  followLinks();
  render(<App />, root);
  void recall();
}
