"""The page of an audit."""

from tests.browser.test_audit_page import test_the_explorer_of_a_layer_opens_and_closes, written

COLUMN = "audit"
