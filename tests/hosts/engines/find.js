// What the words of Playwright that the tests use mean: (steps) => elements. The names follow accname, as far as needed.
(() => {
  const IMPLICIT = {
    button: "button, input[type=button], input[type=submit]",
    checkbox: "input[type=checkbox]",
    combobox: "select",
    figure: "figure",
    group: "fieldset, details",
    heading: "h1, h2, h3, h4, h5, h6",
    img: "img",
    link: "a[href]",
    listitem: "li",
    progressbar: "progress",
    radio: "input[type=radio]",
    region: "section[aria-label]",
    row: "tr",
    slider: "input[type=range]",
    spinbutton: "input[type=number]",
    status: "output",
    table: "table",
    textbox: "input:not([type]), input[type=text], textarea"
  };
  const plain = (text) => text.replace(/\s+/g, " ").trim();
  // An element with `display: contents` has no box of its own.
  const isShown = (e) =>
    getComputedStyle(e).display === "contents"
      ? !e.parentElement || isShown(e.parentElement)
      : e.checkVisibility({ visibilityProperty: true });
  const isVisible = (e) => isShown(e) && e.getBoundingClientRect().width > 0 && e.getBoundingClientRect().height > 0;
  const spoken = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return node.data;
    if (node.nodeType !== Node.ELEMENT_NODE || node.ariaHidden === "true" || !isShown(node)) return "";
    if (node.matches("select, input, textarea, script, style")) return "";
    const inner = node.ariaLabel ?? [...node.childNodes].map(spoken).join("");
    return getComputedStyle(node).display.startsWith("inline") ? inner : ` ${inner} `;
  };
  const labelled = (e) => {
    const by = e.getAttribute("aria-labelledby");
    if (by)
      return by
        .split(/\s+/)
        .map((id) => plain(e.getRootNode().getElementById(id)?.textContent ?? ""))
        .join(" ");
    return e.ariaLabel ?? (e.labels?.length ? [...e.labels].map((label) => plain(spoken(label))).join(" ") : "");
  };
  const nameOf = (e) => plain(labelled(e) || [...e.childNodes].map(spoken).join("") || e.title || "");
  // A text stands anywhere unless it is exact; a pattern is a regular expression of Python's.
  const fits = (text, { text: wanted, pattern, flags, exact }) =>
    pattern !== undefined
      ? new RegExp(pattern, flags).test(text)
      : exact
        ? text === plain(wanted)
        : text.toLowerCase().includes(plain(wanted).toLowerCase());
  // As Playwright does, every part of a selector stands below the root, and shadow roots are open.
  const scoped = (root, query) => (root instanceof Element ? query.replace(/(^|,)(?![^(]*\))/g, "$1:scope ") : query);
  const below = (root, query) => [
    ...root.querySelectorAll(scoped(root, query)),
    ...[...root.querySelectorAll("*")].flatMap((e) => (e.shadowRoot ? below(e.shadowRoot, query) : []))
  ];
  const all = (roots, query) => [...new Set(roots.flatMap((root) => below(root, query)))];
  const STEPS = {
    css: (roots, query) => all(roots, query),
    role: (roots, role, name, checked) =>
      all(roots, `[role="${role}"]${IMPLICIT[role] ? `, :is(${IMPLICIT[role]}):not([role])` : ""}`)
        .filter((e) => isShown(e) && !e.closest('[aria-hidden="true"], [inert]'))
        .filter((e) => !name || fits(nameOf(e), name))
        .filter((e) => checked === null || (e.checked ?? e.ariaChecked === "true") === checked),
    label: (roots, name) => all(roots, "*").filter((e) => labelled(e) && fits(labelled(e), name)),
    text: (roots, name) => {
      const has = (e) => !e.matches("script, style, noscript") && fits(plain(e.textContent), name);
      return all(roots, "*").filter((e) => has(e) && ![...e.children].some(has));
    },
    has: (roots, name, is) => roots.filter((e) => fits(plain(e.textContent), name) === is),
    seen: (roots) => roots.filter(isVisible),
    nth: (roots, k) => roots.slice(k, k + 1 || undefined)
  };
  const find = (steps) => steps.reduce((roots, [word, ...given]) => STEPS[word](roots, ...given), [document]);
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  /** The middle of what a click reaches, once it stands still and nothing lies over it. */
  const reach = async (e) => {
    const at = () => {
      const { x, y, width, height } = e.getBoundingClientRect();
      return [x + width / 2, y + height / 2];
    };
    const isInside = ([x, y]) => x >= 0 && y >= 0 && x < innerWidth && y < innerHeight;
    if (!isVisible(e) || e.disabled) return null;
    if (!isInside(at())) e.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
    const before = at();
    await frame();
    await frame();
    const after = at();
    if (before.some((value, k) => Math.abs(value - after[k]) > 0.5)) return null;
    let hit = document.elementFromPoint(...after);
    while (hit?.shadowRoot) hit = hit.shadowRoot.elementFromPoint(...after);
    return hit && (e.contains(hit) || [...(e.labels ?? [])].some((label) => label.contains(hit))) ? after : null;
  };
  return { find, plain, isVisible, reach };
})();
