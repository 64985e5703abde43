// Keys on the review page, a threshold's figure beside its slider, confirmations, presses that polls
// leave alone. No inline script.
"use strict";

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, textarea, select")) return;
  // Enter on a link or a button is theirs.
  if (event.key === "Enter" && event.target.closest("a, button, summary")) return;
  const button = document.querySelector(`[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
  if (button) {
    event.preventDefault();
    button.click();
  }
});

document.addEventListener("input", (event) => {
  const shown = event.target.dataset.shownIn;
  if (shown) document.getElementById(shown).textContent = `${Math.round(event.target.value * 100)} %`;
});

document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

// A part that renews itself waits while something in it is pressed: the click would be lost with it.
let pressed = null;
document.addEventListener("pointerdown", (event) => { pressed = event.target; });
for (const end of ["pointerup", "pointercancel", "dragend"]) {
  document.addEventListener(end, () => setTimeout(() => { pressed = null; }));
}

document.addEventListener("htmx:beforeSwap", (event) => {
  const polled = event.detail.elt.getAttribute("hx-trigger")?.startsWith("every");
  if (polled && event.detail.target.contains(pressed)) event.detail.shouldSwap = false;
});
