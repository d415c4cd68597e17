"""The page's components, filled with the stories, guests and policies of mmuviz.studies."""

from __future__ import annotations

from dash.development.base_component import Component

from mmuviz.components.stage import Offered, stage
from mmuviz.components.stage_details import Term, Trust
from mmuviz.components.stage_fields import Field
from mmuviz.components.stage_policies import PolicyItem
from mmuviz.components.stage_stories import GuestItem, LessonItem, StoryItem
from mmuviz.costs.hosts import PROFILES
from mmuviz.studies.evidence import packaged_evidence
from mmuviz.studies.glossary import glossary
from mmuviz.studies.offered import fields, guests, hosts, kernels, lessons, migrating_guests, policies, stories


def trust() -> Trust:
    """Return the accuracy of the numbers, from the packaged evidence."""
    evidence = packaged_evidence()
    recordings = evidence["recordings"]
    return Trust(recordings["exact"], recordings["of"], recordings["mmus"], evidence["uncertainty"])


def layout() -> Component:
    """Make the tree that the scripts of assets/stage fill; it is the same for every visitor and address."""
    listed = [Field(*each) for each in fields()]
    terms = [Term(*each, each.needed_first) for each in glossary()]
    offered = Offered(
        [StoryItem(*each) for each in stories()],
        [LessonItem(*each) for each in lessons()],
        [GuestItem(*each) for each in guests()],
        [PolicyItem(*each) for each in policies()],
        kernels(),
        {name: PROFILES[name]["cpus"] for name in hosts()},
        listed,
        [GuestItem(*each) for each in migrating_guests()],
    )
    return stage(offered, terms, trust())
