"use strict";

/* Who this tab is signed in as; forgotten with the tab. */
const session = {
  get account() { return sessionStorage.getItem("tournee.account"); },
  get token() { return sessionStorage.getItem("tournee.token"); },

  async signIn(account) {
    const form = new URLSearchParams({ grant_type: "password", username: account, password: document.body.dataset.password });
    const answer = await fetch("/auth/token", { method: "POST", body: form });
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.error_description || body.error);
    sessionStorage.setItem("tournee.account", account);
    sessionStorage.setItem("tournee.token", body.access_token);
  },

  /* fetch, signed in; signs in anew when the token has expired. */
  async fetch(url, options = {}) {
    const send = () => fetch(url, { ...options, headers: { ...options.headers, Authorization: `Bearer ${session.token}` } });
    const answer = session.token ? await send() : null;
    if (answer && answer.status !== 401) return answer;
    await session.signIn(session.account || "dispatcher@demo.example");
    return send();
  },
};
