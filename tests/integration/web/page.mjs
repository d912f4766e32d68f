// What somebody does with the page, from a job's submission to the audit: node page.mjs URL IMAGE OUTPUT PICTURES
import { must, Page, until } from "./browser.mjs";

const [, , base, image, output, pictures] = process.argv;
const p = await Page.open(base, pictures);
const state = () => p.page.$eval("main h1 .state", (e) => e.textContent.trim()).catch(() => "");
const jobOf = async () => (await p.page.evaluate(() => location.hash)).replace("#/job/", "");

async function submitByForm() {
  await p.turn("#/submit");
  await p.page.type("[name=vm_path]", image);
  await p.page.type("[name=name]", "by form");
  await p.page.type("[name=output_dir]", output);
  await p.page.select("[name=operation]", "convert");
  await p.page.select("[name=format]", "qcow2");
  await p.page.type("[name=requested_by]", "ana");
  await p.click("Submit", "main");
  await until("the new job's page", async () => (await p.page.evaluate(() => location.hash)).startsWith("#/job/"));
  await until("the job to finish by itself on the page", async () => (await state()) === "completed", 40);
  must((await p.text()).includes(".qcow2"), "the page does not show what the job made");
  must(/Created/.test(await p.text(".timeline")) && /Completed/.test(await p.text(".timeline")), "the timeline is not complete");
  return jobOf();
}

async function cancelAnother() {
  await p.turn("#/submit");
  await p.page.$eval("[name=json]", (e) => { e.value = JSON.stringify({ name: "too long", operation: "sleep", parameters: { ms: 600000 } }); });
  await p.click("Submit JSON");
  await until("the job's page", async () => (await p.page.evaluate(() => location.hash)).startsWith("#/job/"));
  await until("the job to run", async () => ["running", "progressing"].includes(await state()), 30);
  await p.click("Cancel", "main");
  await until("the job to be cancelled", async () => (await state()) === "cancelled", 30);
}

async function filter() {
  await p.turn("#/jobs");
  await until("both jobs", async () => (await p.count("main tbody tr")) >= 2);
  const all = await p.count("main tbody tr");
  await p.page.select("[name=state]", "cancelled");
  await until("the filter in the address", async () => (await p.page.evaluate(() => location.hash)).includes("state=cancelled"));
  await until("one job", async () => (await p.count("main tbody tr")) === 1);
  await p.page.reload();
  await until("the same after a reload", async () => (await p.count("main tbody tr")) === 1);
  must((await p.page.$eval("[name=state]", (e) => e.value)) === "cancelled", "the form forgot the filter");
  must((await p.text("main tbody")).includes("too long"), "the filter shows another job");
  must(all > 1, "the filter had nothing to take away");
}

async function audit(id) {
  await p.turn("#/audit?job=" + id);
  await p.says("completed");
  await p.page.$eval("input[type=range]", (e) => { e.value = "0"; e.dispatchEvent(new Event("input")); e.dispatchEvent(new Event("change")); });
  await p.says("It did not exist yet", 10).catch(() => p.says("What has changed since", 5));
  await p.turn("#/audit");
  await p.page.$eval("input[type=range]", (e) => { e.value = "0"; e.dispatchEvent(new Event("input")); e.dispatchEvent(new Event("change")); });
  await until("what has changed in the fleet", async () => (await p.count("#changes tbody tr")) > 0 && (await p.text("#changes")).includes("created"));
}

// While it is paused nothing moves; afterwards what was missed is there.
async function pause() {
  await p.turn("#/jobs");
  await until("the stream", async () => (await p.text("#live")) === "live");
  const before = await p.count("main tbody tr");
  await p.click("Pause");
  await p.page.evaluate(() => fetch("/api/v1/jobs", { method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ name: "meanwhile", operation: "sleep", parameters: { ms: 1 } }) }));
  await new Promise((f) => setTimeout(f, 2500));
  must((await p.count("main tbody tr")) === before, "a paused page moved");
  await p.click("Go on");
  await until("what happened meanwhile", async () => (await p.count("main tbody tr")) > before, 10);
}

