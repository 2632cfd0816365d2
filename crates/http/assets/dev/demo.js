// Walks through one API after the other, and shows each request and answer as it was.
"use strict";

// The page may be below the path that its surfaces are mounted at.
const base = location.pathname.replace(/\/demo\/?$/, "");
const byId = (id) => document.getElementById(id);
const post = (path, body) => ({ method: "POST", path, body });
const get = (path) => ({ method: "GET", path });

const phone = (name, value = "+12025550123") =>
  ({ name, label: "Phone number", type: "tel", autocomplete: "tel", value });
const channel = (...options) => ({ name: "channel", label: "Channel", options });

// Of each walk: what is asked for, and the requests. `kept` is the answer to the first one, which a walk
// with `handle` cannot do without.
const walks = {
  native: {
    handle: true,
    fields: [{ name: "to", label: "Phone number or email address", type: "text", value: "+12025550123" }],
    ask: ({ to }) => post("/v1/verifications", { to }),
    again: (_, kept) => post(`/v1/verifications/${kept.id}/resend`, {}),
    check: (_, code, kept) => post(`/v1/verifications/${kept.id}/check`, { code }),
  },
  "auth, login": {
    fields: [phone("mobile_number"), { name: "remember_me", label: "Stay logged in", type: "checkbox" }],
    ask: (given) => post("/api/v1/auth/request-otp", given),
    again: (given) => post("/api/v1/auth/request-otp", given),
    check: ({ mobile_number }, otp) => post("/api/v1/auth/verify-otp", { mobile_number, otp }),
  },
  "auth, register": {
    fields: [
      { name: "email", label: "Email address", type: "email", autocomplete: "email", value: "ada@example.com" },
      phone("mobile"),
      { name: "password", label: "Password", type: "password", autocomplete: "new-password", minlength: 8 },
    ],
    ask: (given) => post("/api/v1/auth/register", given),
    again: ({ mobile }) => post("/api/v1/auth/resend-otp", { mobile }),
    check: ({ mobile }, otp) => post("/api/v1/auth/verify-otp", { mobile, otp }),
  },
  otp: {
    fields: [
      channel("sms", "email", "whatsapp"),
      { name: "identifier", label: "Phone number or email address", type: "text", value: "+12025550123" },
    ],
    ask: (given) => post("/api/otp/generate", given),
    again: (given) => post("/api/otp/generate", given),
    check: (given, code) => post("/api/otp/verify", { ...given, code }),
  },
  whatsapp: {
    fields: [phone("phone_number")],
    ask: (given) => post("/send-otp", given),
    again: (given) => post("/resend-otp", given),
    check: (given, otp) => post("/verify-otp", { ...given, otp }),
  },
  uuid: {
    handle: true,
    fields: [
      channel("sms", "email", "whatsapp", "voice"),
      { name: "to", label: "Phone number or email address", type: "text", value: "+12025550123" },
    ],
    ask: (given) => post("/", { ...given, ttl: 300 }),
    again: (given) => post("/", { ...given, ttl: 300 }),
    check: (_, code, kept) => get(`/${kept.info.uuid}/${encodeURIComponent(code)}`),
  },
};

const ask = byId("ask");
const answer = byId("answer");
const code = byId("code");
const again = byId("again");
const verify = answer.querySelector("button");
const outcome = byId("outcome");
const buttons = [ask.querySelector(".main"), again, verify];
let walk;
let kept;
let busy = false;

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function field({ name, label, options, ...rest }) {
  const id = `field-${name}`;
  const properties = { id, name, required: rest.type !== "checkbox", ...rest };
  const input = options
    ? make("select", { id, name }, ...options.map((option) => make("option", {}, option)))
    : make("input", properties);
  if (rest.minlength) input.minLength = rest.minlength;
  const caption = make("label", { htmlFor: id }, label);
  const parts = rest.type === "checkbox" ? [input, " ", caption] : [caption, input];
  return make("p", { className: rest.type === "checkbox" ? "tick" : "field" }, ...parts);
}

// Begins the chosen walk anew. What was typed stays where the next walk asks for the same.
function choose() {
  walk = walks[new FormData(ask).get("walk")];
  kept = undefined;
  byId("fields").replaceChildren(...walk.fields.map(field));
  code.value = "";
  ready();
  say("");
}

function given() {
  const entries = walk.fields.map(({ name, type }) => {
    const input = ask.elements[name];
    return [name, type === "checkbox" ? input.checked : input.value];
  });
  return Object.fromEntries(entries);
}

function say(text, kind = "") {
  outcome.textContent = text;
  outcome.className = kind;
}

// In single quotes a shell takes everything but a single quote.
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

function curl({ method, path, body }) {
  const url = location.origin + base + path;
  if (method === "GET") return `curl -s ${quoted(url)}`;
  return `curl -s ${quoted(url)} \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted(JSON.stringify(body))}`;
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

// Makes a request and shows it. What comes back is the answer and its body, if that is JSON.
async function exchange(request) {
  const { method, path, body } = request;
  const options = { method, cache: "no-store" };
  if (body) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  let status, text, retry, ok = false;
  try {
    const response = await fetch(base + path, options);
    ok = response.ok;
    status = `${response.status} ${response.statusText}`.trim();
    retry = response.headers.get("retry-after");
    text = await response.text();
  } catch {
    status = "no answer";
    text = "The server cannot be reached.";
  }
  if (retry) status += `, Retry-After: ${retry}`;
  const line = curl(request);
  const copy = make("button", { type: "button", onclick: () => copied(copy, line) }, "Copy");
  const head = make("p", { className: "bar" }, make("strong", {}, `${method} ${path}`), copy);
  const mark = make("p", { className: ok ? "good" : "bad" }, status);
  const shown = make("article", { className: "letter" }, head, make("pre", {}, line), mark, make("pre", {}, pretty(text)));
  byId("none").hidden = true;
  byId("exchanges").prepend(shown);
  let parsed;
  try {
    parsed = JSON.parse(text);
  } catch {
    parsed = undefined;
  }
  return { ok, status, body: parsed };
}

async function copied(button, text) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    // Not allowed here: select the line, so that one key press copies it.
    getSelection().selectAllChildren(button.closest("article").querySelector("pre"));
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function ready() {
  for (const button of buttons) button.disabled = busy;
  if (walk.handle && !kept) again.disabled = verify.disabled = true;
}

// One request at a time: a second click would be a second code.
async function alone(work) {
  if (busy) return;
  busy = true;
  ready();
  try {
    await work();
  } finally {
    busy = false;
    ready();
  }
}

async function sendCode(request) {
  const now = walk;
  const answered = await exchange(request);
  if (walk !== now) return; // another walk was chosen meanwhile
  if (!answered.ok) {
    say(`Not sent: ${answered.status}`, "bad");
    return;
  }
  kept = answered.body;
  code.value = "";
  code.focus();
  say("Sent. Type the code that came.");
}

ask.addEventListener("change", (event) => {
  if (event.target.name === "walk") choose();
});

ask.addEventListener("submit", (event) => {
  event.preventDefault();
  alone(() => sendCode(walk.ask(given())));
});

again.addEventListener("click", () => {
  if (ask.reportValidity()) alone(() => sendCode(walk.again(given(), kept)));
});

answer.addEventListener("submit", (event) => {
  event.preventDefault();
  alone(async () => {
    const answered = await exchange(walk.check(given(), code.value.trim(), kept));
    if (answered.ok) say("Verified.", "good");
    else say(`Not verified: ${answered.status}`, "bad");
  });
});

choose();
