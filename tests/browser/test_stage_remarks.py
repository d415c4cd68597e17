"""A remark on memslots that KVM maps by 4K: in the line under a pane, whole as its title, and among the origins."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from mmuviz.studies.alignment import NO_REMARK, remark_of
from mmuviz.studies.requests import request_of
from tests.browser.test_stage import open_stage

pytestmark = pytest.mark.xdist_group("stage")

SMALL = {"memory[0].size": "16 MiB", "memory[0].backing": "thp", "driver.lead": "1 ms", "driver.tail": "1 ms"}


@pytest.mark.parametrize("base", ["1 MiB", "2 MiB"])
def test_memory_mapped_by_4k_says_so_under_its_pane(page: Page, base: str) -> None:
    fields = {**SMALL, "memory[0].base": base}
    policies = ["lazy", "eager_at_enable"]
    remark = remark_of(request_of({"base": "running-guest", "set": fields, "policies": policies}).scenarios[0])
    changes = {name: json.dumps(value) for name, value in fields.items()}
    open_stage(page, "?" + urlencode({"story": "running-guest", "policies": ",".join(policies), **changes}))
    badges = page.locator("[data-mmuviz=badge]:visible")
    expect(badges).to_have_count(2)
    assert (remark == NO_REMARK) == (base == "2 MiB")
    for badge in badges.all():
        if remark == NO_REMARK:
            expect(badge).not_to_contain_text("mapped by")
            continue
        assert (badge.locator(".badge-full").text_content() or "").startswith(f"{remark.short} · counts: ")
        assert (badge.get_attribute("title") or "").startswith(f"{remark.text} counts: ")
        box = badge.bounding_box()
        assert box is not None
        assert box["height"] < 24, "one line"