// Somebody adds a schedule, sees when it is due while writing, triggers it, changes it, switches it off and takes it away.
async function schedule() {
  const fill = (name, value) => p.page.$eval(`[name=${name}]`, (e, v) => { e.value = v; e.dispatchEvent(new Event("input", { bubbles: true })); }, value);
  const shown = (what, seconds) => until("the page to show " + what, async () => (await p.text()).includes(what), seconds);
  await p.turn("#/schedules");
  await fill("schedule", "61 2 * * *");
  await shown("column 1");
  p.wrong = p.wrong.filter((w) => !w.includes("/api/v1/cron/next")); // what is refused is a 400, and told
  await fill("time_zone", "Asia/Tokyo");
  await fill("schedule", "30 2 * * *");
  await shown("02:30:00+09:00");
  await p.page.type("[name=id]", "nightly");
  await p.page.type("[name=vm_path]", image);
  await p.page.select("[name=operation]", "inspect");
  await p.page.type("[name=tags]", "prod, web");
  await p.click("Add", "main");
  await until("the new schedule's page", async () => (await p.page.evaluate(() => location.hash)) === "#/schedules/nightly");
  await shown("enabled");
  must((await p.count("ol.times li")) >= 5, "the coming times are not there");

  await p.click("Run now", "main");
  await until("the run's page", async () => (await p.page.evaluate(() => location.hash)).startsWith("#/job/"));
  await until("the run to finish", async () => (await state()) === "completed", 40);
  must((await p.text()).includes("schedule:nightly"), "the job does not say where it came from");

  await p.turn("#/schedules/nightly");
  await until("the run in the list", async () => (await p.text("tbody")).includes("completed"));
  await fill("schedule", "0 12 * * mon");
  await p.click("Save", "main");
  await shown("12:00:00+09:00");
  must((await p.text("dl")).includes("prod, web"), "a change lost the tags");
  await p.click("Disable", "main");
  await shown("disabled");

  await p.turn("#/schedules");
  await until("the list", async () => (await p.count("main tbody tr")) === 1);
  must((await p.text("main tbody")).includes("disabled") && (await p.text("main tbody")).includes("completed"), "the list does not say how it is");
  await p.page.focus("main tbody button");
  await p.page.keyboard.press("Enter"); // by keyboard: Enable
  await until("it to be enabled again", async () => (await p.text("main tbody")).includes("enabled") && !(await p.text("main tbody")).includes("disabled"));
}

// Whoever asks why is answered by browser.mjs.
async function controls() {
  await p.turn("#/workers");
  await p.click("Pause claims");
  await until("the banner", async () => (await p.page.$eval("#paused", (e) => e.hidden ? "" : e.textContent)).includes("looked at"), 10);
  await p.accessible("workers while claims are paused");
  await p.picture("paused");
  await p.page.click('[aria-label="Resume claims"]');
  await until("no banner", () => p.page.$eval("#paused", (e) => e.hidden), 10);
  await p.page.click('[aria-label^="quiet "]');
  await until("a quiet worker", async () => (await p.page.$eval("main tbody", (e) => e.textContent)).includes("quiet"), 15);
  await p.picture("quiet");
  await p.page.click('[aria-label^="resume "]');
  await until("a worker that works", async () => (await p.page.$eval("main tbody", (e) => e.textContent)).includes("active"), 15);
}

