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

// What a provider's callback says in the address, as people read it.
const TROUBLES = {
  over: "This sign-in took too long, was used already, or was begun in another browser. Begin again.",
  denied: "The provider did not let you in, or you said no there.",
  unreachable: "The provider cannot be reached. Try again in a moment, or sign in in another way.",
  unproven: "What the provider said cannot be trusted. Begin again; if it stays so, tell an administrator of this installation.",
  "suspended": "This account is suspended. Ask an administrator of the installation.",
  "not-signed-in": "You were signed out meanwhile. Sign in, and link it again.",
  taken: "This identity is linked already, or you have as many as there may be.",
  unlinked: "There is an account with your address, but this identity is not linked to it. Sign in as you otherwise do, and link it here.",
  "no-email": "The provider has verified no e-mail address of yours, which is needed here.",
  domain: "People with your e-mail address are not let in by this provider.",
  closed: "You have no account here yet, and people come in by invitation alone. Ask an owner or admin of a team for one.",
};

let providers = [];

function wayTo(provider, words, go) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "way";
  button.textContent = `${words} ${provider.name}`;
  button.addEventListener("click", async () => {
    button.disabled = true;
    const answer = await go(provider);
    if (answer.ok) location.assign(answer.body.authorization_url);
    else button.disabled = false;
  });
  return button;
}

async function lookAtProviders() {
  const answer = await ask("GET", "/sign-in/providers");
  providers = answer.ok ? answer.body.items : [];
  const signIn = (provider) => change("POST", `/sign-in/providers/${provider.id}`, {});
  element("providers").replaceChildren(...providers.map((provider) => wayTo(provider, "Sign in with", signIn)));
  const link = (provider) => {
    const asked = fields(element("link"));
    element("link").reset();
    return change("POST", "/me/identities", { provider: provider.id, ...asked });
  };
  element("links").replaceChildren(...providers.map((provider) => wayTo(provider, "Link", link)));
  show("providers", providers.length > 0);
}

async function lookAtIdentities() {
  const answer = await ask("GET", "/me/identities");
  const identities = answer.ok ? answer.body.items : [];
  const rows = identities.map((identity) => {
    const row = document.createElement("li");
    const known = providers.find((provider) => provider.id === identity.provider);
    row.append(`${known ? known.name : identity.provider}: ${identity.email ?? identity.subject} `);
    const button = document.createElement("button");
    button.type = "button";
    button.className = "plain";
    button.textContent = "Unlink";
    button.addEventListener("click", async () => {
      const gone = await change("DELETE", `/me/identities/${identity.id}`);
      if (!gone.ok) return;
      await lookAtIdentities();
      say("It is unlinked.");
    });
    row.append(button);
    return row;
  });
  element("identities").replaceChildren(...rows);
  show("linking", providers.length > 0 || identities.length > 0);
  show("link", providers.length > 0);
}

// How one came back from a provider stands behind the #, once.
function cameBack() {
  const said = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  const [what, word] = said.split("=");
  show("waiting", what === "code");
  if (what === "code") {
    show("outside", false);
    element("given").focus();
  } else if (what === "linked") {
    say("It is linked: you can sign in with it from now on.");
  } else if (what === "trouble") {
    trouble(TROUBLES[word] ?? "Signing in with the provider did not work. Begin again.");
  }
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
  await lookAtIdentities();
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

on("give-code", async (asked, form) => {
  const answer = await change("POST", "/sign-in/code", asked);
  if (!answer.ok && answer.status !== 410) return;
  form.reset();
  show("waiting", false);
  await look();
  if (!answer.ok) trouble(complaint(answer.body));
});

element("otherwise").addEventListener("click", () => {
  show("waiting", false);
  look();
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

async function begin() {
  await lookAtProviders();
  await look();
  cameBack();
}

begin();
