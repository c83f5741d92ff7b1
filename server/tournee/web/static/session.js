"use strict";

/* Who this tab is signed in as; forgotten with the tab. */
const session = {
  get account() { return sessionStorage.getItem("tournee.account"); },
  get token() { return sessionStorage.getItem("tournee.token"); },

  async signIn(account, password) {
    const form = new URLSearchParams({ grant_type: "password", username: account, password });
    const answer = await fetch("/auth/token", { method: "POST", body: form });
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.error_description || body.error);
    sessionStorage.setItem("tournee.account", account);
    sessionStorage.setItem("tournee.token", body.access_token);
  },

  signOut() {
    sessionStorage.removeItem("tournee.token");
  },

  /* What to do where there is no token, or one that has expired. A page says it for itself. */
  async renew() { throw new Error("Sign in first."); },

  /* fetch, signed in. */
  async fetch(url, options = {}) {
    const send = () => fetch(url, { ...options, headers: { ...options.headers, Authorization: `Bearer ${session.token}` } });
    const answer = session.token ? await send() : null;
    if (answer && answer.status !== 401) return answer;
    await session.renew();
    return send();
  },
};
