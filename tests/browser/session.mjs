// A page in the system's Chromium that keeps account of everything that went wrong in it.

import { chromium } from "playwright-core";

const STEP_MS = 20_000;

// The browser's own traffic is off; name resolution fails for all but the service's own address, so that a
// page which tried to reach another host would fail here as it does on a machine without a network.
const FLAGS = [
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

function record(page, origin, report) {
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "data:" && url.origin !== origin) report.foreignRequests.push(request.url());
  });
  page.on("requestfailed", (request) => report.failures.push(`${request.url()} ${request.failure()?.errorText}`));
  page.on("response", (response) => {
    if (response.status() >= 400) report.failures.push(`${response.url()} ${response.status()}`);
  });
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") report.console.push(message.text());
  });
  page.on("pageerror", (error) => report.console.push(String(error)));
}

async function recordViolations(page, report) {
  await page.exposeFunction("recordViolation", (violation) => report.violations.push(violation));
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      window.recordViolation(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`);
    });
  });
}

/** Open `url` in a fresh profile, run `steps(page, report)`, and print the report as JSON. */
export async function session({ executablePath, url, screenshot }, steps) {
  const sandbox = process.getuid() === 0 ? ["--no-sandbox"] : []; // Chromium refuses its sandbox as root
  const browser = await chromium.launch({ executablePath, headless: true, args: [...FLAGS, ...sandbox] });
  try {
    const page = await browser.newPage({ viewport: { width: 1400, height: 850 } });
    page.setDefaultTimeout(STEP_MS);
    const report = { foreignRequests: [], failures: [], console: [], violations: [] };
    record(page, new URL(url).origin, report);
    await recordViolations(page, report);
    try {
      await page.goto(url);
      await steps(page, report);
    } catch (error) {
      await page.screenshot({ path: screenshot }); // what it looked like when a step failed
      throw error;
    }
    console.log(JSON.stringify(report));
  } finally {
    await browser.close();
  }
}
