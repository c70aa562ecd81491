"""All rules of an audit, and what is done with them."""

from normviz.inspect.audit import set_rules, statistics_rules  # noqa: F401  Their decorators fill RULES.
from normviz.inspect.audit.registry import RULES, AuditWarning, find_warnings, rule

__all__ = ["RULES", "AuditWarning", "find_warnings", "rule"]
