"""Tests that install other programs run only where ``ASSAY_TEST_ENVIRONMENTS`` asks for them."""

import os

import pytest


def installs(program):
    """Skip a test that installs a program, unless the variable is 1 or names the program, as one of several."""
    given = os.environ.get("ASSAY_TEST_ENVIRONMENTS", "")
    asked = given == "1" or program in given.split(",")
    return pytest.mark.skipif(
        not asked, reason=f"installs {program}: ASSAY_TEST_ENVIRONMENTS={program}, or =1, runs it"
    )
