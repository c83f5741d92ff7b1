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

const example = `# Ctrl-Enter runs the query, Ctrl-Space shows what is possible.
{
  me { role organisation { name } }
  customers(first: 5) {
    totalCount
    nodes { id name status }
  }
}
`;

const editor = ReactDOM.createRoot(document.getElementById("editor"));

function show() {
  editor.render(React.createElement(GraphiQL, { fetcher, defaultQuery: example, isHeadersEditorEnabled: false }));
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
    pick(accounts.value).catch(complain);
  });
  if (!session.token) await session.renew();
  accounts.value = session.account;
  show();
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
      show();
    } catch (error) {
      complain(error);
    }
  });
  signedIn.querySelector("button").addEventListener("click", () => {
    session.signOut();
    location.reload();
  });
  tell();
  if (session.token) show();
  else document.getElementById("editor").textContent = "Sign in to ask.";
}

if (accounts) startDemo().catch(complain);
else startServer();
