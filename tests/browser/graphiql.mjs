// What a newcomer does in GraphiQL: run the first tab by keyboard, the second by its button, look around.
//
//   node graphiql.mjs chromium url screenshot.png

import { session } from "./session.mjs";

const RESPONSE = ".graphiql-response .CodeMirror";

/** Wait until the response pane holds `text`; return all it holds (CodeMirror draws only what is in view). */
async function response(page, text) {
  const handle = await page.waitForFunction(
    ([selector, wanted]) => {
      const shown = document.querySelector(selector)?.CodeMirror?.getValue() ?? "";
      return shown.includes(wanted) && shown;
    },
    [RESPONSE, text],
  );
  return handle.jsonValue();
}

async function openAndClose(page, button, dialog) {
  await page.getByRole("button", { name: button }).click();
  await page.getByRole("dialog", { name: dialog }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog", { name: dialog }).waitFor({ state: "detached" });
}

const [executablePath, url, screenshot] = process.argv.slice(2);
await session({ executablePath, url, screenshot }, async (page, report) => {
  const editor = page.locator(".graphiql-query-editor .CodeMirror");
  await editor.waitFor();
  report.title = await page.title();
  report.tabs = await page.locator(".graphiql-tab-button").allTextContents();

  await page.locator(".graphiql-query-editor .CodeMirror-focused").waitFor();
  await page.keyboard.press("Control+Enter");
  report.invocation = await response(page, '"data"');
  await page.screenshot({ path: screenshot });

  await page.getByRole("tab", { name: "InstalledSkills" }).click();
  await page.getByRole("button", { name: /^Execute/ }).click();
  report.list = await response(page, '"skills"');

  await page.getByRole("button", { name: "Headers" }).click();
  report.headersEditor = await page.locator(".graphiql-editor-tool .CodeMirror").last().isVisible();
  await page.getByRole("button", { name: /documentation/i }).click();
  await page.getByText("Mutation", { exact: true }).first().waitFor();
  await openAndClose(page, /settings/i, /settings/i);
  await openAndClose(page, /short keys/i, /short keys/i);
});
