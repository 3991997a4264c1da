"""Channels of the package `apprise`: used when it is there, said plainly when it is not."""

import subprocess
import sys
from types import ModuleType

import pytest

from uptake_alerting.patience import Sent
from uptake_alerting.wording import Notice

CHANNEL = "type: apprise, url: 'json://hooks.example.com/hush'"


class Notifier:
    """As much of the package as is used; a module that stands for it hands it out."""

    says: bool | None = True
    knows = True
    got: list[tuple[str, dict]] = []  # noqa: RUF012  # emptied by the fixture

    def add(self, url):
        self.got.append(("add", {"url": url}))
        return self.knows

    async def async_notify(self, **said):
        self.got.append(("notify", said))
        return self.says


@pytest.fixture
def apprise(monkeypatch):
    module = ModuleType("apprise")
    module.Apprise = type("Apprise", (Notifier,), {"got": []})
    monkeypatch.setitem(sys.modules, "apprise", module)
    return module.Apprise


async def test_without_the_package_it_says_so(deliver, letter, monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert await deliver(CHANNEL, letter()) == Sent("failed", "not_installed")


async def test_it_hands_over_the_words_and_how_bad_it_is(deliver, letter, alert, apprise):
    assert await deliver(CHANNEL, letter(data=alert(severity="critical"))) == Sent("delivered", "ok")
    (_, added), (_, said) = apprise.got
    assert added == {"url": "json://hooks.example.com/hush"}
    assert said == {"title": "Warning: <b> is low", "body": "Ü & co", "notify_type": "failure"}
    await deliver(CHANNEL, letter(kind="terminal", data=alert(state="resolved")))
    assert apprise.got[-1][1]["notify_type"] == "success"


@pytest.mark.parametrize(
    ("told", "notify_type"),
    [
        ([{"severity": "warning"}, {"severity": "critical"}], "failure"),
        ([{"state": "resolved"}, {"severity": "critical"}], "failure"),
        ([{"state": "resolved", "severity": "critical"}, {"severity": "info"}], "info"),
        ([{"state": "resolved"}, {"state": "closed"}], "success"),
    ],
)
async def test_several_are_as_bad_as_the_worst_that_is_open(deliver, letter, alert, apprise, told, notify_type):
    items = tuple(alert(**one) for one in told)
    parts = tuple(Notice(f"Warning: {n}", ("Number.",)) for n in range(2))
    await deliver(CHANNEL, letter(kind="terminal", data=None, items=items, parts=parts, notice=Notice("2 alerts", ())))
    said = apprise.got[-1][1]
    assert said["notify_type"] == notify_type
    assert (said["title"], said["body"]) == ("2 alerts", "Warning: 0\nNumber.\n\nWarning: 1\nNumber.")


async def test_a_no_is_tried_again_and_an_unknown_scheme_is_not(deliver, letter, apprise):
    apprise.says = False
    assert await deliver(CHANNEL, letter()) == Sent("retry", "apprise")
    apprise.knows = False
    assert await deliver(CHANNEL, letter()) == Sent("failed", "bad_url")


def test_it_is_not_imported_unless_such_a_channel_is_used():
    code = "import sys, uptake_alerting.app; sys.exit('apprise' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
