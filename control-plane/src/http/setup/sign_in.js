"use strict";

const element = (id) => document.getElementById(id);
const show = (id, visible) => { element(id).hidden = !visible; };
const say = (text) => { element("said").textContent = text; };

function trouble(text) {
  element("trouble").textContent = text;
  show("trouble", text !== "");
}

function complaint(problem) {
  const detail = problem.detail ?? "The control plane did not answer as expected.";
  return problem.remedy ? `${detail}: ${problem.remedy}.` : `${detail}.`;
}

// Gives the status and the body; what is refused is shown, too.
async function ask(method, path, body) {
  trouble("");
  say("");
  const answer = await fetch(`/api/v1${path}`, {
    method,
    headers: { "Content-Type": "application/json", "Towline-Csrf": "1" },
    body: body === undefined ? undefined : JSON.stringify(body),
  }).catch(() => null);
  if (!answer) {
    trouble("The control plane cannot be reached. See that it runs, and try again.");
    return { ok: false, body: {} };
  }
  const text = await answer.text();
  return { ok: answer.ok, status: answer.status, body: text ? JSON.parse(text) : null };
}

async function change(method, path, body) {
  const answer = await ask(method, path, body);
  if (!answer.ok && answer.status) trouble(complaint(answer.body));
  return answer;
}

function fields(form) {
  return Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
}

// Passwords and codes stay in no field longer than they are needed.
function on(id, work) {
  element(id).addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.submitter;
    if (button) button.disabled = true;
    try {
      await work(fields(event.target), event.target);
    } finally {
      if (button) button.disabled = false;
    }
  });
}

async function look() {
  const me = await ask("GET", "/me");
  // Somebody who is in no team is signed in all the same.
  const inside = me.ok || me.status === 404;
  show("inside", inside);
  show("outside", !inside);
  if (!inside) {
    element("email").focus();
    return;
  }
  element("who").textContent = me.ok ? `${me.body.user.name} <${me.body.user.email}>` : "somebody in no team";
  await lookAtFactor();
}

async function lookAtFactor() {
  const { body } = await ask("GET", "/me/totp");
  const isOn = body.state === "on";
  element("factor").textContent = isOn ? `on, with ${body.recovery_codes_left} recovery codes left` : "off";
  element("factor-button").textContent = isOn ? "Turn it off" : "Turn it on";
  element("factor-form").dataset.to = isOn ? "/me/totp/disable" : "/me/totp";
}

on("sign-in", async (asked, form) => {
  const answer = await ask("POST", "/session", asked);
  if (answer.ok) {
    form.reset();
    show("second", false);
    await look();
    return;
  }
  if (answer.body?.type === "urn:towline:problem:totp_required") {
    show("second", true);
    element("code").focus();
  } else if (answer.status) {
    trouble(complaint(answer.body));
  }
});

on("change", async (asked, form) => {
  const answer = await change("POST", "/me/password", asked);
  if (!answer.ok) return;
  form.reset();
  say("The password is changed. All other browsers are signed out.");
});

on("factor-form", async (asked, form) => {
  const answer = await change("POST", form.dataset.to, asked);
  if (!answer.ok) return;
  form.reset();
  if (answer.body) {
    element("secret").textContent = answer.body.secret;
    element("uri").href = answer.body.uri;
    show("enable", true);
    element("first-code").focus();
  } else {
    show("codes", false);
    await lookAtFactor();
    say("The second factor is off.");
  }
});

on("enable", async (asked, form) => {
  const answer = await change("POST", "/me/totp/enable", asked);
  if (!answer.ok) return;
  form.reset();
  element("secret").textContent = "";
  element("uri").removeAttribute("href");
  show("enable", false);
  element("code-list").textContent = answer.body.recovery_codes.join("\n");
  show("codes", true);
  await lookAtFactor();
  say("The second factor is on. All other browsers are signed out.");
});

element("sign-out").addEventListener("click", async () => {
  await change("DELETE", "/session");
  await look();
});

element("forgot").addEventListener("click", async () => {
  const email = element("email").value;
  if (!email) {
    trouble("Give your e-mail address first.");
    element("email").focus();
    return;
  }
  const answer = await change("POST", "/password-resets", { email });
  if (answer.ok) say("If there is an account with this address, a link to a new password is on its way.");
});

look();
