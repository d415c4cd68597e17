"""The name that `Vm` had; it goes when nobody imports it any more."""

from __future__ import annotations

from mmuviz.mmu.vm import Vm

Machine = Vm
