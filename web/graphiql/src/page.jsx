// The page: GraphiQL with queries that answer at once on a fresh clone.

import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";
import "graphiql/style.css";
import "./page.css";

const INVOKE = `# Press Ctrl-Enter to run this skill.
# A tax code has 10 digits, a branch's has 13.
mutation ValidateTaxCode {
  invokeSkill(
    name: "vn-mst-validate"
    input: { mst: "0123456789-001" }
  ) {
    invocationId
    exitCode
    executor
    result
    elapsedUs
    error {
      code
      message
    }
  }
}
`;

const LIST = `# What is installed, and where it came from.
query InstalledSkills {
  skills {
    name
    version
    description
    region
    allowedTools
    hasWasm
    installSource
    contentHash
    invocationsLast24h
  }
}
`;

const MEDIA_TYPES = "application/graphql-response+json, application/json;q=0.9";

/** Post one operation to the path that served this page; the answer may be JSON with any status. */
async function fetcher({ query, operationName, variables }, { headers = {} } = {}) {
  // Just after a change of tabs the editor still gives the other tab's operation name.
  const name = operationName && query.includes(operationName) ? operationName : undefined;
  const response = await fetch(window.location.pathname, {
    method: "POST",
    headers: { accept: MEDIA_TYPES, "content-type": "application/json", ...headers },
    body: JSON.stringify({ query, operationName: name, variables }),
  });
  const mediaType = response.headers.get("content-type") ?? "";
  if (mediaType.includes("json")) return response.json();
  const message = `HTTP ${response.status}: ${(await response.text()).slice(0, 500)}`;
  return { errors: [{ message }] };
}

// Headers are never stored: the one that people type here is a bearer token.
createRoot(document.getElementById("graphiql")).render(
  <GraphiQL
    fetcher={fetcher}
    defaultTabs={[{ query: INVOKE }, { query: LIST }]}
    isHeadersEditorEnabled
    shouldPersistHeaders={false}
    showPersistHeadersSettings={false}
  >
    <GraphiQL.Logo>
      <span className="product">CyberOS skills</span>
    </GraphiQL.Logo>
  </GraphiQL>,
);

// So that Ctrl-Enter runs the first query at once. The editor is made after its module has loaded.
const waiting = new MutationObserver(() => {
  const editor = document.querySelector(".graphiql-query-editor .CodeMirror");
  if (editor === null) return;
  waiting.disconnect();
  editor.CodeMirror.focus();
});
waiting.observe(document.body, { childList: true, subtree: true });
