// Keeps the inbox page current: an event says that something changed, then the list is fetched anew.
"use strict";

const live = document.getElementById("live");
const clear = document.getElementById("clear");

function localiseTimes() {
  for (const time of document.querySelectorAll("time")) {
    time.textContent = new Date(time.dateTime).toLocaleTimeString();
  }
}

async function refresh() {
  const answer = await fetch("/dev/inbox");
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.getElementById("inbox").replaceChildren(...fresh.getElementById("inbox").childNodes);
  clear.disabled = fresh.getElementById("clear").disabled;
  localiseTimes();
}

async function copy(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.code);
    button.textContent = "Copied";
  } catch {
    // Not allowed here: select the code, so that one key press copies it.
    getSelection().selectAllChildren(button.parentElement.querySelector("output"));
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-code]");
  if (button) copy(button);
});

clear.addEventListener("click", () => fetch("/dev/messages", { method: "DELETE" }));

const events = new EventSource("/dev/events");
events.onopen = () => { live.textContent = "live"; };
events.onmessage = refresh;
events.onerror = () => { live.textContent = "reconnecting…"; };

localiseTimes();
