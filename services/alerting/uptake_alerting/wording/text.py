"""Plain text of bounded length, and the forms that a channel needs of it. Knows no alert; pure."""

from dataclasses import dataclass
from fractions import Fraction

NAME_LENGTH = 80
SLACK_LENGTH = 3000
_SHORTENED = "…"
_TURNS = dict.fromkeys((0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)))  # direction of writing


@dataclass(frozen=True, slots=True)
class Notice:
    """Plain text; each channel brings it into its own form."""

    headline: str
    lines: tuple[str, ...]


def slack_text(text: Notice) -> str:
    """Slack's mrkdwn: `&`, `<` and `>` are all that can turn text into a mention or a link."""
    escaped = "\n".join((f"*{one_line(text.headline)}*", *map(one_line, text.lines)))
    escaped = escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if len(escaped) <= SLACK_LENGTH:
        return escaped
    cut = escaped[: SLACK_LENGTH - len(_SHORTENED)]
    return cut[: cut.rfind("&")] + _SHORTENED if "&" in cut[-5:] else cut + _SHORTENED  # never half an entity


def short(text: str) -> str:
    """One line of bounded length, whatever the customer is called."""
    line = one_line(text)
    return line if len(line) <= NAME_LENGTH else line[: NAME_LENGTH - 1] + _SHORTENED


def one_line(text: str) -> str:
    """Without what would turn the rest of a line around: right-to-left letters need no such marks."""
    return " ".join(text.translate(_TURNS).split())


def percent(ratio: Fraction) -> str:
    """`24 %`, `62.5 %`: up to one decimal, cut rather than rounded, so that 24.96 never reads as 25."""
    tenths = int(ratio * 1000)
    return f"{tenths // 10}.{tenths % 10} %" if tenths % 10 else f"{tenths // 10} %"