async function adjust() {
  const made = await p.page.evaluate(() => fetch("/api/v1/jobs", { method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ name: "adjusted", operation: "sleep", parameters: { ms: 20000 } }) }).then((a) => a.json()));
  await p.turn("#/job/" + made.items[0].job_id);
  await p.page.waitForSelector('select[name="priority"]');
  await p.page.select('select[name="priority"]', "2");
  await p.page.type('input[name="bandwidth"]', "20MiB/s");
  await p.page.type('input[name="reason"]', "office hours");
  await p.picture("adjust");
  await p.click("Change");
  await until("the event", async () => (await p.page.$eval("main", (e) => e.textContent)).includes("Adjusted"), 10);
  must((await p.page.$eval("main dl", (e) => e.textContent)).includes("20 MiB/s"), "the job's page does not tell its new bandwidth");
  const told = await p.page.evaluate((id) => fetch("/api/v1/jobs/" + id + "/events").then((a) => a.text()), made.items[0].job_id);
  must(told.includes("office hours"), "the reason is not on record");
  must((await p.page.$eval('input[name="reason"]', (e) => e.value)) === "", "the form keeps what it has sent");
  await p.click("Cancel");
}

// A webhook by the form; a trial that is refused, as it really was; switched off by keyboard and on again; its deliveries.
async function webhooks() {
  const row = async (what, seconds) => until("the list to say " + what, async () => (await p.text("main tbody").catch(() => "")).includes(what), seconds);
  await p.turn("#/webhooks");
  await p.page.type("[name=url]", "http://127.0.0.1:9/hook");
  await p.page.type("[name=id]", "billing");
  await p.page.click('[name="job.completed"]');
  await p.click("Add", "main");
  await row("billing", 10);
  must((await p.text("main tbody")).includes("job.completed"), "the list does not say which events");
  await p.page.click('[aria-label="Test billing"]');
  await until("the trial's outcome", async () => (await p.text("body")).includes("billing: not delivered"), 20);
  await p.page.focus('[aria-label="Disable billing"]');
  await p.page.keyboard.press("Enter");
  await row("disabled", 10);
  await p.page.click('[aria-label="Enable billing"]');
  await until("it to be on again", async () => (await p.count('[aria-label="Disable billing"]')) === 1, 10);
  await p.turn("#/webhooks/billing");
  await p.says("No deliveries");
  await p.click("Replay what failed", "main");
  await until("that nothing failed", async () => (await p.text("body")).includes("Nothing failed"), 10);
}

// A limit is set, is there with what it says, and is taken away.
async function limits() {
  await p.turn("#/workers");
  await p.page.type("[name=max]", "2");
  await p.page.select("[name=kind]", "tag");
  await p.page.type("[name=name]", "gold");
  await p.page.type("[name=why]", "one array");
  await p.click("Set limit", "main");
  await until("the limit", async () => (await p.text()).includes("tag/gold") && (await p.text()).includes("0 of 2"), 10);
  await look("limits");
  await p.page.focus('[aria-label="Remove limit tag/gold"]');
  await p.page.keyboard.press("Enter");
  await until("no limit", async () => (await p.text()).includes("No limit is set"), 10);
}

