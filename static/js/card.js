/* The card field. Stripe's script draws it and keeps the number; here only its answers pass.
   The form says everything: data-key, data-secret, data-back, data-send (only where something is paid), data-trouble. */
(function () {
  "use strict";

  const form = document.querySelector("form[data-card]");
  if (!form || !window.Stripe) return;
  const stripe = window.Stripe(form.dataset.key);
  const card = stripe.elements().create("card");
  const told = document.getElementById("errore-carta");
  const button = form.querySelector("button[type=submit]");
  let sending = false;

  function say(sentence) {
    told.textContent = sentence;
    told.hidden = !sentence;
    sending = false;
    button.removeAttribute("aria-disabled");
  }

  function leave() {
    window.location.assign(form.dataset.back);
  }

  async function send() {
    const set = await stripe.confirmCardSetup(form.dataset.secret, { payment_method: { card: card } });
    if (set.error) return say(set.error.message);
    if (!form.dataset.send) return leave();
    const answer = await fetch(form.dataset.send, {
      method: "POST",
      headers: { "X-CSRFToken": form.elements.csrfmiddlewaretoken.value },
      body: new URLSearchParams({ setup_intent: set.setupIntent.id }),
    });
    const data = await answer.json();
    if (data.error) return say(data.error);
    if (data.confirm) await stripe.confirmCardPayment(data.confirm, {});
    leave(); // whatever the bank answered, the next page asks it
  }

  card.mount("#campo-carta");
  form.addEventListener("submit", function (event) {
    event.preventDefault();
    if (sending) return;
    sending = true;
    button.setAttribute("aria-disabled", "true");
    told.hidden = true;
    send().catch(function () {
      say(form.dataset.trouble);
      setTimeout(leave, 4000);
    });
  });
})();
