"use strict";

const accounts = document.getElementById("account");
const trouble = document.getElementById("trouble");

const fetcher = GraphiQL.createFetcher({
  url: "/graphql",
  fetch: (url, options) => session.fetch(url, options),
  subscriptionUrl: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/graphql`,
  /* Read when a socket opens, so that it is the account of then. */
  wsConnectionParams: { get Authorization() { return `Bearer ${session.token}`; } },
});

const example = `# Ctrl-Enter runs the query, Ctrl-Space shows what is possible.
{
  me { role organisation { name } }
  customers(first: 5) {
    totalCount
    nodes { id name status }
  }
}
`;

async function start() {
  const account = session.account || "dispatcher@demo.example";
  if (!session.token) await session.signIn(account);
  accounts.value = account;
  ReactDOM.createRoot(document.getElementById("editor")).render(
    React.createElement(GraphiQL, { fetcher, defaultQuery: example, isHeadersEditorEnabled: false }),
  );
}

accounts.addEventListener("change", () => {
  trouble.textContent = "";
  session.signIn(accounts.value).catch((error) => { trouble.textContent = error.message; });
});

start().catch((error) => { trouble.textContent = error.message; });
