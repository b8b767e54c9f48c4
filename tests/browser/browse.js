// Drives a real browser over a viewer: signs in, searches, opens every tab,
// prints, uses the keyboard alone, looks for scripts that ran and for requests
// to other hosts, and asks axe for faults. One JSON document on stdout: what
// it saw; the test decides.
const { chromium } = require("playwright-core");
const fs = require("fs");
const path = require("path");

const job = JSON.parse(fs.readFileSync(0, "utf8"));
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const seen = { pages: [], dialogs: [], foreign: [], errors: [], axe: [], scripts: [], shots: [], judged: 0, followed: 0 };

// A browser that starts for the first time on a busy machine takes its time.
const PATIENCE_MS = 120_000;

const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

async function look(page, name, judge) {
  const ran = await page.evaluate(() => ({
    xss: window.__xss || 0,
    scripts: document.scripts.length,
    handlers: [...document.querySelectorAll("*")].filter((e) => [...e.attributes].some((a) => /^on/i.test(a.name))).length,
    text: document.body.innerText,
    title: document.title,
  }));
  seen.pages.push({ name, url: page.url(), title: ran.title, text: ran.text });
  if (ran.xss || ran.scripts || ran.handlers) seen.scripts.push({ name, ...ran, text: undefined });
  if (judge) {
    // axe is brought in by the browser's debugger, past the page's policy.
    const client = await page.context().newCDPSession(page);
    await client.send("Runtime.evaluate", { expression: axe });
    const answer = await client.send("Runtime.evaluate", {
      expression: "axe.run(document, { resultTypes: ['violations'] }).then(r => JSON.stringify(r.violations.map(v => ({ id: v.id, impact: v.impact, nodes: v.nodes.slice(0, 3).map(n => n.html) }))))",
      awaitPromise: true, returnByValue: true });
    seen.judged++;
    for (const one of JSON.parse(answer.result.value)) seen.axe.push({ page: name, ...one });
    await client.detach();
  }
}

async function shot(page, name, full) {
  if (!job.shots) return;
  const file = path.join(job.shots, name + ".png");
  await page.screenshot({ path: file, fullPage: !!full });
  seen.shots.push(file);
}

async function signIn(page, user, code) {
  await page.goto(job.url + "/sign-in");
  await page.fill("#facility", job.facility);
  await page.fill("#user", user);
  await page.fill("#password", "hikae-" + user);
  if (code) await page.fill("#code", code);
  await page.click("main button");
}

(async () => {
  const browser = await chromium.launch({ executablePath: job.browser, headless: true, args });
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 800 }, locale: "ja-JP" });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  page.on("dialog", (dialog) => { seen.dialogs.push(dialog.message()); dialog.dismiss(); });
  page.on("request", (request) => { if (!request.url().startsWith(job.url + "/")) seen.foreign.push(request.url()); });
  page.on("console", (message) => { if (message.type() === "error") seen.errors.push(message.text()); });

  await page.goto(job.url + "/");
  await look(page, "sign-in", true);
  await shot(page, "sign-in");
  await signIn(page, "ishi");
  await look(page, "list", true);
  await page.fill("#words", job.words);
  await page.press("#words", "Enter");
  await page.waitForSelector("table");
  await look(page, "found", true);
  await shot(page, "patients");

  for (const tab of job.tabs) {
    const address = `${job.url}/p/${job.facility}/${job.patient}/${tab}`;
    const begun = Date.now();
    await page.goto(address);
    seen.pages.length && (seen.took = { ...(seen.took || {}), [tab]: Date.now() - begun });
    await look(page, tab, true);
    await shot(page, tab);
  }
  for (const name of job.addresses || []) {
    await page.goto(job.url + name);
    await look(page, name, false);
  }

  // Every record of the patient with the payloads, its message and history.
  if (job.follow) {
    await page.goto(job.url + job.follow);
    const records = await page.$$eval("tbody a", (links) => links.map((link) => link.getAttribute("href")));
    for (const href of new Set(records)) {
      for (const one of [href, href.replace("/record/", "/raw/")]) {
        await page.goto(job.url + one);
        await look(page, one, false);
      }
      seen.followed++;
    }
  }

  // Print view of the summary: A4, one page counts the PDF's pages.
  await page.goto(`${job.url}/p/${job.facility}/${job.patient}/summary`);
  await page.emulateMedia({ media: "print" });
  seen.printed = await page.evaluate(() => ({
    bar: getComputedStyle(document.querySelector(".bar")).display,
    tabs: getComputedStyle(document.querySelector(".tabs")).display,
  }));
  const pdf = await page.pdf({ preferCSSPageSize: true, printBackground: false });
  seen.printed.pages = (pdf.toString("latin1").match(/\/Type\s*\/Page[^s]/g) || []).length;
  if (job.shots) fs.writeFileSync(path.join(job.shots, "summary.pdf"), pdf);
  await page.emulateMedia({ media: "screen" });

  // Keyboard alone: from the sign-in to a patient's tab.
  await context.clearCookies();
  await page.goto(job.url + "/sign-in");
  for (const text of [job.facility, "ishi", "hikae-ishi"]) { await page.keyboard.type(text); await page.keyboard.press("Tab"); }
  await page.keyboard.press("Enter");
  await page.waitForSelector("#words");
  await page.keyboard.type(job.words);
  await page.keyboard.press("Enter");
  await page.waitForSelector("td a");
  let steps = 0;
  const focused = () => page.evaluate(() => document.activeElement && document.activeElement.getAttribute("href"));
  while (!((await focused()) || "").startsWith("/p/") && steps++ < 40) await page.keyboard.press("Tab");
  seen.ring = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  await page.keyboard.press("Enter");
  await page.waitForSelector(".tabs");
  steps = 0;
  while (!((await focused()) || "").includes("/medication") && steps++ < 40) await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/medication*");
  await look(page, "by keyboard", false);

  // English, and a phone.
  await page.goto(job.url + "/patients");
  await page.click("a[lang=en]");
  await look(page, "english", false);
  await context.clearCookies();
  const phone = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 390, height: 780 }, isMobile: true, deviceScaleFactor: 2 });
  phone.setDefaultTimeout(PATIENCE_MS);
  const small = await phone.newPage();
  await signIn(small, "ishi");
  await small.goto(`${job.url}/p/${job.facility}/${job.patient}/summary`);
  seen.phone = await small.evaluate(() => ({ wide: document.documentElement.scrollWidth, view: window.innerWidth }));
  await shot(small, "phone");

  seen.storage = await page.evaluate(() => ({ local: localStorage.length, session: sessionStorage.length }));
  await browser.close();
  process.stdout.write(JSON.stringify(seen));
})().catch((error) => {
  // All of it before the end: a pipe takes 64 KiB at a time.
  process.stdout.write(JSON.stringify({ ...seen, failed: String(error.stack || error) }), () => process.exit(1));
});
