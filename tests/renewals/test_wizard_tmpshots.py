import os
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]="1"
import pytest
from django.conf import settings
from mailboxes.platform.local import LocalPlatform
set_usage=lambda a, mailbox_bytes, archive_bytes=0: LocalPlatform().set_usage(a, mailbox_bytes, archive_bytes)
from mailboxes.rules import GB
from tests.renewals.wizard_walk import Walk, url
pytestmark = pytest.mark.django_db(transaction=True)
OUT="/tmp/wizshots/"; os.makedirs(OUT, exist_ok=True)
def test_shots(live_server, make_box, alice):
    from playwright.sync_api import sync_playwright
    box = make_box(alice,"alice", plan="pro", expires_in=40, mailbox_gb=3)
    set_usage("alice@pec.example", mailbox_bytes=int(1.4*GB), archive_bytes=int(0.41*GB))
    full = make_box(alice,"un.indirizzo.davvero.molto.lungo.per.una.casella", plan="pro", expires_in=-80)
    set_usage(full.address.name, mailbox_bytes=int(1.9*GB), archive_bytes=int(2.2*GB))
    big = make_box(alice,"grande", plan="premium", mailbox_gb=6)
    set_usage(big.address.name, mailbox_bytes=int(4.9*GB), archive_bytes=int(7*GB))
    w = Walk(box, alice)
    sid = w.client.cookies[settings.SESSION_COOKIE_NAME].value
    only = os.environ.get("ONLY","").split(",")
    with sync_playwright() as p:
        b = p.chromium.launch(executable_path="/usr/bin/chromium", args="--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync".split())
        for width in (360,768,1280):
            for scheme in ("light","dark"):
                tag=f"{width}-{scheme}"
                if only!=[""] and tag not in only: continue
                c = b.new_context(viewport={"width":width,"height":900 if width>400 else 740}, color_scheme=scheme)
                c.add_cookies([{"name":settings.SESSION_COOKIE_NAME,"value":sid,"url":live_server.url}])
                pg = c.new_page()
                pg.on("console", lambda m: print("CONSOLE", tag, m.type, m.text))
                def go(step, bx=box): pg.goto(live_server.url+url(step,bx))
                def shot(n): pg.screenshot(path=f"{OUT}{n}-{tag}.png", full_page=True)
                go("plan"); shot("1a")
                pg.check("#id_plan_0", force=True); pg.wait_for_timeout(900); shot("1b-downgrade"); print(pg.inner_text("#annuncio"))
                pg.click("button:has-text('Prosegui')"); pg.wait_for_load_state(); shot("1c-errors")
                go("plan", big); shot("1d-big")
                go("plan", full); pg.check("#id_plan_0", force=True); pg.wait_for_timeout(800); shot("1e-expired")
                go("plan"); pg.check("#id_plan_2", force=True); pg.wait_for_timeout(500); pg.click("button:has-text('Prosegui')"); pg.wait_for_load_state()
                shot("2a")
                pg.fill("#id_email","alice@pec.example"); pg.fill("#id_postal_code","99"); pg.click("button:has-text('Prosegui')"); pg.wait_for_load_state(); shot("2b-errors")
                pg.fill("#id_email","alice@legalmail.it"); pg.fill("#id_postal_code","20121"); pg.click("button:has-text('Prosegui')"); pg.wait_for_load_state()
                pg.check("#id_years_2", force=True); pg.check("#id_method_0", force=True); pg.wait_for_timeout(900); shot("3a"); print(pg.inner_text("#annuncio"))
                pg.click("button:has-text('Conferma e completa')"); pg.wait_for_load_state(); shot("3b-errors")
                go("plan", full); pg.check("#id_plan_1", force=True); pg.wait_for_timeout(500); pg.click("button:has-text('Prosegui')"); pg.wait_for_load_state(); pg.click("button:has-text('Prosegui')"); pg.wait_for_load_state(); shot("3c-blackout")
                pg.goto(live_server.url+"/condizioni/"); shot("4-terms")
                c.close()
        b.close()
