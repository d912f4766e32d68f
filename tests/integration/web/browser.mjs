// A browser on the page: opens it, watches what it says and asks, looks at it with axe-core, takes its picture.
import { createRequire } from "node:module";
import { existsSync, mkdirSync, readFileSync } from "node:fs";

const require = createRequire(process.env.HF_NODE_DIR + "/");
const puppeteer = require("puppeteer-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const BROWSERS = ["/usr/bin/chromium", "/usr/bin/google-chrome", "/usr/bin/chromium-browser"];

export function must(condition, what) { if (!condition) throw new Error(what); }

export async function until(what, ask, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const value = await ask();
    if (value) return value;
    if (Date.now() > end) throw new Error("timed out waiting for " + what);
    await new Promise((f) => setTimeout(f, 100));
  }
}

export class Page {
  // Everything that must not happen is collected in `wrong`, and read at the end.
  static async open(base, pictures) {
    const me = new Page();
    Object.assign(me, { base, pictures, wrong: [], answers: 0 });
    me.browser = await puppeteer.launch({ executablePath: BROWSERS.find(existsSync), headless: true,
      args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"] });
    me.page = await me.browser.newPage();
    await me.page.setViewport({ width: 1280, height: 900 });
    me.page.on("console", (m) => { if (["error", "warn", "assert"].includes(m.type())) me.wrong.push("console: " + m.text() + " " + (m.location().url || "")); });
    me.page.on("pageerror", (e) => me.wrong.push("exception: " + e.message));
    me.page.on("dialog", (d) => d.accept("looked at"));
    me.page.on("request", (r) => { if (!r.url().startsWith(base) && !r.url().startsWith("blob:" + base) && !r.url().startsWith("data:")) me.wrong.push("asked elsewhere: " + r.url()); });
    me.page.on("response", (r) => { me.answers++; if (r.status() >= 400) me.wrong.push(r.status() + " for " + r.url()); });
    await me.page.evaluateOnNewDocument(() => {
      window.refused = [];
      document.addEventListener("securitypolicyviolation", (e) => window.refused.push(e.violatedDirective + " " + e.blockedURI));
    });
    mkdirSync(pictures, { recursive: true });
    return me;
  }

  async go(hash) {
    await this.page.goto(this.base + "/" + hash);
    await this.page.waitForSelector("main h1");
  }
  // Another view, without loading the page anew.
  async turn(hash) {
    await this.page.evaluate((h) => { location.hash = h; }, hash);
    await this.page.waitForFunction((h) => location.hash === h, {}, hash);
    await this.page.waitForNetworkIdle({ idleTime: 250, concurrency: 1, timeout: 10000 }); // one: the stream of events
  }
  text(selector = "main") { return this.page.$eval(selector, (e) => e.innerText); }
  count(selector) { return this.page.$$eval(selector, (l) => l.length); }
  async click(label, within = "body") {
    const done = await this.page.evaluate((l, w) => {
      const b = [...document.querySelectorAll(w + " button, " + w + " a")].find((e) => e.textContent.trim() === l && !e.disabled);
      if (b) b.click();
      return !!b;
    }, label, within);
    must(done, "there is nothing to click named " + label);
  }
  async says(text, seconds) { await until("the page to say " + text, async () => (await this.text("body")).includes(text), seconds); }
  async policyRefused() { return this.page.evaluate(() => window.refused); }

  async theme(name) {
    await this.page.evaluate((n) => { document.documentElement.dataset.theme = n; }, name);
  }
  async accessible(where) {
    await this.page.evaluate(AXE);
    const { held, found } = await this.page.evaluate(async () => {
      const { passes, violations } = await window.axe.run();
      return { held: passes.length, found: violations.map((v) =>
        v.id + ": " + v.nodes.slice(0, 3).map((n) => n.target.join(" ") + " " + (n.failureSummary || "").replace(/\s+/g, " ").slice(0, 200)).join("; ")) };
    });
    must(held > 10, "axe looked at next to nothing: " + where);
    found.forEach((f) => this.wrong.push("axe, " + where + ": " + f));
  }
  // Nothing may stick out to the right: whoever reads on a phone would have to push the page about.
  async fits(where) {
    const over = await this.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (over > 1) this.wrong.push(where + ": " + over + " px wider than the window");
  }
  picture(name) { return this.page.screenshot({ path: this.pictures + "/" + name + ".png" }); }
  close() { return this.browser.close(); }
}
