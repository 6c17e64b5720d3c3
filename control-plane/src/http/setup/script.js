"use strict";

const element = (id) => document.getElementById(id);
const show = (id, visible) => { element(id).hidden = !visible; };

// The token stands behind the #, which is never sent with a request.
const [token, fingerprint] = location.hash.slice(1).split(".");

function trouble(text) {
  element("trouble").textContent = text;
  show("trouble", text !== "");
}

function complaint(problem) {
  const detail = problem.detail ?? "The control plane did not answer as expected.";
  return problem.remedy ? `${detail}: ${problem.remedy}.` : `${detail}.`;
}

function finish(made) {
  const trust = fingerprint ? ` --ca-fingerprint ${fingerprint}` : "";
  element("key").textContent = made.api_key.key;
  element("command").textContent = `towline login ${location.origin}${trust}`;
  // The link is used up; it need not stay in the browser's history.
  history.replaceState(null, "", location.pathname);
  show("ask", false);
  show("done", true);
  element("done-title").focus();
}

async function submit(event) {
  event.preventDefault();
  trouble("");
  element("submit").disabled = true;
  try {
    const answer = await fetch("/api/v1/setup", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token, email: element("email").value, name: element("name").value }),
    });
    const body = await answer.json();
    if (answer.ok) {
      finish(body);
    } else {
      trouble(complaint(body));
      if (body.field === "email" || body.field === "name") element(body.field).focus();
    }
  } catch {
    trouble("The control plane cannot be reached. See that it runs, and try again.");
  } finally {
    element("submit").disabled = false;
  }
}

async function copy(event) {
  const text = element(event.target.dataset.copy).textContent;
  try {
    await navigator.clipboard.writeText(text);
    element("copied").textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(element(event.target.dataset.copy));
    element("copied").textContent = "Selected; copy it with your keyboard.";
  }
}

element("form").addEventListener("submit", submit);
for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", copy);

if (token) {
  show("ask", true);
  element("email").focus();
} else {
  trouble("This address is not complete. Open the whole set-up link that the control plane printed, with all that stands behind the #.");
}
