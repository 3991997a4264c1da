"""The shipped rules of one account's adoption and one trial's limit alone, for tests that are about neither."""

from uptake_alerting.rule_file import RulesFile
from uptake_alerting.rules import Group, Rules

_SHIPPED = RulesFile(None).current().by_name
ADOPTION, TRIAL = _SHIPPED["adoption-below-target"], _SHIPPED["trial-breached"]
RULES = Rules(groups=(Group(name="two", rules=(ADOPTION, TRIAL)),))
