import pytest

from tests.peers.localstripe import LocalStripe

SECRET = "whsec_test_one"


@pytest.fixture(scope="session")
def _running(tmp_path_factory):
    peer = LocalStripe(tmp_path_factory.mktemp("localstripe"))
    yield peer
    peer.stop()


@pytest.fixture
def peer(_running, settings):
    """localstripe, empty, and our settings pointing at it."""
    _running.call("DELETE", "/_config/data")
    settings.PAYMENT_PROVIDERS = ["stripe", "transfer"]
    settings.STRIPE_SECRET_KEY, settings.STRIPE_PUBLISHABLE_KEY = "sk_test_12345", "pk_test_12345"
    settings.STRIPE_API_BASE = _running.base
    settings.STRIPE_JS_URL = f"{_running.base}/js.stripe.com/v3/"
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET]
    return _running
