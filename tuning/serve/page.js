"use strict";

const SHOWN = 10; // classes with a bar of their own
const limit = Number(document.body.dataset.limit);
const [drop, file, preview, invitation, answer, fileName, message, bars, rest, why, heat] =
  ["drop", "file", "preview", "invitation", "answer", "file-name", "message", "bars", "rest", "why", "heat"]
    .map((id) => document.getElementById(id));
let latest = 0; // answers to earlier pictures are not shown any more

file.addEventListener("change", () => show(file.files[0]));
// Anywhere on the page; the browser would open the picture in its place.
addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  show(event.dataTransfer.files[0]);
});
addEventListener("paste", (event) => show(event.clipboardData.files[0]));
preview.addEventListener("error", () => { preview.hidden = true; }); // TIFF, say

async function show(picture) {
  if (!picture) return;
  const turn = ++latest;
  file.value = ""; // so that the same picture can be chosen again
  fileName.textContent = picture.name;
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(picture);
  preview.alt = picture.name;
  preview.hidden = false;
  invitation.textContent = "Drop or choose another";
  bars.hidden = rest.hidden = why.hidden = true;
  if (picture.size > limit) {
    say(`The picture has ${picture.size.toLocaleString("en")} bytes; ${limit.toLocaleString("en")} are the most.`, true);
    return;
  }
  say("Looking …");
  answer.setAttribute("aria-busy", "true");
  let told;
  try {
    const response = await fetch("predict?heat", { method: "POST", body: picture });
    told = await response.json();
  } catch {
    told = { error: "The server does not answer. Is it still running?" };
  }
  if (turn !== latest) return;
  answer.setAttribute("aria-busy", "false");
  if (told.error) say(told.error, true);
  else {
    draw(Object.entries(told.probabilities).sort((one, other) => other[1] - one[1]));
    explain(told);
    if (told.unlike) say("Unlike all that this model was shown: do not rely on its answer.", true);
  }
}

function say(text, bad = false) {
  answer.setAttribute("aria-busy", "false");
  message.textContent = text;
  message.classList.toggle("bad", bad);
  message.hidden = false;
}

function draw(ranking) {
  message.hidden = true;
  bars.replaceChildren(...ranking.slice(0, SHOWN).map(([name, probability]) => {
    const share = `${(100 * probability).toFixed(1)} %`;
    const row = document.createElement("li");
    row.append(part("name", name), part("share", share), part("track", ""));
    const bar = part("bar", "");
    bar.style.width = share.replace(" ", "");
    row.lastChild.append(bar);
    return row;
  }));
  bars.hidden = false;
  const left = ranking.slice(SHOWN);
  const sum = left.reduce((total, [, probability]) => total + probability, 0);
  rest.textContent = `${left.length} more share ${(100 * sum).toFixed(1)} %`;
  rest.hidden = !left.length;
}

function explain(told) {
  why.hidden = !told.heat;
  if (!told.heat) return;
  heat.src = told.heat;
  // The model sees squares; squashed ones are shown as they were.
  const shape = "squashed" in document.body.dataset && preview.naturalWidth;
  heat.style.setProperty("--shape", shape ? preview.naturalWidth / preview.naturalHeight : 1);
  heat.alt = why.lastElementChild.textContent = `The yellower a place, the more it spoke for ${told.class}.`;
}

function part(kind, text) {
  const element = document.createElement("span");
  element.className = kind;
  element.textContent = text;
  return element;
}
