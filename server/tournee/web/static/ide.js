"use strict";

const accounts = document.getElementById("account");
const signIn = document.getElementById("sign-in");
const signedIn = document.getElementById("signed-in");
const trouble = document.getElementById("trouble");

const fetcher = GraphiQL.createFetcher({
  url: "/graphql",
  fetch: (url, options) => session.fetch(url, options),
  subscriptionUrl: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/graphql`,
  /* Read when a socket opens, so that it is the account of then. */
  wsConnectionParams: { get Authorization() { return `Bearer ${session.token}`; } },
});

const editor = ReactDOM.createRoot(document.getElementById("editor"));

/* What each account left in its tabs, for itself. */
function storageOf(account) {
  const named = (key) => `${account} ${key}`;
  return {
    getItem: (key) => localStorage.getItem(named(key)),
    setItem: (key, value) => localStorage.setItem(named(key), value),
    removeItem: (key) => localStorage.removeItem(named(key)),
    clear: () => localStorage.clear(),
    get length() { return localStorage.length; },
  };
}

async function json(url, options) {
  return (await session.fetch(url, options)).json();
}

/* What a document asks for that can be filled in: the day of today. */
function variablesOf(query) {
  if (!/\$from: DateTime!, \$to: DateTime!/.test(query)) return undefined;
  const day = new Date().toISOString().slice(0, 10);
  return JSON.stringify({ from: `${day}T00:00:00Z`, to: `${day}T23:59:59Z` }, null, 2);
}

/* The first tab fits the role; the others are what our own clients ask. */
async function show() {
  const body = JSON.stringify({ query: "{ me { role } }" });
  const headers = { "Content-Type": "application/json" };
  const [documents, answer] = await Promise.all([
    json("/assets/documents.json"), json("/graphql", { method: "POST", headers, body }),
  ]);
  const first = documents.starters[answer.data.me.role];
  const tabs = [first, ...documents.operations].map((query) => ({ query, variables: variablesOf(query) }));
  editor.render(React.createElement(GraphiQL, {
    fetcher, storage: storageOf(session.account), defaultQuery: first, defaultTabs: tabs,
    isHeadersEditorEnabled: false,
  }));
}

/* Show what somebody sees who is signed in, or is not. */
function tell() {
  signIn.hidden = Boolean(session.token);
  signedIn.hidden = !session.token;
  signedIn.querySelector("b").textContent = session.account;
}

function complain(error) {
  trouble.textContent = error.message;
}

async function startDemo() {
  const pick = (account) => session.signIn(account, accounts.dataset.password);
  session.renew = () => pick(session.account || "dispatcher@demo.example");
  accounts.addEventListener("change", () => {
    trouble.textContent = "";
    /* The editor keeps its tabs for as long as the page lives. */
    pick(accounts.value).then(() => location.reload()).catch(complain);
  });
  if (!session.token) await session.renew();
  accounts.value = session.account;
  await show();
}

function startServer() {
  session.renew = async () => {
    session.signOut();
    tell();
    throw new Error("Sign in first.");
  };
  signIn.addEventListener("submit", async (event) => {
    event.preventDefault();
    trouble.textContent = "";
    try {
      await session.signIn(signIn.username.value, signIn.password.value);
      signIn.password.value = "";
      tell();
      await show();
    } catch (error) {
      complain(error);
    }
  });
  signedIn.querySelector("button").addEventListener("click", () => {
    session.signOut();
    location.reload();
  });
  tell();
  if (session.token) show().catch(complain);
  else document.getElementById("editor").textContent = "Sign in to ask.";
}

if (accounts) startDemo().catch(complain);
else startServer();
