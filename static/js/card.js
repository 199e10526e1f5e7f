/* The card page: Stripe's field takes the number, the SetupIntent's id goes back to us with the form.
   Hooks: form#carta (give a card), #conferma (the bank wants a confirmation). Secrets and words come in data attributes. */
(function () {
  "use strict";

  const form = document.getElementById("carta");
  const confirmation = document.getElementById("conferma");

  function stripeFor(place) {
    return typeof Stripe === "undefined" ? null : Stripe(place.dataset.key, { locale: place.dataset.locale });
  }

  // The colours and type of the page, for a field that is drawn inside Stripe's own frame.
  function look() {
    const page = getComputedStyle(document.body);
    const tokens = getComputedStyle(document.documentElement);
    return {
      base: { color: page.color, fontFamily: "system-ui, sans-serif", fontSize: "16px",
              "::placeholder": { color: tokens.getPropertyValue("--muted").trim() } },
      invalid: { color: tokens.getPropertyValue("--danger").trim() },
    };
  }

  if (form) {
    const button = form.querySelector("button[type=submit]");
    const error = document.getElementById("carta_errore");
    const wait = document.getElementById("carta_attesa");
    const stripe = stripeFor(form);

    function say(text) {
      error.textContent = text;
      error.hidden = !text;
    }

    function busy(on) {
      button.disabled = on;
      wait.textContent = on ? form.dataset.waiting : "";
    }

    if (!stripe) {
      say(form.dataset.unreachable);
    } else {
      const card = stripe.elements().create("card", { style: look(), hidePostalCode: true });
      card.mount("#carta_dati");
      card.on("change", function (event) { say(event && event.error ? event.error.message : ""); });
      busy(false);
      form.addEventListener("submit", async function (event) {
        event.preventDefault();
        if (button.disabled) return;
        say("");
        busy(true);
        let answer;
        try {
          answer = await stripe.confirmCardSetup(form.dataset.secret, { payment_method: { card: card } });
        } catch (failure) {
          answer = { error: {} };
        }
        if (answer.error || !answer.setupIntent) {
          say(form.dataset.refused);
          busy(false);
          error.scrollIntoView({ block: "nearest" });
          return;
        }
        form.elements.setup_intent.value = answer.setupIntent.id;
        form.submit();
      });
    }
  }

  if (confirmation) {
    const button = confirmation.querySelector("button");
    const stripe = stripeFor(confirmation);
    async function ask() {
      button.disabled = true;
      try {
        await stripe.confirmCardPayment(confirmation.dataset.secret);
      } catch (failure) { /* the return address asks Stripe what became of it */ }
      location.assign(confirmation.dataset.back);
    }
    if (stripe) {
      button.addEventListener("click", ask);
      ask();
    }
  }
})();
