"use strict";

for (const button of document.querySelectorAll("[data-account]")) {
  button.addEventListener("click", async () => {
    try {
      await session.signIn(button.dataset.account, document.body.dataset.password);
      location.assign("/graphql");
    } catch (error) {
      document.getElementById("trouble").textContent = error.message;
    }
  });
}

document.getElementById("shell").textContent = `TOKEN=$(curl -s ${location.origin}/auth/token -d grant_type=password \\
  -d username=technician@demo.example -d password=${document.body.dataset.password} \\
  | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')
curl -s ${location.origin}/graphql -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
  -d '{"query": "{ customers(first: 3) { nodes { name } } }"}'
curl -s "${location.origin}/sync/pull?limit=3" -H "Authorization: Bearer $TOKEN"`;
