// Finding and cloning elements. Everything shown is set as text, never as
// markup: what a function sends must not become part of the page.

/** A fresh copy of the single element in the template called `id`. */
export function clone(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

/** The element inside `root` that plays the part `name`. */
export function part(root, name) {
  return root.querySelector(`[data-part="${name}"]`);
}

/** The form field inside `root` called `name`. */
export function field(root, name) {
  return root.querySelector(`[data-field="${name}"]`);
}

/** The button inside `root` that does `name`. */
export function action(root, name) {
  return root.querySelector(`[data-action="${name}"]`);
}

/** Sets the text, but only when it differs: live regions and selections stay quiet. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Shows what is wrong with `input` in `element`, or clears it when `message`
 * is empty. The field points at the message, so that a screen reader says it.
 */
export function setProblem(element, input, message) {
  setText(element, message);
  element.id ||= `problem-${++problems}`;
  if (message === "") {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  } else {
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", element.id);
  }
}

let problems = 0;

/**
 * Makes the children of `container` those of `items`, in their order. What is
 * there already is kept, with its focus and what is open and typed in it:
 * children are found again by `keyOf(item)`, made by `make(item)`, which gives
 * something with an `element`, and shown by its `show(item)`. `kept` is the Map
 * that remembers them.
 */
export function keep(container, kept, items, keyOf, make) {
  const wanted = new Set(items.map(keyOf));
  for (const [key, entry] of kept) {
    if (wanted.has(key)) continue;
    entry.element.remove();
    kept.delete(key);
  }
  for (const [index, item] of items.entries()) {
    const key = keyOf(item);
    let entry = kept.get(key);
    if (entry === undefined) {
      entry = make(item);
      kept.set(key, entry);
    }
    entry.show(item);
    if (container.children[index] !== entry.element) {
      container.insertBefore(entry.element, container.children[index] ?? null);
    }
  }
}

/**
 * Marks a button as having nothing to do now. Not `disabled`: that would throw
 * the focus away under a person who works with the keyboard.
 */
export function setAvailable(button, available) {
  if (available) button.removeAttribute("aria-disabled");
  else button.setAttribute("aria-disabled", "true");
}
