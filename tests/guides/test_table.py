"""docs/guides.md, and whether a test runs every block there is."""

from __future__ import annotations

import pytest

from . import blocks


@pytest.mark.parametrize("store", ["mock"], indirect=True)
def test_the_table_in_the_docs_is_that_of_the_tests():
    assert blocks.TABLE.read_text(encoding="utf-8") == blocks.table(), "run python -m tests.guides.blocks"


@pytest.mark.parametrize("store", ["mock"], indirect=True)
@pytest.mark.parametrize("guide", blocks.GUIDES)
def test_every_block_of_a_guide_has_a_test(guide: int):
    seed = blocks.SEEDS / f"guide-{guide}-{blocks.GUIDES[guide][0]}.md"
    if not seed.exists():
        pytest.skip(f"the guides are not on this machine: {seed}")
    in_the_guide = list(dict.fromkeys(blocks.headings_with_code(seed.read_text(encoding="utf-8"))))
    in_the_tests = [block.heading for block in blocks.blocks() if block.guide == guide]
    assert in_the_tests == in_the_guide
