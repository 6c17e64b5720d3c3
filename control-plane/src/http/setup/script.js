"use strict";

const element = (id) => document.getElementById(id);
const show = (id, visible) => { element(id).hidden = !visible; };

// The token stands behind the #, which is never sent with a request.
const [token, fingerprint] = location.hash.slice(1).split(".");
// The pages differ in where they go and in what they ask for.
const form = element("form");
const fields = ["email", "name", "password"].filter((id) => element(id));

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
  if (made) {
    element("key").textContent = made.api_key.key;
    element("command").textContent = `towline login ${location.origin}${trust}`;
  }
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
    const asked = Object.fromEntries(fields.map((id) => [id, element(id).value]));
    const answer = await fetch(form.dataset.to, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token, ...asked }),
    });
    const body = answer.status === 204 ? null : await answer.json();
    if (answer.ok) {
      finish(body);
    } else {
      trouble(complaint(body));
      if (fields.includes(body.field)) element(body.field).focus();
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

form.addEventListener("submit", submit);
for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", copy);

if (token) {
  show("ask", true);
  element(fields[0]).focus();
} else {
  trouble("This address is not complete. Open the whole link that you were given, with all that stands behind the #.");
}
