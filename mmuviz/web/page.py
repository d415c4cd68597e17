"""The page: what the studies offer, on the stage."""

from __future__ import annotations

from dash.development.base_component import Component

from mmuviz.components.stage import stage
from mmuviz.components.stage_details import Trust, Word
from mmuviz.components.stage_fields import Field
from mmuviz.studies.evidence import packaged_evidence
from mmuviz.studies.glossary import glossary
from mmuviz.studies.offered import fields, hosts, kernels, policies, stories


def trust() -> Trust:
    """How far numbers can be believed, by the packaged evidence."""
    evidence = packaged_evidence()
    recordings = evidence["recordings"]
    return Trust(recordings["exact"], recordings["of"], recordings["mmus"], evidence["uncertainty"])


def layout() -> Component:
    """The tree that the scripts of the assets fill; it is the same for every visitor and address."""
    listed = [Field(*each) for each in fields()]
    words = [Word(*each, each.needed_first) for each in glossary()]
    return stage(stories(), policies(), kernels(), hosts(), listed, words, trust())
