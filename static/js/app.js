/* Small helps. Every page works without this file; nothing here is needed to pay, renew or sign out.
   Hooks: [data-focus] (error summary), [data-announce], [data-copy], details.menu, details[data-wide-open], input[type=password]. */
(function () {
  "use strict";

  const root = document.documentElement;
  const words = document.body.dataset;
  root.classList.add("js");

  // --- What has just appeared: at loading, and after each htmx swap -------------------------------------------------
  function wake(where) {
    const summary = where.querySelector("[data-focus]:not([data-focused])");
    if (summary) {
      summary.dataset.focused = ""; // once: a later swap elsewhere must not steal the focus
      summary.focus();
    }

    where.querySelectorAll('.field input[type="password"]:not([data-ready])').forEach(addReveal);
  }

  // --- A polite word about what changed without a new page ----------------------------------------------------------
  // The swapped fragment carries data-announce="Totale € 12,08, nuova scadenza 1 gennaio 2028". Said once things rest.
  let waiting;
  function announce(text) {
    const region = document.getElementById("annuncio");
    if (!region || !text) return;
    clearTimeout(waiting);
    waiting = setTimeout(function () {
      if (region.textContent === text) region.textContent = "";
      region.textContent = text;
    }, 400);
  }

  document.addEventListener("htmx:afterSettle", function (event) {
    const place = event.detail.elt;
    if (!place.querySelector) return;
    wake(place.parentElement || place);
    const told = place.matches("[data-announce]") ? place : place.querySelector("[data-announce]");
    if (told) announce(told.dataset.announce);
  });

  // --- Showing a password ---------------------------------------------------------------------------------------------
  function addReveal(input) {
    input.dataset.ready = "";
    const box = document.createElement("div");
    box.className = "reveal";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn btn--secondary";
    button.setAttribute("aria-controls", input.id);
    function show(visible) {
      input.type = visible ? "text" : "password";
      button.textContent = visible ? words.hide : words.show;
      button.setAttribute("aria-label", visible ? words.hidePassword : words.showPassword);
    }
    show(false);
    button.addEventListener("click", function () { show(input.type === "password"); });
    input.before(box);
    box.append(input, button);
    // A password must leave the page as one, or the browser offers it back as plain text.
    if (input.form) input.form.addEventListener("submit", function () { show(false); });
  }

  // --- Copying --------------------------------------------------------------------------------------------------------
  document.addEventListener("click", function (event) {
    const button = event.target.closest("[data-copy]");
    if (!button || !navigator.clipboard) return;
    navigator.clipboard.writeText(button.dataset.copy).then(function () {
      const label = button.querySelector("[data-copy-label]");
      announce(words.copied);
      if (!label || label.dataset.was) return;
      label.dataset.was = label.textContent;
      label.textContent = words.copied;
      setTimeout(function () {
        label.textContent = label.dataset.was;
        delete label.dataset.was;
      }, 2000);
    });
  });

  // --- One press, one POST --------------------------------------------------------------------------------------------
  // The server refuses doubles by itself; this spares the customer the doubt. The button is not disabled, because a
  // disabled one would not send its own name. It wakes up by itself when the answer is a download or never comes.
  const PATIENCE = 10000;
  function release(form) {
    delete form.dataset.sending;
    form.querySelectorAll('[aria-disabled="true"][data-pressed]').forEach(function (button) {
      button.removeAttribute("aria-disabled");
      delete button.dataset.pressed;
    });
  }
  document.addEventListener("submit", function (event) {
    const form = event.target;
    if (event.defaultPrevented) return; // htmx and card scripts look after themselves
    // Not form.method: where a field is called "method", as the ways to pay are, that is the field.
    if ((form.getAttribute("method") || "").toLowerCase() !== "post") return;
    if (form.dataset.sending) {
      event.preventDefault();
      return;
    }
    form.dataset.sending = "1";
    if (event.submitter) {
      event.submitter.dataset.pressed = "";
      event.submitter.setAttribute("aria-disabled", "true");
    }
    setTimeout(release, PATIENCE, form);
  });
  // A live summary that is still waiting or on its way when the form leaves would find the order just made, and its
  // HX-Redirect would take the browser to the order's page instead of the bank: the form's own answer decides.
  ["htmx:beforeRequest", "htmx:beforeOnLoad"].forEach(function (name) {
    document.addEventListener(name, function (event) {
      if (event.detail.elt.closest("form[data-sending]")) event.preventDefault();
    });
  });
  window.addEventListener("pageshow", function (event) {
    if (event.persisted) document.querySelectorAll("form[data-sending]").forEach(release);
  });

  // --- Menus ------------------------------------------------------------------------------------------------------------
  document.addEventListener("keydown", function (event) {
    if (event.key !== "Escape") return;
    const menu = document.querySelector("details.menu[open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  document.addEventListener("click", function (event) {
    document.querySelectorAll("details.menu[open]").forEach(function (menu) {
      if (!menu.contains(event.target)) menu.open = false;
    });
  });

  // --- The wizard's summary: always open on wide screens, a bar that opens on phones ---------------------------------------
  const wide = window.matchMedia("(min-width: 64rem)");
  function fit() {
    document.querySelectorAll("details[data-wide-open]").forEach(function (details) {
      details.open = wide.matches;
      // On wide screens it is a heading, not a switch.
      const summary = details.querySelector("summary");
      if (wide.matches) summary.setAttribute("tabindex", "-1");
      else summary.removeAttribute("tabindex");
    });
  }
  wide.addEventListener("change", fit);
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details[data-wide-open]").forEach(function (details) { details.open = true; });
  });

  // --- From the error summary to the field itself, not only to its place --------------------------------------------------
  document.addEventListener("click", function (event) {
    const link = event.target.closest(".error-summary a[href^='#']");
    const field = link && document.getElementById(link.hash.slice(1));
    if (!field) return;
    event.preventDefault();
    const words = field.closest(".field, .choices") || field;
    words.scrollIntoView({ block: "start" });
    field.focus({ preventScroll: true });
  });

  fit();
  wake(document);
})();
