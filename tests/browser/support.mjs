// A headless Chromium on the console, watched: whatever the pages must never do fails the test that did it.
import { chromium } from "playwright-core";
import { execFileSync } from "node:child_process";
import { readFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import https from "node:https";
import assert from "node:assert/strict";

const file = process.env.REDAN_READY_FILE;
assert.ok(file, "REDAN_READY_FILE names the file that `cargo evaluate --ready-file` writes");

/** What the appliance says of itself. */
export const ready = JSON.parse(readFileSync(file, "utf8"));

const base = ready.console_url.replace(/\/$/, "");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const pictures = process.env.REDAN_SCREENSHOTS;
if (pictures) mkdirSync(pictures, { recursive: true });

/** Starts the browser; nothing of it goes to the network but the pages' own requests. */
export const launch = () => chromium.launch({
  executablePath: process.env.REDAN_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

/** A page that keeps a list of what it must not do; `expected` are patterns of console errors that the test itself provokes. */
export async function open(browser, { theme = "dark", width = 1280, height = 800, storage } = {}) {
  const context = await browser.newContext({
    viewport: { width, height }, colorScheme: theme, reducedMotion: "reduce", ignoreHTTPSErrors: true, ...(storage ? { storageState: storage } : {}),
  });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const wrongs = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) wrongs.push(`console: ${message.text().slice(0, 300)}`);
    if (message.text().startsWith("policy:")) wrongs.push(message.text());
  });
  page.on("pageerror", (error) => wrongs.push(`error: ${error.message}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(`${base}/`)) wrongs.push(`another origin: ${request.url()}`);
  });
  await page.addInitScript(() => document.addEventListener("securitypolicyviolation", (event) => console.log(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`)));
  const cdp = await context.newCDPSession(page);
  return {
    page, context,
    go: (path) => page.goto(base + path),
    /** Fails on everything collected so far that does not match one of the expected patterns. */
    clean(...expected) {
      const left = wrongs.filter((wrong) => !expected.some((pattern) => pattern.test(wrong)));
      wrongs.length = 0;
      assert.deepEqual(left, []);
    },
    /** WCAG 2.2 AA by axe, injected beside the policy, which stays on. */
    async accessible(name) {
      await cdp.send("Runtime.evaluate", { expression: axe });
      const found = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
      const said = found.violations.map((one) => `${one.id} (${one.impact}): ${one.nodes.map((node) => `${node.target} ${node.any[0]?.message ?? ""}`).slice(0, 3).join(" | ")}`);
      assert.deepEqual(said, [], name);
    },
    async picture(name) {
      if (pictures) await page.screenshot({ path: `${pictures}/${name}.png` });
    },
  };
}

/** Asks the API with the key of the ready file, or of `key`. */
export function script(method, path, body) {
  return new Promise((resolve, reject) => {
    const request = https.request(base + path, {
      method,
      // The certificate is the appliance's own: it is known by its fingerprint, where the ready file has one.
      rejectUnauthorized: false,
      headers: { authorization: `Bearer ${administratorKey()}`, "content-type": "application/json" },
      timeout: 15_000,
    }, (answer) => {
      let text = "";
      answer.on("data", (piece) => (text += piece));
      answer.on("end", () => resolve({ status: answer.statusCode, body: text ? JSON.parse(text) : null }));
    });
    request.on("error", reject);
    request.on("timeout", () => request.destroy(new Error("no answer in time")));
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

let key;

/** An API key that may administrate: made on the operators' channel where there is one, since the evaluation's own may not. */
function administratorKey() {
  if (key === undefined && ready.binaries) {
    const made = execFileSync(`${ready.binaries}/redan`, ["--state", ready.state, "key", "create", ready.admin, "--role", "admin"], { encoding: "utf8" });
    key = made.match(/redan_\S+/)[0];
  }
  return key ?? ready.api_key;
}

/** Sends requests to the published service, so that there is something to count. */
export async function traffic(count) {
  for (let i = 0; i < count; i++) {
    await new Promise((resolve) => {
      const request = https.get(ready.published_url, { rejectUnauthorized: false, timeout: 5_000 }, (answer) => answer.resume().on("end", resolve));
      request.on("error", resolve);
      request.on("timeout", () => request.destroy());
    });
  }
}

/** The status of a request to the published service. */
export function published(path) {
  return new Promise((resolve, reject) => {
    const url = new URL(path, ready.published_url);
    const request = https.get(url, { rejectUnauthorized: false, timeout: 10_000, headers: { accept: "*/*", "user-agent": "a test" } }, (answer) => {
      answer.resume().on("end", () => resolve(answer.statusCode));
    });
    request.on("error", reject);
    request.on("timeout", () => request.destroy(new Error("no answer in time")));
  });
}
