// Asks for confirmation, in place, before something is removed.

/**
 * When `button` is pressed, asks `question()` beside it, with a button that
 * does it and one that does not; `act` is called for the first. One question
 * of a button is open at a time. The focus goes along and comes back.
 */
export function confirming(button, question, label, act) {
  let asking;
  const end = () => {
    const held = asking?.contains(document.activeElement) ?? false;
    asking?.remove();
    asking = undefined;
    delete button.dataset.asking;
    if (held) button.focus();
  };
  button.addEventListener("click", () => {
    if (button.getAttribute("aria-disabled") === "true" || asking !== undefined) return;
    asking = document.createElement("span");
    asking.className = "confirm";
    asking.setAttribute("role", "group");
    const text = document.createElement("span");
    text.textContent = question();
    asking.setAttribute("aria-label", text.textContent);
    const yes = choice(label, "yes", () => {
      end();
      act();
    });
    yes.classList.add("danger");
    asking.append(text, yes, choice("Keep", "no", end));
    asking.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      end();
    });
    button.dataset.asking = "";
    button.after(asking);
    yes.focus();
  });
}

function choice(label, name, act) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = label;
  button.dataset.confirm = name;
  button.addEventListener("click", act);
  return button;
}