// What test_page.py put onto the topic that nobody can read: one that is no text, one that is no whole JSON.
async function deadLetters() {
  await until("the count in the navigation", async () => (await p.text("nav")).includes("Dead letters (2)"), 20);
  await p.turn("#/dead");
  await until("both letters", async () => (await p.count("main tbody tr")) === 2, 10);
  must(/submissions\/\d+\/\d+/.test(await p.text("main tbody")), "the list does not say where they came from");
  const open = async (key) => {
    await p.turn("#/dead");
    await until("the letter " + key, () => p.page.evaluate((k) => [...document.querySelectorAll("main tbody tr")].some((r) => r.textContent.includes(k)), key));
    await p.page.evaluate((k) => [...document.querySelectorAll("main tbody tr")].find((r) => r.textContent.includes(k)).querySelector("a").focus(), key);
    await p.page.keyboard.press("Enter");
    await until("the letter's page", async () => /^#\/dead\/\d+\/\d+$/.test(await p.page.evaluate(() => location.hash)) && (await p.count("main pre")) === 1);
  };
  await open("poison-bytes");
  must((await p.text("main pre")).startsWith("00000000  99 fe 20 3c"), "the bytes are not shown as hex: " + await p.text("main pre"));
  must((await p.text("main table")).includes("hf-origin"), "the headers are not shown");
  await look("dead-one");
  await open("poison-text");
  must((await p.text("main pre")) === "{ half a job <b>bold</b>", "the text is not shown as it is");
  must((await p.count("main pre b")) === 0, "the letter's bytes became markup");
  await look("dead-text");
  await p.click("Replay", "main");
  await until("the list again", async () => (await p.page.evaluate(() => location.hash)) === "#/dead");
  await until("it to come back, as it is no better", async () => (await p.count("main tbody tr")) === 2 && (await p.text("main tbody")).includes("poison-text"), 20);
  await look("dead");
  await open("poison-text");
  await p.click("Drop", "main");
  await until("one letter", async () => (await p.page.evaluate(() => location.hash)) === "#/dead" && (await p.count("main tbody tr")) === 1, 10);
  await p.page.focus('main [aria-label^="Drop "]');
  await p.page.keyboard.press("Enter"); // and by keyboard; the question is answered by browser.mjs
  await until("none", async () => (await p.text()).includes("There are none"), 10);
  await until("no count in the navigation", async () => !(await p.text("nav")).includes("("), 10);
}

async function look(name) {
  for (const theme of ["light", "dark"]) {
    await p.theme(theme);
    await p.accessible(name + ", " + theme);
    await p.picture(name + "-" + theme);
  }
  await p.page.setViewport({ width: 375, height: 800 });
  await p.fits(name + " on a phone");
  await p.picture(name + "-phone");
  await p.page.setViewport({ width: 1280, height: 900 });
}

async function lookAtAll(id) {
  const views = { overview: "#/overview", jobs: "#/jobs", job: "#/job/" + id, submit: "#/submit", schedules: "#/schedules", schedule: "#/schedules/nightly", workers: "#/workers", webhooks: "#/webhooks", webhook: "#/webhooks/billing", log: "#/log", audit: "#/audit", "audit-job": "#/audit?job=" + id };
  for (const [name, hash] of Object.entries(views)) {
    await p.turn(hash);
    await look(name);
  }
}

async function keyboard() {
  await p.turn("#/overview");
  await p.page.reload();
  await p.page.waitForSelector("main h1");
  await p.page.keyboard.press("Tab");
  must((await p.page.evaluate(() => document.activeElement.textContent)).startsWith("Skip"), "the first Tab does not lead to the skip link");
  await p.click("Dark theme").catch(() => p.click("Light theme"));
  const chosen = await p.page.evaluate(() => document.documentElement.dataset.theme);
  await p.page.reload();
  must((await p.page.evaluate(() => document.documentElement.dataset.theme)) === chosen, "the theme is forgotten");
}

try {
  const answer = await p.page.goto(base + "/");
  const policy = answer.headers()["content-security-policy"] || "";
  must(policy.includes("default-src 'none'") && !policy.includes("unsafe"), "the policy is " + policy);
  await p.page.waitForSelector("main h1");
  const id = await submitByForm();
  await cancelAnother();
  await filter();
  await audit(id);
  await pause();
  await schedule();
  await controls();
  await adjust();
  await webhooks();
  await limits();
  await deadLetters();
  await lookAtAll(id);
  await p.turn("#/schedules/nightly");
  await p.click("Delete", "main");
  await until("it to be gone", async () => (await p.text()).includes("There are no schedules yet"));
  await p.turn("#/webhooks");
  await p.click("Delete", "main tbody");
  await until("no webhook", async () => (await p.text()).includes("No webhook is told"), 10);
  await keyboard();
  (await p.policyRefused()).forEach((r) => p.wrong.push("refused by the policy: " + r));
  must(p.wrong.length === 0, "wrong on the page:\n  " + [...new Set(p.wrong)].join("\n  "));
  console.log("the page asked " + p.answers + " times and nothing was wrong");
} catch (e) {
  await p.picture("failed").catch(() => {});
  console.error(e.message + "\n  " + [...new Set(p.wrong)].join("\n  "));
  process.exitCode = 1;
} finally {
  await p.close();
}
