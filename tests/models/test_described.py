"""Descriptions of networks: which numbers they take."""

import pytest

import wavefoundry as wf
from wavefoundry.core.errors import InputError


def test_sector_zero_is_a_sector():
    assert wf.models.symmetric(wf.models.vit(), form="amplitude", sector=0).sector == 0
    for sector, words in ((-1, "must not be negative"), (1.5, "whole number")):
        with pytest.raises(InputError, match=words):
            wf.models.symmetric(wf.models.vit(), form="amplitude", sector=sector)  # type: ignore[arg-type]
